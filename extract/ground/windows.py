"""One window, everyone in it: from frames to each person's box in every frame, with what is known of it.

The detector is asked in batches of frames, for everyone. Then frame after frame: candidates above the threshold are
given out, each person to one sentence at most (`exclusive`); who gets none is followed by a weaker candidate that
overlaps the last box, for a while after the last detection; what remains of weak candidates is doubtful. A detection
is looked for in the frames just before the window too, so that the result doesn't depend on where windows begin.

Shapes: n frames of the window, `lead` frames before it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from rhas.extract.batches import Batches
from rhas.extract.config import DetectorConfig
from rhas.extract.decode.on_device import OnDevice, lane_to, on_device, together
from rhas.extract.decode.windows import WindowFrames
from rhas.extract.ground.boxes import Candidates, unpacked
from rhas.extract.ground.detector import Detector
from rhas.extract.ground.exclusive import assign, overlapping
from rhas.extract.ground.known_boxes import KnownBoxes
from rhas.extract.ground.outside import OutsideDetector, check_found
from rhas.manifests.shards.boxes import PersonBoxes, no_boxes
from rhas.manifests.shards.status import FrameStatus
from rhas.manifests.tables.manifest import Person

_Answer = (
    torch.Tensor | list[list[Candidates]]
)  # of a batch, by sentence and frame; as `Detector.find` gives it


def _here(answers: Sequence[_Answer]) -> list[list[list[Candidates]]]:
    """Everybody's candidates in every batch, brought from the device at once."""
    brought = iter(together([answer for answer in answers if isinstance(answer, torch.Tensor)]))
    return [
        [unpacked(own) for own in next(brought)] if isinstance(answer, torch.Tensor) else answer
        for answer in answers
    ]


@dataclass
class _Last:
    """A person's last box, and the row of the last detection, from which it was followed."""

    detected: int
    box: NDArray[np.float32]


@dataclass(frozen=True)
class _Sought:
    person: Person
    inside: NDArray[np.bool_]  # [lead + n]: promised
    found: dict[int, Candidates]  # by row; those before 0 are the lead-in's


