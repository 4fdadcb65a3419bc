"""What a detector finds in movies of the made world that nothing was fitted to, through extraction's own grounding.

Everyone is looked for in a stretch of each movie, as in a window: who takes whose box, who is followed, who is
doubtful.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from rhas.extract.config import DetectorConfig
from rhas.extract.decode.on_device import OnDevice, on_device
from rhas.extract.decode.process import Frames
from rhas.extract.decode.windows import WindowFrames
from rhas.extract.ground import load_detector
from rhas.extract.ground.calibration import RIGHT, calibration_error, overlap
from rhas.extract.ground.windows import Grounder
from rhas.extract.refine.refiner import refiner_of
from rhas.manifests.shards.boxes import PersonBoxes
from rhas.manifests.shards.status import HAS_BOX, FrameStatus
from rhas.manifests.tables.manifest import Person
from rhas.pipeline.world import HELD_OUT
from rhas.pipeline.world.lives.layers import FPS
from rhas.pipeline.world.movie import MadeMovie, Picture
from rhas.pipeline.world.references import ATTRIBUTES, traits
from rhas.pipeline.world.training.scenes import SEEN

SAMPLES = 64  # of a movie, in a row, five a second: those of preset mini
SAMPLES_PER_SECOND = 5
ABSENT = 0.02  # share of a person in the picture below which nobody could find them
_OUTCOMES = ("right", "wrong", "missed")


@dataclass(frozen=True)
class Grounding:
    """What came of person-frames, in shares; those with a doubtful box count as if there were none.

    `questions` has a row for each: movie, frame, person, reference, named, present, status, score, sure, overlap
    with the true box, outcome. Who can be seen too little to be sure either way is in none of it.
    """

    questions: pd.DataFrame
    switches: float  # from one person to another, of a box per minute

    @property
    def present(self) -> pd.DataFrame:
        return self.questions[self.questions.present]

    def share(self, outcome: str) -> float:
        """Of the visible: whose box is theirs (right), another person's (wrong), nobody's or not there (missed)."""
        return float((self.present.outcome == outcome).mean())

    @property
    def false_alarms(self) -> float:
        """Of those who aren't in the picture: that there is a box."""
        return float((self.questions[~self.questions.present].outcome != "none").mean())

    @property
    def all_right(self) -> float:
        """Of all: a right box of who is visible, none of who isn't there."""
        wanted = np.where(self.questions.present, "right", "none")
        return float((self.questions.outcome == wanted).mean())

    @property
    def overlap(self) -> float:
        """Mean IoU of right boxes."""
        return float(self.present.overlap[self.present.outcome == "right"].mean())

    @property
    def calibration_error(self) -> float:
        """Of how sure each box is, doubtful ones too."""
        boxed = self.questions.dropna(subset="sure")
        return calibration_error(boxed.sure.to_numpy(), (boxed.overlap > RIGHT).to_numpy())


def measure_detector(
    config: DetectorConfig, movies: int, seed: int = 0, device: str = "cpu", stream: int = HELD_OUT
) -> Grounding:
    """Asks for every person in a stretch of `movies` movies, with one of their references."""
    finder = Finder(config, device)
    return of_movies(
        _stretch(finder, MadeMovie.made(stream, seed, number), number) for number in range(movies)
    )


def of_movies(asked: Iterable[Iterator[dict[str, object]]]) -> Grounding:
    """From the questions of each movie."""
    tables, switches = [], 0
    for questions in asked:
        tables.append(pd.DataFrame(questions))
        switches += _switches(tables[-1])
    together = pd.concat(tables, ignore_index=True)
    minutes = together.present.sum() / SAMPLES_PER_SECOND / 60
    return Grounding(together, float(switches / minutes))


def by_attribute(questions: pd.DataFrame) -> pd.DataFrame:
    """Share right, wrong and missed among references that name an attribute: a row for each attribute."""
    present = questions[questions.present]
    rows = {}
    for name in ATTRIBUTES:
        own = present[present.named.apply(lambda named, name=name: name in named)]
        if len(own):
            rows[name] = {"questions": len(own), **own.outcome.value_counts(normalize=True).to_dict()}
    return pd.DataFrame.from_dict(rows, orient="index").fillna(0.0)


