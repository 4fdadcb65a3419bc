"""One window, everyone in it: from frames to the features of all referred persons.

What doesn't depend on the sentence is done once: the detector's backbone and the encoder's vision tower run
once per frame. Per person remain the detector's fusion, the crop with its vision pass, and the text part of
the encoder. In: decoded frames with their lead-in, persons with their intervals. Out: `PersonRows` for a
shard. Left to others: decoding, scheduling, files.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from rhas.extract.batches import Batches
from rhas.extract.config import ExtractConfig
from rhas.extract.crops import person_crops, whole_frames
from rhas.extract.decode.on_device import OnDevice, on_device, together
from rhas.extract.decode.windows import WindowFrames
from rhas.extract.encode import sparse
from rhas.extract.encode.encoder import Encoder
from rhas.extract.ground.detector import Detector
from rhas.extract.ground.known_boxes import KnownBoxes
from rhas.extract.ground.outside import OutsideDetector
from rhas.extract.ground.windows import Grounder
from rhas.extract.refine.refiner import Refiner
from rhas.manifests.shards.boxes import PersonBoxes
from rhas.manifests.shards.format import PersonRows
from rhas.manifests.shards.interpolated import HOLISTIC, PARTIAL
from rhas.manifests.shards.status import streams_of
from rhas.manifests.tables.manifest import Person


class FeatureError(Exception):
    """A model gave something that can't be stored; the message says what."""


@dataclass
class Timings:
    """Seconds spent by the models on a window, and the frames with somebody in them that they were spent on."""

    ground_s: float = 0.0
    encode_s: float = 0.0
    frames: int = 0