class Grounder:
    """Persons in windows, by a detector or by boxes that are known already."""

    def __init__(
        self,
        detector: Detector | KnownBoxes | OutsideDetector,
        config: DetectorConfig,
        device: torch.device,
        batch: int,
    ):
        self.detector = detector
        self.config = config
        self.device = device
        self.batches = Batches(batch)
        self.lane = lane_to(device)

    def ground(
        self, window: WindowFrames, persons: Sequence[Person], inside: Sequence[NDArray[np.bool_]],
        frames: OnDevice,
    ) -> dict[str, PersonBoxes]:  # fmt: skip
        """Boxes of `persons`, who are all of the movie's; `inside[i]` [lead + n] says where person i is promised.

        `frames`: the window's.
        """
        sought = [_Sought(person, mask, {}) for person, mask in zip(persons, inside, strict=True)]
        lead, ok = window.lead, window.frames.ok
        wanted = np.any([mask[lead:] for mask in inside], axis=0) & ok[lead:]
        self._look(window, sought, np.flatnonzero(wanted), frames)
        rows = range(-lead, len(ok) - lead)
        detected = {row: self._detected(sought, row) for row in rows[lead:]}
        self._look_back(window, sought, detected, frames)
        boxes = {one.person.person_id: no_boxes(one.inside[lead:]) for one in sought}
        last: dict[str, _Last] = {}
        for row in rows:
            if ok[lead + row]:
                self._settle(row, lead, sought, detected.get(row, {}), last, boxes)
        return boxes

    def candidates(
        self, window: WindowFrames, persons: Sequence[Person], inside: Sequence[NDArray[np.bool_]]
    ) -> list[dict[int, Candidates]]:
        """All that is found of each person in the rows in which they are promised, of a window without lead-in."""
        assert not window.lead
        sought = [_Sought(person, mask, {}) for person, mask in zip(persons, inside, strict=True)]
        with on_device(window.frames.pixels, self.device, self.lane) as frames:
            self._look(window, sought, np.flatnonzero(np.any(inside, axis=0) & window.frames.ok), frames)
        return [one.found for one in sought]

    # --- asking

    def _look(
        self, window: WindowFrames, sought: Sequence[_Sought], rows: NDArray[np.int64], frames: OnDevice
    ) -> None:
        """Asks for everyone who is promised in some rows, batch by batch; what is found stays on the device till the
        last is asked."""
        asked: list[tuple[NDArray[np.int64], list[_Sought]]] = []
        answers: list[_Answer] = []
        for items, (whom, answer) in self.batches.run(
            len(rows), lambda items: self._ask(window, rows[items], sought, frames)
        ):
            asked.append((rows[items], whom))
            answers.append(answer)
        for (own, whom), found in zip(asked, _here(answers), strict=True):
            for one, per_frame in zip(whom, found, strict=True):
                for row, candidates in zip(own.tolist(), per_frame, strict=True):
                    if one.inside[window.lead + row]:
                        one.found[row] = candidates

    def _ask(
        self, window: WindowFrames, rows: NDArray[np.int64], sought: Sequence[_Sought], frames: OnDevice
    ) -> tuple[list[_Sought], _Answer]:
        at = rows + window.lead
        # A caption for everyone must always hold everyone, or boxes would depend on the batch.
        asked = [one for one in sought if self.config.joint or one.inside[at].any()]
        sentences = [one.person.reference for one in asked]
        if isinstance(self.detector, KnownBoxes):
            assert window.time_s is not None
            return asked, self.detector.look_up([one.person for one in asked], window.time_s[at])
        if isinstance(self.detector, Detector):
            return asked, self.detector.find(frames.at(at), sentences)
        found = self.detector.detect(frames.at(at), sentences)
        if isinstance(self.detector, OutsideDetector):  # a trial on one picture proves little of others
            check_found(found, len(asked), len(at))
        return asked, found

    def _look_back(
        self, window: WindowFrames, sought: Sequence[_Sought], detected: dict[int, dict[str, int]],
        frames: OnDevice,
    ) -> None:  # fmt: skip
        """Looks at the lead-in, from its end backwards, while somebody's last detection may matter and isn't found."""
        before = {one.person.person_id: self._rows_before(window, one, detected) for one in sought}
        needed = {who: rows for who, rows in before.items() if rows}
        todo = sorted(set().union(*needed.values()), reverse=True)
        while needed and todo:
            size = self.batches.size
            batch = [row for row in todo[:size] if any(row in rows for rows in needed.values())]
            todo = todo[size:]
            self._look(window, sought, np.array(batch, np.int64), frames)
            for row in batch:
                detected[row] = self._detected(sought, row)
                needed = {who: rows for who, rows in needed.items() if who not in detected[row]}

    def _rows_before(
        self, window: WindowFrames, one: _Sought, detected: Mapping[int, Mapping[str, int]]
    ) -> set[int]:
        """Rows of the lead-in (negative) from which a person may be followed to a weak candidate in the window."""
        if self.config.follow_frames == 0:
            return set()
        first = next((row for row in sorted(detected) if one.person.person_id in detected[row]), None)
        weak = [
            row for row, found in sorted(one.found.items()) if len(found) and (first is None or row < first)
        ]
        if not weak:
            return set()
        oldest = max(-window.lead, weak[0] - self.config.follow_frames)
        at = range(oldest, 0)
        return {row for row in at if one.inside[window.lead + row] and window.frames.ok[window.lead + row]}

    # --- choosing

    def _detected(self, sought: Sequence[_Sought], row: int) -> dict[str, int]:
        """Who is detected in a row, and which of their candidates it is."""
        asked = [one for one in sought if row in one.found]
        return self._given_out(row, asked, self.config.box_threshold, ())

    def _given_out(
        self, row: int, asked: Sequence[_Sought], threshold: float, taken: Sequence[NDArray[np.float32]]
    ) -> dict[str, int]:
        """Who gets a candidate in a row, and which of theirs; nobody one that is `taken`."""
        found = [one.found[row] for one in asked]
        if self.config.exclusive and not isinstance(self.detector, KnownBoxes):
            chosen = assign(found, threshold, self.config.same_iou, taken)
        else:
            chosen = [0 if len(own) and own.scores[0] >= threshold else None for own in found]
        return {one.person.person_id: k for one, k in zip(asked, chosen, strict=True) if k is not None}

    def _settle(
        self, row: int, lead: int, sought: Sequence[_Sought], detected: Mapping[str, int],
        last: dict[str, _Last], boxes: Mapping[str, PersonBoxes],
    ) -> None:  # fmt: skip
        """What becomes of everyone in a row; in the lead-in only what is needed to follow them."""
        taken: list[NDArray[np.float32]] = []
        left: list[_Sought] = []
        for one in sought:
            who = one.person.person_id
            if not one.inside[lead + row]:
                last.pop(who, None)
            elif who in detected:
                box = self._write(row, one, detected[who], FrameStatus.DETECTED, boxes)
                last[who] = _Last(row, box)
                taken.append(box)
            elif (k := self._followed(row, one, last.get(who))) is not None:
                last[who].box = self._write(row, one, k, FrameStatus.FOLLOWED, boxes)
                taken.append(last[who].box)
            elif row >= 0:
                boxes[who].status[row] = FrameStatus.MISSING
                left.append(one)
        doubtful = self._given_out(row, left, 0.0, taken)
        for one in left:
            if (k := doubtful.get(one.person.person_id)) is not None:
                self._write(row, one, k, FrameStatus.DOUBTFUL, boxes)

    def _followed(self, row: int, one: _Sought, last: _Last | None) -> int | None:
        """The best candidate that overlaps the last box, if that isn't too old."""
        if last is None or row - last.detected > self.config.follow_frames or not len(one.found.get(row, ())):
            return None
        near = overlapping(one.found[row].boxes, [last.box], self.config.same_iou)
        return int(near.argmax()) if near.any() else None

    def _write(
        self, row: int, one: _Sought, k: int, status: FrameStatus, boxes: Mapping[str, PersonBoxes]
    ) -> NDArray[np.float32]:
        candidates = one.found[row]
        box = candidates.boxes[k].numpy()
        if row >= 0:
            own, score = boxes[one.person.person_id], float(candidates.scores[k])
            own.box[row], own.score[row], own.status[row] = box, score, status
            own.sure[row] = self.config.sure.of(status, score)
            own.candidates[row] = min(len(candidates), np.iinfo(np.uint16).max)
        return box
