"""One window, everyone in it: from frames to the features of all referred persons.

What doesn't depend on the sentence is done once: the detector's backbone and the encoder's vision tower run
once per frame. Per person remain the detector's fusion, the crop with its vision pass, and the text part of
the encoder. In: decoded frames with their lead-in, persons with their intervals. Out: `PersonRows` for a
shard. Left to others: decoding, scheduling, files.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from rhas.extract.batches import Batches
from rhas.extract.config import ExtractConfig
from rhas.extract.decode.windows import WindowFrames
from rhas.extract.encode.crops import person_crops, whole_frames
from rhas.extract.encode.encoder import Encoder
from rhas.extract.ground.detector import Detector
from rhas.extract.ground.known_boxes import KnownBoxes
from rhas.extract.ground.outside import OutsideDetector
from rhas.extract.ground.windows import Grounder
from rhas.manifests.shards.boxes import PersonBoxes
from rhas.manifests.shards.format import PersonRows
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
    ):
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
    ) -> tuple[dict[str, PersonRows], Timings]:
        """Features of `persons`, all of the movie's; `inside[i]` [lead + n] says where person i is promised.

        `tracked`: where they are, if that is known already, in a window without lead-in; else they are looked for.
        Raises FeatureError for features that are not finite in float16.
        """
        lead, ok = window.lead, window.frames.ok
        wanted = np.any([mask[lead:] for mask in inside], axis=0) & ok[lead:]
        timings = Timings(frames=int(wanted.sum()))
        with torch.inference_mode(), self.autocast():
            clock = time.perf_counter()
            if tracked is not None:
                boxes = {person_id: own.without(~ok) for person_id, own in tracked.items()}
            elif self.config.tracks.implementation == "boxes":
                boxes = self._known(window, persons, inside)
            else:
                boxes = self.grounder.ground(window, persons, inside)
            timings.ground_s = time.perf_counter() - clock
            nothing = np.full((len(wanted), *self.encoder.feature_shape), np.nan, np.float16)
            rows = {
                person_id: PersonRows(holistic=nothing.copy(), partial=nothing.copy(), **vars(own))
                for person_id, own in boxes.items()
            }
            clock = time.perf_counter()
            self._encode(window, persons, rows)
            timings.encode_s = time.perf_counter() - clock
        return rows, timings

    def _known(
        self, window: WindowFrames, persons: Sequence[Person], inside: Sequence[NDArray[np.bool_]]
    ) -> dict[str, PersonBoxes]:
        detector, lead = self.grounder.detector, window.lead
        assert isinstance(detector, KnownBoxes) and window.time_s is not None  # the config says so
        own = [mask[lead:] for mask in inside]
        return detector.tracked(
            persons, own, window.time_s[lead:], window.frames.ok[lead:], self.config.detector.sure
        )

    def autocast(self) -> AbstractContextManager[object]:
        """In which the models run: their weights may have been cast already."""
        bfloat16 = self.config.precision == "bfloat16"
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=bfloat16)

    def _on_device(self, window: WindowFrames, rows: NDArray[np.int64]) -> torch.Tensor:
        """Frames of the window's rows; those before 0 are the lead-in's."""
        return torch.from_numpy(window.frames.pixels[rows + window.lead]).to(self.device)

    # --- encoding

    def _encode(self, window: WindowFrames, persons: Sequence[Person], rows: dict[str, PersonRows]) -> None:
        """Fills in the features that the rows' status promises, of the streams that are wanted."""
        wanted = streams_of(self.config.to_dict())
        holistic, partial = (
            np.array([np.isin(rows[p.person_id].status, wanted.get(stream, ())) for p in persons])
            for stream in ("holistic", "partial")
        )
        todo = np.flatnonzero((holistic | partial).any(axis=0))
        for items, _ in self.encode_batches.run(
            len(todo), lambda items: self._encode_whole(window, persons, rows, holistic, todo[items])
        ):
            self._encode_crops(window, persons, rows, partial, todo[items])

    def _encode_whole(
        self,
        window: WindowFrames,
        persons: Sequence[Person],
        rows: dict[str, PersonRows],
        wanted: NDArray[np.bool_],
        frames: NDArray[np.int64],
    ) -> None:
        if not wanted[:, frames].any():
            return
        pixels = self._on_device(window, frames)
        images = whole_frames(pixels, self.encoder.image_size, self.encoder.fit, self.encoder.fill)
        seen = self.encoder.see(images)
        for person, mask in zip(persons, wanted[:, frames], strict=True):
            if mask.any():
                read = self.encoder.read(seen[torch.from_numpy(mask).to(seen.device)], person.reference)
                rows[person.person_id].holistic[frames[mask]] = _storable(read, "holistic", person)

    def _encode_crops(
        self,
        window: WindowFrames,
        persons: Sequence[Person],
        rows: dict[str, PersonRows],
        wanted: NDArray[np.bool_],
        frames: NDArray[np.int64],
    ) -> None:
        """Crops of all persons in the given frames, together, so that batches are full."""
        who, at = np.nonzero(wanted[:, frames])
        if not len(who):
            return
        boxes = np.stack(
            [rows[persons[int(w)].person_id].box[frames[a]] for w, a in zip(who, at, strict=True)]
        )
        pixels = self._on_device(window, frames)

        def call(items: slice) -> None:
            crops = person_crops(
                pixels, torch.from_numpy(boxes[items]).to(self.device), torch.from_numpy(at[items]).to(self.device),
                self.encoder.image_size, self.config.encoder.crop_margin, self.encoder.fill,
            )  # fmt: skip
            seen = self.encoder.see(crops)
            for index in np.unique(who[items]):
                mask = who[items] == index
                person = persons[int(index)]
                read = self.encoder.read(seen[torch.from_numpy(mask).to(seen.device)], person.reference)
                rows[person.person_id].partial[frames[at[items][mask]]] = _storable(read, "partial", person)

        for _ in self.encode_batches.run(len(who), call):
            pass


def _storable(features: torch.Tensor, stream: str, person: Person) -> NDArray[np.float16]:
    array = features.to(torch.float16).cpu().numpy()
    if not np.isfinite(array).all():
        raise FeatureError(f"{stream} features of person {person.person_id} are not finite in float16")
    return array
