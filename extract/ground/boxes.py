"""From a model's raw boxes and scores to a person's candidates: plain torch, float32, no torchvision.

`select` is of one frame; `select_all` gives the same for many at once, on any device, without a wait for it.

Shapes: N boxes, Q queries, F frames, K boxes that are looked at of each; boxes are normalised to [0, 1] of the frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

# Before suppression, which is quadratic. A trained detector passes a handful above any sensible threshold.
MAX_CANDIDATES = 100


@dataclass(frozen=True)
class Candidates:
    """The boxes that may show one sentence's person in one frame, best first; possibly none."""

    boxes: Tensor  # [N, 4] x1 y1 x2 y2, normalised to [0, 1] of the frame, float32, on the CPU
    scores: Tensor  # [N] from 0 to 1, float32, on the CPU

    def __len__(self) -> int:
        return len(self.scores)


def corners(boxes_N4: Tensor) -> Tensor:
    """[..., 4] centre x, centre y, width, height to x1 y1 x2 y2, clipped to the frame."""
    centre, half = boxes_N4[..., :2], boxes_N4[..., 2:] / 2
    return torch.cat([centre - half, centre + half], dim=-1).clamp(0, 1)


def pairwise_iou(boxes_N4: Tensor) -> Tensor:
    """[..., N, 4] x1 y1 x2 y2 to [..., N, N] intersection over union; 0 where both areas are 0."""
    top_left = torch.maximum(boxes_N4[..., :, None, :2], boxes_N4[..., None, :, :2])
    bottom_right = torch.minimum(boxes_N4[..., :, None, 2:], boxes_N4[..., None, :, 2:])
    intersection_NN = (bottom_right - top_left).clamp(min=0).prod(-1)
    area_N = (boxes_N4[..., 2:] - boxes_N4[..., :2]).prod(-1)
    union_NN = area_N[..., :, None] + area_N[..., None, :] - intersection_NN
    return intersection_NN / union_NN.clamp(min=torch.finfo(torch.float32).tiny)


def suppress(boxes_N4: Tensor, threshold: float) -> Tensor:
    """Greedy non-maximum suppression of boxes that are sorted best first.

    A box falls if its IoU with a better box that stays is above `threshold`. Returns [N] bool: who stays.
    """
    overlaps_NN = pairwise_iou(boxes_N4) > threshold
    stays_N = torch.ones(len(boxes_N4), dtype=torch.bool, device=boxes_N4.device)
    for i in range(len(boxes_N4)):
        if stays_N[i]:
            stays_N[i + 1 :] &= ~overlaps_NN[i, i + 1 :]
    return stays_N


def select(boxes_Q4: Tensor, scores_Q: Tensor, box_threshold: float, nms_iou: float) -> Candidates:
    """A model's boxes [Q, 4] (centre, size) and scores [Q] of one sentence in one frame to its candidates."""
    boxes_Q4, scores_Q = boxes_Q4.float().cpu(), scores_Q.float().cpu()
    finite_Q = boxes_Q4.isfinite().all(-1) & scores_Q.isfinite()
    boxes_Q4 = corners(boxes_Q4)
    has_area_Q = (boxes_Q4[:, 2:] > boxes_Q4[:, :2]).all(-1)
    usable_Q = finite_Q & has_area_Q & (scores_Q >= box_threshold)
    boxes_N4, scores_N = boxes_Q4[usable_Q], scores_Q[usable_Q]
    best_first = scores_N.argsort(descending=True, stable=True)[:MAX_CANDIDATES]
    boxes_N4, scores_N = boxes_N4[best_first], scores_N[best_first]
    stays_N = suppress(boxes_N4, nms_iou)
    return Candidates(boxes_N4[stays_N], scores_N[stays_N])


def select_all(boxes_FQ4: Tensor, scores_FQ: Tensor, box_threshold: float, nms_iou: float) -> Tensor:
    """`select` of F frames: [F, K, 5] x1 y1 x2 y2 score, on the device, best first; NaN where there are no more."""
    boxes_FQ4, scores_FQ = boxes_FQ4.float(), scores_FQ.float()
    finite_FQ = boxes_FQ4.isfinite().all(-1) & scores_FQ.isfinite()
    boxes_FQ4 = corners(boxes_FQ4)
    has_area_FQ = (boxes_FQ4[..., 2:] > boxes_FQ4[..., :2]).all(-1)
    usable_FQ = finite_FQ & has_area_FQ & (scores_FQ >= box_threshold)
    most = _count(usable_FQ)
    ranked_FQ = torch.where(usable_FQ, scores_FQ, -1.0)
    best_first_FK = ranked_FQ.argsort(dim=-1, descending=True, stable=True)[:, :most]
    boxes_FK4 = boxes_FQ4.gather(1, best_first_FK[..., None].expand(-1, -1, 4))
    scores_FK = ranked_FQ.gather(1, best_first_FK)
    stays_FK = _suppress_all(boxes_FK4, scores_FK >= 0, nms_iou)
    candidates_FK5 = torch.cat([boxes_FK4, scores_FK[..., None]], dim=-1)
    candidates_FK5 = torch.where(stays_FK[..., None], candidates_FK5, torch.nan)
    order_FK = (~stays_FK).to(torch.uint8).argsort(dim=-1, stable=True)
    return candidates_FK5.gather(1, order_FK[..., None].expand(-1, -1, 5))


def _count(usable_FQ: Tensor) -> int:
    """How many boxes of a frame are looked at: on a CPU, which may be asked, as many as there are."""
    if usable_FQ.device.type != "cpu" or not usable_FQ.numel():
        return MAX_CANDIDATES
    return min(MAX_CANDIDATES, int(usable_FQ.sum(-1).max()))


def _suppress_all(boxes_FK4: Tensor, there_FK: Tensor, threshold: float) -> Tensor:
    """`suppress` of F frames, of the boxes that are there: [F, K] bool."""
    overlaps_FKK = pairwise_iou(boxes_FK4) > threshold
    stays_FK = there_FK.clone()
    for i in range(stays_FK.shape[1] - 1):
        stays_FK[:, i + 1 :] &= ~(stays_FK[:, i : i + 1] & overlaps_FKK[:, i, i + 1 :])
    return stays_FK


def unpacked(candidates_FK5: Tensor) -> list[Candidates]:
    """What `select_all` found, on the CPU, frame by frame."""
    counts = candidates_FK5[..., 4].isfinite().sum(-1).tolist()
    return [Candidates(own[:n, :4], own[:n, 4]) for own, n in zip(candidates_FK5, counts, strict=True)]
