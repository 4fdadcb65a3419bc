"""What pass one takes from a looked-at frame: everybody seen in it, how they look, which sentences they answer to.

Sentences are scored one by one, each with boxes of its own. Boxes that overlap well are of the same person; what this
person looks like is kept as a small picture of the best of them. In: the detector's candidates of every sentence, and
the pixels. Out: flat arrays, as `rhas.manifests.shards.seen` stores them.

Shapes: S frames looked at, N boxes, O persons seen (of one frame each).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from rhas.extract.config import ExtractConfig
from rhas.extract.decode.process import Frames
from rhas.extract.decode.windows import WindowFrames
from rhas.extract.ground.boxes import Candidates
from rhas.extract.ground.exclusive import persons_seen
from rhas.extract.ground.windows import Grounder
from rhas.extract.tracks.crowd import everybody
from rhas.extract.tracks.looks import LOOK, look
from rhas.extract.tracks.outside import OutsideTracker, check_tracks
from rhas.manifests.tables.manifest import Person

SAME_IOU = 0.7  # boxes that overlap by more are one sight; the two of a pair that embraces are two


class Looker:
    """The detector of one worker in pass one, and the tracker of another package that goes on from what it finds."""

    def __init__(self, grounder: Grounder, config: ExtractConfig, tracker: OutsideTracker | None = None):
        self.grounder = grounder
        self.config = config
        self.tracker = tracker

    def look(
        self,
        window: WindowFrames,
        start: int,
        look_n: NDArray[np.bool_],
        persons: Sequence[Person],
        inside: Sequence[NDArray[np.bool_]],
    ) -> dict[str, NDArray]:
        """The arrays of `rhas.manifests.shards.seen`, of a window of n samples that begins at sample `start` of its
        movie and was thinned out to those to look at, unless there is a tracker. `inside[i]` [n]: where person i, of
        all of the movie's, is promised.
        """
        whole = window.frames
        if self.tracker is not None:
            window = window.thinned_out(look_n)
        assert window.changes is not None
        device, bfloat16 = self.grounder.device, self.config.precision == "bfloat16"
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
            asked = [*persons, *self._anybody(persons)]
            masks = [*inside, np.any(inside, axis=0)][: len(asked)]
            found = self.grounder.candidates(window, asked, [mask[look_n] for mask in masks])
            ok = window.frames.ok
            place = np.cumsum(ok) - 1  # of a decoded frame among these
            decoded = [{int(place[row]): own for row, own in found_i.items()} for found_i in found]
            own, anybody = decoded[: len(persons)], decoded[len(persons) :]
            sights = sight(window.frames.pixels[ok], own, SAME_IOU)
            row_S = np.flatnonzero(look_n)[ok]
            tracked = {} if self.tracker is None else self._tracked(whole, row_S, sights)
        all_of_them = (
            everybody(window.frames.pixels[ok], anybody[0], own, self.config.detector) if anybody else {}
        )
        return {
            **vars(window.changes),
            "decoded": window.decoded,
            "sample": start + row_S,
            **vars(sights),
            **all_of_them,
            **tracked,
        }

    def _anybody(self, persons: Sequence[Person]) -> list[Person]:
        """The one that means everybody, where everybody is looked for."""
        caption = self.config.tracks.everybody
        return [] if caption is None else [Person(persons[0].movie_id, "", caption)]

    def _tracked(self, whole: Frames, row_S: NDArray[np.int64], sights: Sight) -> dict[str, NDArray]:
        """What the tracker makes of a window whose samples `row_S` were looked at."""
        assert self.tracker is not None
        place_n = np.cumsum(whole.ok) - 1
        seen = {int(place_n[row_S[s]]): sights.best(s) for s in np.unique(sights.at)}
        frames = torch.from_numpy(whole.pixels if whole.ok.all() else whole.pixels[whole.ok])
        tracks = self.tracker.track(frames, seen) if seen else []
        check_tracks(tracks, len(frames))
        n, count = len(whole.ok), len(tracks)
        box, score = np.full((count, n, 4), np.nan, np.float32), np.full((count, n), np.nan, np.float32)
        pictures = np.zeros((count, len(row_S), *LOOK, 3), np.uint8)
        for k, track in enumerate(tracks):
            box[k, whole.ok], score[k, whole.ok] = track.box, track.score
            score[k, np.isnan(box[k, :, 0])] = np.nan
            for s in np.flatnonzero(np.isfinite(box[k, row_S, 0])):
                pictures[k, s] = look(whole.pixels[row_S[s]], box[k, row_S[s]])
        return {"tracked": box, "tracked_score": score, "tracked_look": pictures}


@dataclass(frozen=True)
class Sight:
    """Boxes in S frames: `at` [N] the frame, `whom` [N] the sentence, `box` [N, 4], `score` [N], `who` [N] the person
    seen, whose small picture is `look` [O, 12, 6, 3] uint8."""

    at: NDArray[np.int32]
    whom: NDArray[np.int32]
    box: NDArray[np.float32]
    score: NDArray[np.float32]
    who: NDArray[np.int32]
    look: NDArray[np.uint8]

    def best(self, at: int) -> torch.Tensor:
        """[M, 4] the best box of each person seen in a frame, best first."""
        own = np.flatnonzero(self.at == at)
        own = own[np.argsort(-self.score[own], kind="stable")]
        _, first = np.unique(self.who[own], return_index=True)
        return torch.from_numpy(self.box[own[np.sort(first)]])


def sight(
    frames_SHW3: NDArray[np.uint8], found: Sequence[Mapping[int, Candidates]], same_iou: float
) -> Sight:
    """`found[i]`: candidates of sentence i by frame, for those frames in which it was asked for."""
    parts: dict[str, list[NDArray]] = {name: [] for name in ("at", "whom", "box", "score", "who", "look")}
    persons = 0
    for at, frame_HW3 in enumerate(frames_SHW3):
        asked = [(i, own[at]) for i, own in enumerate(found) if at in own and len(own[at])]
        if not asked:
            continue
        boxes_N4 = torch.cat([candidates.boxes for _, candidates in asked])
        scores_N = torch.cat([candidates.scores for _, candidates in asked]).numpy()
        who_N = persons_seen(boxes_N4, scores_N, same_iou)
        heads = [np.flatnonzero(who_N == o)[scores_N[who_N == o].argmax()] for o in range(who_N.max() + 1)]
        parts["at"].append(np.full(len(who_N), at))
        parts["whom"].append(np.repeat([i for i, _ in asked], [len(own) for _, own in asked]))
        parts["box"].append(boxes_N4.numpy())
        parts["score"].append(scores_N)
        parts["who"].append(persons + who_N)
        parts["look"].append(np.stack([look(frame_HW3, boxes_N4[n].numpy()) for n in heads]))
        persons += len(heads)
    nothing = {"box": np.zeros((0, 4)), "look": np.zeros((0, *LOOK, 3))}
    whole = {
        name: np.concatenate(part) if part else nothing.get(name, np.zeros(0)) for name, part in parts.items()
    }
    types = {"box": np.float32, "score": np.float32, "look": np.uint8}
    return Sight(**{name: array.astype(types.get(name, np.int32)) for name, array in whole.items()})
