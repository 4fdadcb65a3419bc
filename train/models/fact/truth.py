"""The true segments of a video: maximal runs of each class. With several labels a frame they overlap.

In: labels and which frames count. Out: segments by start, on the CPU, where they are matched, and on the device, where
losses are. Labels come from the device to the CPU once for a batch.

Shapes: B videos, T frames, C classes, S segments.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Runs:
    """Half-open [start, end) of a class each, by start."""

    classes_S: Ints
    starts_S: Ints
    ends_S: Ints


@dataclass(frozen=True, eq=False)
class Truth:
    """The segments of one video, as losses need them."""

    runs: Runs
    on_TS: Tensor  # 1 where a segment is
    share_TS: Tensor  # its share of the frame, in which several may be
    counts_T: Tensor  # bool: frames that losses see


def runs_of(labels_TC: NDArray[np.bool_]) -> Runs:
    """Of labels that are on only in frames that count."""
    edges = np.diff(np.pad(labels_TC.T.astype(np.int8), ((0, 0), (1, 1))))
    # Both by class and then by time, so that they belong together.
    classes_S, starts_S = np.nonzero(edges == 1)
    ends_S = np.nonzero(edges == -1)[1]
    order = np.argsort(starts_S, kind="stable")
    return Runs(classes_S[order], starts_S[order], ends_S[order])


def truth_of(labels_BCT: Tensor, valid_BT: Tensor, lengths: Sequence[int]) -> list[Truth]:
    """Of each video of a batch; a segment ends where frames no longer count."""
    on_BCT = ((labels_BCT > 0) & valid_BT[:, None]).cpu().numpy()
    videos = zip(on_BCT, valid_BT, lengths, strict=True)
    return [_truth(runs_of(on_CT[:, :n].T), valid_T[:n]) for on_CT, valid_T, n in videos]


def _truth(runs: Runs, counts_T: Tensor) -> Truth:
    bounds_2S = torch.from_numpy(np.stack([runs.starts_S, runs.ends_S]))
    starts_S, ends_S = bounds_2S.to(counts_T.device, non_blocking=True)
    at_T1 = torch.arange(len(counts_T), device=counts_T.device)[:, None]
    on_TS = ((at_T1 >= starts_S) & (at_T1 < ends_S)).float()
    return Truth(runs, on_TS, on_TS / on_TS.sum(1, keepdim=True).clamp(min=1), counts_T)
