"""One window, everyone in it: from frames to the features of all referred persons.

What doesn't depend on the sentence is done once: the detector's backbone and the encoder's vision tower run
once per frame. Per person remain the detector's fusion, the crop with its vision pass, and the text part of
the encoder. In: decoded frames with their lead-in, persons with their intervals. Out: `PersonRows` for a
shard. Left to others: decoding, scheduling, files.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from rhas.extract.config import ExtractConfig
from rhas.extract.decode.windows import WindowFrames
from rhas.extract.encode.batches import Batches
from rhas.extract.encode.crops import person_crops, whole_frames
from rhas.extract.encode.encoder import Encoder
from rhas.extract.ground.boxes import Candidates
from rhas.extract.ground.detector import Detector
from rhas.extract.ground.known_boxes import KnownBoxes
from rhas.manifests.shards.format import PersonRows, empty_rows
from rhas.manifests.shards.status import HAS_HOLISTIC, HAS_PARTIAL, FrameStatus
from rhas.manifests.tables.manifest import Person


class FeatureError(Exception):
    """A model gave something that can't be stored; the message says what."""


@dataclass
class Timings:
    """Seconds spent by the models on a window, and the frames with somebody in them that they were spent on."""

    ground_s: float = 0.0
    encode_s: float = 0.0
    frames: int = 0


@dataclass(eq=False)
class Tracklet:
    """One person's detections in a window, and the last one before it.

    `inside` [n] and `lead_inside` [lead]: promised. `box` [n, 4] with NaN where nothing was detected,
    `score` [n], `candidates` [n]. `before`: row (negative) and box of the detection to carry into the window.
    """

    person: Person
    inside: NDArray[np.bool_]
    lead_inside: NDArray[np.bool_]
    box: NDArray[np.float32] = field(init=False)
    score: NDArray[np.float32] = field(init=False)
    candidates: NDArray[np.uint16] = field(init=False)
    before: tuple[int, NDArray[np.float32]] | None = None

    def __post_init__(self) -> None:
        n = len(self.inside)
        self.box = np.full((n, 4), np.nan, np.float32)
        self.score = np.full(n, np.nan, np.float32)
        self.candidates = np.zeros(n, np.uint16)

    @property
    def detected(self) -> NDArray[np.bool_]:
        return np.isfinite(self.score)


