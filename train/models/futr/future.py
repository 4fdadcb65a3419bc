"""What FUTR's queries are to say of a video that is seen up to a frame, and what they say, frame by frame.

What follows is taken as runs of one label set each: with one label a frame they are the actions to come, as in the
paper. Query m stands for the m-th, and the one behind the last for none; how long each lasts is a share of what is
told, which ends `ahead` of the video's length behind what was seen. Frames that don't count are left out.

Shapes: B batch, C classes, T frames, U frames with those to come, M queries, N = C + 1 classes with none, the last.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from rhas.train.models.diffusion.labels import Link


class Future(NamedTuple):
    """What is to be said."""

    labels_BCM: Tensor  # of each run, 0 or 1; 0 behind the last one
    shares_BM: Tensor  # of what is told
    runs_B: Tensor  # how many there are, int64; more than M where queries don't suffice


def future_of(labels_BCT: Tensor, valid_BT: Tensor, seen_B: Tensor, until_B: Tensor, queries: int) -> Future:
    """The runs of frames [seen, until)."""
    frames = labels_BCT.shape[2]
    at_T = torch.arange(frames, device=labels_BCT.device)
    told_BT = valid_BT & (at_T >= seen_B[:, None]) & (at_T < until_B[:, None])
    # Each frame's last one before it that is told, −1 where there is none.
    last_BT = torch.where(told_BT, at_T, -1).cummax(1).values
    before_BT = torch.cat([last_BT.new_full((len(last_BT), 1), -1), last_BT[:, :-1]], 1)
    before_BCT = labels_BCT.gather(2, before_BT.clamp(min=0)[:, None].expand_as(labels_BCT))
    begins_BT = told_BT & ((before_BT < 0) | (labels_BCT != before_BCT).any(1))
    run_BT = begins_BT.cumsum(1) - 1
    of_run_BTM = (run_BT[:, :, None] == torch.arange(queries, device=run_BT.device)) & told_BT[:, :, None]
    lengths_BM = of_run_BTM.sum(1)
    first_BM = (of_run_BTM & begins_BT[:, :, None]).float().argmax(1)
    labels_BCM = labels_BCT.gather(2, first_BM[:, None].expand(-1, labels_BCT.shape[1], -1))
    shares_BM = lengths_BM / told_BT.sum(1, keepdim=True).clamp(min=1)
    return Future(labels_BCM * (lengths_BM > 0)[:, None], shares_BM, begins_BT.sum(1))


def told(
    actions_BMN: Tensor, durations_BM: Tensor, link: Link, seen_B: Tensor, until_B: Tensor, frames: int
) -> Tensor:
    """Scores in [0, 1] [B, C, U] of frames [seen, until) by what queries say; what follows is as the last one's.

    They count up to the first that says none, but for the very first; frames that were seen get the first one's.
    """
    if link == "softmax":
        scores_BMC = actions_BMN[:, :, :-1].softmax(2)
        none_BM = actions_BMN.argmax(2) == actions_BMN.shape[2] - 1
    else:
        scores_BMC, none_BM = actions_BMN[:, :, :-1].sigmoid(), actions_BMN[:, :, -1] > 0
    none_BM = torch.cat([torch.zeros_like(none_BM[:, :1]), none_BM[:, 1:]], 1)
    said_BM = (~none_BM).long().cumprod(1).bool()
    shares_BM = durations_BM.masked_fill(~said_BM, -torch.inf).softmax(1)
    ends_BM = seen_B[:, None] + shares_BM.cumsum(1) * (until_B - seen_B)[:, None]
    middle_U = torch.arange(frames, device=ends_BM.device) + 0.5
    query_BU = (middle_U[:, None] >= ends_BM[:, None]).sum(2)
    query_BU = torch.minimum(query_BU, said_BM.sum(1, keepdim=True) - 1)
    return scores_BMC.gather(1, query_BU[:, :, None].expand(-1, -1, scores_BMC.shape[2])).transpose(1, 2)