def _stretch(finder: Finder, movie: MadeMovie, number: int) -> Iterator[dict[str, object]]:
    step = FPS // SAMPLES_PER_SECOND
    last = max(1, movie.frames - SAMPLES * step + 1)
    first = int(np.random.default_rng([HELD_OUT, number]).integers(last))
    frames = list(range(first, movie.frames, step))[:SAMPLES]
    pictures = [movie.picture(frame) for frame in frames]
    persons = referred(movie, number)
    found = finder.boxes_of(np.stack([picture.image for picture in pictures]), persons)
    yield from questions_of(movie, number, frames, pictures, persons, found)


class Finder:
    """What an extraction has to find persons with."""

    def __init__(self, config: DetectorConfig, device: str) -> None:
        self.grounder = Grounder(load_detector(config).to(device), config, torch.device(device), batch=16)
        self.refiner = refiner_of(config, device)

    def boxes_of(self, pixels_nHW3: np.ndarray, persons: Sequence[Person]) -> dict[str, PersonBoxes]:
        """Everybody's boxes in frames that are taken to be one window."""
        everywhere = np.ones(len(pixels_nHW3), bool)
        window = WindowFrames(Frames(pixels_nHW3, everywhere, "", False, 0), lead=0)
        with self._shown(pixels_nHW3) as shown:
            found = self.grounder.ground(window, persons, [everywhere] * len(persons), shown)
        return self.exact(pixels_nHW3, found)

    def exact(self, pixels_nHW3: np.ndarray, found: dict[str, PersonBoxes]) -> dict[str, PersonBoxes]:
        """Boxes as they are encoded."""
        if self.refiner is None:
            return found
        with self._shown(pixels_nHW3) as shown:
            return self.refiner.exact_in(found, shown, 0, self.grounder.batches)

    @contextmanager
    def _shown(self, pixels_nHW3: np.ndarray) -> Iterator[OnDevice]:
        with (
            torch.inference_mode(),
            on_device(pixels_nHW3, self.grounder.device, self.grounder.lane) as shown,
        ):
            yield shown


def referred(movie: MadeMovie, number: int) -> list[Person]:
    """Everybody in a movie, with one of their references."""
    return [
        Person(str(number), who.person_id, who.references[number % len(who.references)]) for who in movie.cast
    ]


def questions_of(
    movie: MadeMovie, number: int, frames: Sequence[int], pictures: Sequence[Picture],
    persons: Sequence[Person], found: Mapping[str, PersonBoxes],
) -> Iterator[dict[str, object]]:  # fmt: skip
    """What came of each person in each frame: the rows of `Grounding.questions`."""
    for place, (who, person) in enumerate(zip(movie.cast, persons, strict=True)):
        named, own = _named(person.reference, traits(who.look)), found[person.person_id]
        for t, (frame, picture) in enumerate(zip(frames, pictures, strict=True)):
            seen = picture.inside[place] * picture.visible[place]
            if ABSENT <= seen < SEEN:
                continue
            status = FrameStatus(int(own.status[t]))
            overlaps_P = overlap(np.broadcast_to(own.box[t], picture.boxes.shape), picture.boxes)
            whose = int(overlaps_P.argmax()) if overlaps_P.max() > 0.1 else None
            box = status in HAS_BOX and status != FrameStatus.DOUBTFUL
            yield {
                "movie": number, "frame": frame, "person": who.person_id, "reference": person.reference,
                "named": named, "present": bool(seen >= SEEN), "status": status.name.lower(),
                "score": float(own.score[t]), "sure": float(own.sure[t]), "overlap": float(overlaps_P[place]),
                "whose": whose if box else None, "outcome": _outcome(box, overlaps_P, place, bool(seen >= SEEN)),
            }  # fmt: skip


def _outcome(box: bool, overlaps_P: np.ndarray, person: int, present: bool) -> str:
    if not box:
        return "missed" if present else "none"
    if present and overlaps_P[person] > RIGHT:
        return "right"
    best = int(overlaps_P.argmax())
    return "wrong" if overlaps_P[best] > RIGHT or (best != person and overlaps_P[best] > 0.1) else "missed"


def _switches(table: pd.DataFrame) -> int:
    """How often a person's box goes over to somebody else."""
    whose = (own.whose.dropna().to_numpy() for _, own in table.groupby("person"))
    return sum(int((own[1:] != own[:-1]).sum()) for own in whose)


def _named(reference: str, own: dict[str, str]) -> frozenset[str]:
    """Which attributes a reference speaks of, by its words."""
    words = set(reference.split())
    nouns = {name for name in ("shirt", "trousers", "hair", "hat") if name in words}
    return frozenset(nouns | {name for name in ("height", "gender") if own.get(name) in words}
                     | ({"side"} if words & {"left", "right"} else set()))  # fmt: skip