class OnePass:
    """The models of one worker, and how a window goes through them."""

    def __init__(
        self,
        detector: Detector | KnownBoxes | OutsideDetector,
        encoder: Encoder,
        config: ExtractConfig,
        device: torch.device,
        batch: int,
        refiner: Refiner | None = None,
    ):
        if config.detector.refine is not None and refiner is None:
            raise ValueError(f"got no refiner, expected the one of {config.detector.refine = }")
        self.refiner = refiner
        self.grounder = Grounder(detector, config.detector, device, batch)
        self.encoder = encoder
        self.config = config
        self.device = device
        self.encode_batches = Batches(batch)

    def process(
        self,
        window: WindowFrames,
        persons: Sequence[Person],
        inside: Sequence[NDArray[np.bool_]],
        tracked: Mapping[str, PersonBoxes] | None = None,
        first: int = 0,
        shots: NDArray[np.int64] | None = None,
    ) -> tuple[dict[str, PersonRows], Timings]:
        """Features of `persons`, all of the movie's; `inside[i]` [lead + n] says where person i is promised.

        `tracked`: where they are, if that is known already, in a window without lead-in; else they are looked for.
        `first`: the number of the window's first sample in its movie; `shots` [n]: the shot of each, where known.
        Raises FeatureError for features that are not finite in float16.
        """
        lead, ok = window.lead, window.frames.ok
        wanted = np.any([mask[lead:] for mask in inside], axis=0) & ok[lead:]
        timings = Timings(frames=int(wanted.sum()))
        frames = on_device(window.frames.pixels, self.device, self.grounder.lane)
        with torch.inference_mode(), self.autocast(), frames as pixels:
            clock = time.perf_counter()
            if tracked is not None:
                boxes = {person_id: own.without(~ok) for person_id, own in tracked.items()}
            elif self.config.tracks.implementation == "boxes":
                boxes = self._known(window, persons, inside)
            else:
                boxes = self.grounder.ground(window, persons, inside, pixels)
            if self.refiner is not None:
                boxes = self.refiner.exact_in(boxes, pixels, lead, self.encode_batches)
            timings.ground_s = time.perf_counter() - clock
            nothing = np.full((len(wanted), *self.encoder.feature_shape), np.nan, np.float16)
            rows = {
                person_id: PersonRows(holistic=nothing.copy(), partial=nothing.copy(), **vars(own))
                for person_id, own in boxes.items()
            }
            clock = time.perf_counter()
            if self.config.encoder.sparse:
                assert shots is not None and window.time_s is not None  # tracks are known, and they with them
                rows = self._encode_sparsely(window, persons, rows, pixels, first, shots, window.time_s)
            else:
                self._encode(window, persons, rows, pixels, *self._promised(persons, rows))
            timings.encode_s = time.perf_counter() - clock
        return rows, timings

    def _known(
        self, window: WindowFrames, persons: Sequence[Person], inside: Sequence[NDArray[np.bool_]]
    ) -> dict[str, PersonBoxes]:
        detector, lead = self.grounder.detector, window.lead
        assert isinstance(detector, KnownBoxes) and window.time_s is not None  # the config says so
        own = [mask[lead:] for mask in inside]
        return detector.tracked(persons, own, window.time_s[lead:], window.frames.ok[lead:], self.config.sure)

    def autocast(self) -> AbstractContextManager[object]:
        """In which the models run: their weights may have been cast already."""
        bfloat16 = self.config.precision == "bfloat16"
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=bfloat16)

    # --- encoding

    def _promised(
        self, persons: Sequence[Person], rows: Mapping[str, PersonRows]
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """[P, n] where the rows' status promises features of whole frames, and of persons, of the streams that are
        wanted."""
        wanted = streams_of(self.config.to_dict())
        statuses = [rows[p.person_id].status for p in persons]
        return np.isin(statuses, wanted.get("holistic", ())), np.isin(statuses, wanted.get("partial", ()))

    def _encode_sparsely(
        self, window: WindowFrames, persons: Sequence[Person], rows: Mapping[str, PersonRows], pixels: OnDevice,
        first: int, shots: NDArray[np.int64], time_s: NDArray[np.float64],
    ) -> dict[str, PersonRows]:  # fmt: skip
        """Fills in features of some samples by the models, and in between by these."""
        holistic, partial = self._promised(persons, rows)
        whole = [sparse.stretches(has, shots) for has in holistic]
        tracks = [rows[p.person_id].track for p in persons]
        crops = [sparse.stretches(has, shots, track) for has, track in zip(partial, tracks, strict=True)]
        config = self.config.encoder
        see_whole = np.array([sparse.encoded(own, first, config.frame_every) for own in whole])
        see_crops = np.array([sparse.encoded(own, first, config.crop_every) for own in crops])
        self._encode(window, persons, rows, pixels, see_whole, see_crops)
        filled = {}
        for i, person in enumerate(persons):
            own = rows[person.person_id]
            said = HOLISTIC * sparse.fill(own.holistic, see_whole[i], whole[i], time_s)
            said |= PARTIAL * sparse.fill(own.partial, see_crops[i], crops[i], time_s)
            filled[person.person_id] = replace(own, interpolated=said.astype(np.uint8))
        return filled

    def _encode(
        self, window: WindowFrames, persons: Sequence[Person], rows: Mapping[str, PersonRows], pixels: OnDevice,
        holistic: NDArray[np.bool_], partial: NDArray[np.bool_],
    ) -> None:  # fmt: skip
        """Fills in features of whole frames and of persons where they are wanted [P, n].

        They stay on the device until the last one is there.
        """
        todo = np.flatnonzero((holistic | partial).any(axis=0))
        made: list[_Made] = []

        def call(items: slice) -> list[_Made]:
            return list(self._whole(window, persons, holistic, todo[items], pixels))

        for items, whole in self.encode_batches.run(len(todo), call):
            made += whole
            made += self._crops(window, persons, rows, partial, todo[items], pixels)
        for one, features in zip(made, together([one.features for one in made]), strict=True):
            array = features.numpy()
            if not np.isfinite(array).all():
                whose = f"{one.stream} features of person {one.person.person_id}"
                raise FeatureError(f"{whose} are not finite in float16")
            getattr(rows[one.person.person_id], one.stream)[one.at] = array

    def _whole(
        self, window: WindowFrames, persons: Sequence[Person], wanted: NDArray[np.bool_],
        frames: NDArray[np.int64], pixels: OnDevice,
    ) -> Iterator[_Made]:  # fmt: skip
        frames = frames[wanted[:, frames].any(axis=0)]
        if not len(frames):
            return
        encoder = self.encoder
        images = whole_frames(pixels.at(frames + window.lead), encoder.image_size, encoder.fit, encoder.fill)
        seen = encoder.see(images)
        for person, mask in zip(persons, wanted[:, frames], strict=True):
            if mask.any():
                features = encoder.read(_some(seen, mask), person.reference)
                yield _Made(person, "holistic", frames[mask], features.to(torch.float16))

    def _crops(
        self, window: WindowFrames, persons: Sequence[Person], rows: Mapping[str, PersonRows],
        wanted: NDArray[np.bool_], frames: NDArray[np.int64], pixels: OnDevice,
    ) -> list[_Made]:  # fmt: skip
        """Crops of all persons in the given frames, together, so that batches are full."""
        who, at = np.nonzero(wanted[:, frames])
        if not len(who):
            return []
        boxes = np.stack(
            [rows[persons[int(w)].person_id].box[frames[a]] for w, a in zip(who, at, strict=True)]
        )
        shown = pixels.at(frames + window.lead)

        def call(items: slice) -> list[_Made]:
            # Boxes and places are numbers of the CPU's, which no device has to be asked for.
            crops = person_crops(
                shown, torch.from_numpy(boxes[items]), at[items].tolist(),
                self.encoder.image_size, self.config.encoder.crop_margin, self.encoder.fill,
            )  # fmt: skip
            seen = self.encoder.see(crops)
            found = []
            for index in np.unique(who[items]):
                mask = who[items] == index
                person = persons[int(index)]
                features = self.encoder.read(_some(seen, mask), person.reference)
                found.append(_Made(person, "partial", frames[at[items][mask]], features.to(torch.float16)))
            return found

        return [one for _, found in self.encode_batches.run(len(who), call) for one in found]


@dataclass(frozen=True)
class _Made:
    """Features [n, ...] float16 of a person in the window's samples `at`, where the models are."""

    person: Person
    stream: str
    at: NDArray[np.int64]
    features: torch.Tensor


def _some(seen: torch.Tensor, mask: NDArray[np.bool_]) -> torch.Tensor:
    """The rows that a mask of the CPU's says, without a wait for the device."""
    if mask.all():
        return seen
    return seen.index_select(0, torch.from_numpy(np.flatnonzero(mask)).to(seen.device, non_blocking=True))