class OnePass:
    """The models of one worker, and how a window goes through them."""

    def __init__(
        self,
        detector: Detector | KnownBoxes,
        encoder: Encoder,
        config: ExtractConfig,
        device: torch.device,
        batch: int,
    ):
        self.detector = detector
        self.encoder = encoder
        self.config = config
        self.device = device
        self.detect_batches = Batches(batch)
        self.encode_batches = Batches(batch)

    def process(
        self, window: WindowFrames, persons: Sequence[Person], inside: Sequence[NDArray[np.bool_]]
    ) -> tuple[dict[str, PersonRows], Timings]:
        """Features of `persons` in `window`; `inside[i]` [lead + n] says where person i is promised.

        Raises FeatureError for features that are not finite in float16.
        """
        lead, ok = window.lead, window.frames.ok
        tracklets = [Tracklet(p, mask[lead:], mask[:lead]) for p, mask in zip(persons, inside, strict=True)]
        wanted = np.any([t.inside for t in tracklets], axis=0) & ok[lead:]
        timings = Timings(frames=int(wanted.sum()))
        with torch.inference_mode(), self._autocast():
            clock = time.perf_counter()
            self._detect(window, tracklets, np.flatnonzero(wanted))
            self._look_back(window, tracklets)
            timings.ground_s = time.perf_counter() - clock
            rows = {
                tracklet.person.person_id: self._with_status(tracklet, ok[lead:]) for tracklet in tracklets
            }
            clock = time.perf_counter()
            self._encode(window, persons, rows)
            timings.encode_s = time.perf_counter() - clock
        return rows, timings

    def _autocast(self) -> AbstractContextManager[object]:
        bfloat16 = self.config.precision == "bfloat16"
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=bfloat16)

    def _on_device(self, window: WindowFrames, rows: NDArray[np.int64]) -> torch.Tensor:
        """Frames of the window's rows; those before 0 are the lead-in's."""
        return torch.from_numpy(window.frames.pixels[rows + window.lead]).to(self.device)

    # --- grounding

    def _detect(self, window: WindowFrames, tracklets: list[Tracklet], todo: NDArray[np.int64]) -> None:
        """Fills in the tracks' detections in the rows `todo`, batch by batch, all persons at once."""

        def call(items: slice) -> list[tuple[Tracklet, list[Candidates]]]:
            rows = todo[items]
            return self._ask(window, rows, tracklets, [t for t in tracklets if t.inside[rows].any()])

        for items, found in self.detect_batches.run(len(todo), call):
            for tracklet, per_frame in found:
                for row, candidates in zip(todo[items], per_frame, strict=True):
                    if tracklet.inside[row] and len(candidates):
                        tracklet.box[row] = candidates.boxes[0].numpy()
                        tracklet.score[row] = float(candidates.scores[0])
                        tracklet.candidates[row] = min(len(candidates), np.iinfo(np.uint16).max)

    def _look_back(self, window: WindowFrames, tracklets: list[Tracklet]) -> None:
        """Finds the detections of the lead-in that are carried into the window.

        The lead-in is looked at, from its end backwards, only while a person is sought there.
        """
        lead, ok = window.lead, window.frames.ok
        sought = {tracklet: rows for tracklet in tracklets if (rows := self._rows_before(tracklet, ok, lead))}
        todo = np.array(sorted(set().union(*sought.values()), reverse=True), dtype=np.int64)

        def call(items: slice) -> list[tuple[Tracklet, list[Candidates]]]:
            rows = todo[items]
            active = [tracklet for tracklet in sought if not sought[tracklet].isdisjoint(rows.tolist())]
            return self._ask(window, rows, tracklets, active) if active else []

        for items, found in self.detect_batches.run(len(todo), call):
            for tracklet, per_frame in found:
                for row, candidates in zip(todo[items].tolist(), per_frame, strict=True):
                    if row in sought.get(tracklet, ()) and len(candidates):
                        tracklet.before = row, candidates.boxes[0].numpy()
                        del sought[tracklet]

    def _rows_before(self, tracklet: Tracklet, ok: NDArray[np.bool_], lead: int) -> set[int]:
        """Rows of the lead-in (negative) from which a box could be carried into the window."""
        found = np.flatnonzero(tracklet.detected)
        first = int(found[0]) if len(found) else len(tracklet.inside)
        lost = np.flatnonzero(tracklet.inside[:first] & ok[lead : lead + first])
        if not len(lost):
            return set()
        oldest = max(-lead, int(lost[0]) - self.config.detector.carry_frames)
        return {row for row in range(oldest, 0) if tracklet.lead_inside[lead + row] and ok[lead + row]}

    def _ask(
        self, window: WindowFrames, rows: NDArray[np.int64], tracklets: list[Tracklet], sought: list[Tracklet]
    ) -> list[tuple[Tracklet, list[Candidates]]]:
        """The detector's candidates in some rows, for those sought or, with one caption, for everyone."""
        # A caption for everyone must always hold everyone, or boxes would depend on the batch.
        asked = tracklets if self.config.detector.joint else sought
        if isinstance(self.detector, KnownBoxes):
            assert window.time_s is not None
            found = self.detector.look_up(
                [tracklet.person for tracklet in asked], window.time_s[rows + window.lead]
            )
        else:
            frames = self._on_device(window, rows)
            found = self.detector.detect(frames, [tracklet.person.reference for tracklet in asked])
        return list(zip(asked, found, strict=True))

    def _with_status(self, tracklet: Tracklet, ok: NDArray[np.bool_]) -> PersonRows:
        """Rows with boxes and status; the features are still NaN."""
        rows = empty_rows(tracklet.inside, self.encoder.feature_shape, FrameStatus.UNDECODABLE)
        last_row, last_box = tracklet.before or (None, None)
        for row in np.flatnonzero(tracklet.inside & ok):
            if tracklet.detected[row]:
                last_row, last_box = int(row), tracklet.box[row]
                rows.status[row] = FrameStatus.DETECTED
                rows.score[row], rows.candidates[row] = tracklet.score[row], tracklet.candidates[row]
            elif last_row is not None and row - last_row <= self.config.detector.carry_frames:
                rows.status[row] = FrameStatus.CARRIED
            else:
                rows.status[row] = FrameStatus.MISSING
                continue
            rows.box[row] = last_box
        return rows

    # --- encoding

    def _encode(self, window: WindowFrames, persons: Sequence[Person], rows: dict[str, PersonRows]) -> None:
        """Fills in the features that the rows' status promises."""
        holistic = np.array([np.isin(rows[p.person_id].status, HAS_HOLISTIC) for p in persons])
        partial = np.array([np.isin(rows[p.person_id].status, HAS_PARTIAL) for p in persons])
        todo = np.flatnonzero(holistic.any(axis=0))
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
