"""Everybody in a frame that pass one looks at: what one caption for all finds, and what the sentences found beside it.

Boxes that overlap are of one person; of these, that of the caption for all stays. What only a sentence found counts if
it is a detection of its own. In: candidates by frame, and the pixels. Out: the arrays `all_*` of
`rhas.manifests.shards.seen`.

Shapes: S frames looked at, N boxes, M sights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from rhas.extract.config import DetectorConfig
from rhas.extract.ground.boxes import Candidates
from rhas.extract.ground.exclusive import persons_seen
from rhas.extract.tracks.looks import LOOK, colours, look

MOST = 40  # of a frame, the best ones: crowds have no end


def everybody(
    frames_SHW3: NDArray[np.uint8],
    found: Mapping[int, Candidates],
    sentences: Sequence[Mapping[int, Candidates]],
    config: DetectorConfig,
) -> dict[str, NDArray]:
    """`found`: of the caption for all, by frame; `sentences[i]`: of sentence i."""
    at, boxes, scores, looks = [], [], [], []
    for frame, pixels_HW3 in enumerate(frames_SHW3):
        own = [found[frame]] if frame in found else []
        asked = [by_frame[frame] for by_frame in sentences if frame in by_frame]
        boxes_N4 = torch.cat([torch.zeros(0, 4), *(c.boxes for c in [*own, *asked])])
        scores_N = torch.cat([torch.zeros(0), *(c.scores for c in [*own, *asked])]).numpy()
        general_N = np.arange(len(scores_N)) < sum(map(len, own))
        counts_N = general_N | (scores_N >= config.box_threshold)
        boxes_N4, scores_N, general_N = (
            boxes_N4[torch.from_numpy(counts_N)],
            scores_N[counts_N],
            general_N[counts_N],
        )
        if not len(scores_N):
            continue
        who_N = persons_seen(boxes_N4, scores_N + general_N, config.same_iou)
        heads = []
        for person in range(who_N.max() + 1):
            same = np.flatnonzero(who_N == person)
            heads.append((float(scores_N[same].max()), int(same[np.argmax((scores_N + general_N)[same])])))
        for score, head in sorted(heads, key=lambda pair: -pair[0])[:MOST]:
            at.append(frame)
            boxes.append(boxes_N4[head].numpy())
            scores.append(score)
            looks.append(look(pixels_HW3, boxes_N4[head].numpy()))
    small = np.stack(looks) if looks else np.zeros((0, *LOOK, 3), np.uint8)
    return {
        "all_at": np.array(at, np.int32),
        "all_box": np.array(boxes, np.float32).reshape(-1, 4),
        "all_score": np.array(scores, np.float32),
        "all_colours": np.rint(colours(small)).astype(np.uint8),
    }
