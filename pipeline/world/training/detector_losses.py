"""What the small GroundingDINO is trained by. Its own loss in transformers finds people, but not who is meant.

Proposals and queries answer to all persons near them, not to one each (strict matching lets sixteen clustered queries
pull their boxes apart); boxes are learnt for everybody, words for the one who is meant, and beside "is it this one?"
stands the choice among the persons of the picture, which is the question asked.

Shapes: N sentences, P persons (padded), S tokens, A proposals of the encoder, Q queries of the decoder.
Boxes are (x1, y1, x2, y2) as shares of the frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from rhas.pipeline.world.training.detector_model import LOOKS, REGIONS

NEAR = 0.35  # IoU from which a query answers to a person
_CENTRAL = (
    0.27  # a proposal answers to who has it within this share of their width and height from the centre
)
_EARLIER = 0.7  # weight of each decoder layer before the last
_SOMEBODY = 0.25  # target of proposals at a person who isn't meant: worth a query, which may know better


@dataclass(frozen=True)
class Targets:
    """What N sentences are about."""

    boxes_NP4: Tensor
    visible_NP: Tensor  # bool: to be found
    hidden_NP: Tensor  # bool: in the picture, but too little of them to count either way
    meant_NP: (
        Tensor  # bool: the one whom the sentence names, nobody if they aren't in the picture; or everybody
    )
    phrase_NS: Tensor  # bool: the sentence's own tokens
    tokens_NS: Tensor  # bool: all tokens


def detection_losses(
    proposals: tuple[Tensor, Tensor],
    layers: Sequence[tuple[Tensor, Tensor]],
    targets: Targets,
    centres_A2: Tensor,
) -> dict[str, Tensor]:
    """Weighted losses of a forward pass, from logits [N, A, S] and boxes [N, A, 4] (centre and size).

    `proposals` are the encoder's, at places `centres_A2` (x and y as shares); `layers` the decoder's, of Q queries, of
    whom the last is what is used.
    """
    logits_NAS, boxes_NA4 = proposals[0], corners(proposals[1])
    own_NA, skip_NA = _by_centre(centres_A2, targets)
    somebody_NA = torch.where(_meant(own_NA, targets), 1.0, _SOMEBODY)
    losses = {
        "box": _box_loss(boxes_NA4, own_NA, targets),
        "word": _word_loss(logits_NAS, own_NA, skip_NA, targets, somebody_NA),
        "rank": _rank_persons(_phrase_mean(logits_NAS, targets), own_NA, targets),
    }
    for weight, answer in zip([*[_EARLIER] * (len(layers) - 1), 1.0], layers, strict=True):
        of_layer = _query_losses(answer, targets)
        for name in losses:
            losses[name] = losses[name] + weight * of_layer[name]
    return losses | {"right": of_layer["right"]}


def _query_losses(answer: tuple[Tensor, Tensor], targets: Targets) -> dict[str, Tensor]:
    logits_NQS, boxes_NQ4 = answer[0], corners(answer[1])
    overlap_NQP = iou(boxes_NQ4[:, :, None], targets.boxes_NP4[:, None]).detach()
    best_NQ, own_NQ = (overlap_NQP * targets.visible_NP[:, None]).max(dim=2)
    own_NQ = torch.where(best_NQ > NEAR, own_NQ, -1)
    hidden_NQ = (overlap_NQP * targets.hidden_NP[:, None]).amax(2) > NEAR
    # Of boxes about one person the most exact shall win.
    wanted_NQ = torch.where(_meant(own_NQ, targets), best_NQ, 0.0)
    mean_NQ = _phrase_mean(logits_NQS, targets)
    return {
        "box": _box_loss(boxes_NQ4, own_NQ, targets),
        "word": _word_loss(logits_NQS, own_NQ, hidden_NQ & (own_NQ < 0), targets, wanted_NQ),
        "rank": _rank_queries(mean_NQ, own_NQ, targets),
        "right": _right(mean_NQ, own_NQ, targets),
    }


def _meant(own_NA: Tensor, targets: Targets) -> Tensor:
    """Whether each proposal or query [N, A] is somebody's who is meant."""
    return targets.meant_NP.gather(1, own_NA.clamp(min=0)) & (own_NA >= 0)


def look_losses(
    features: Tensor,
    heads: torch.nn.ModuleDict,
    boxes_MP4: Tensor,
    clear_MP: Tensor,
    looks: dict[str, Tensor],
) -> Tensor:
    """Cross entropy of the looks that heads read from features [M, C, h, w] inside of each person's box.

    `clear_MP` says whose looks can be seen; `looks` [M, P] are indices into LOOKS.
    """
    total = features.new_zeros(())
    for name in LOOKS:
        pooled_MPC = pool(features, region(boxes_MP4, *REGIONS[name]))
        total = total + F.cross_entropy(heads[name](pooled_MPC[clear_MP]), looks[name][clear_MP])
    return total


def region(boxes: Tensor, top: float, bottom: float) -> Tensor:
    """The part of boxes [..., 4] between two shares of their height."""
    x1, y1, x2, y2 = boxes.unbind(-1)
    return torch.stack([x1, y1 + top * (y2 - y1), x2, y1 + bottom * (y2 - y1)], -1)


def pool(features_MChw: Tensor, boxes_MP4: Tensor) -> Tensor:
    """Means [M, P, C] of features over boxes, cells counting by how much of them is inside."""
    _, _, h, w = features_MChw.shape
    x_MPw = _overlap(boxes_MP4[..., 0], boxes_MP4[..., 2], w)
    y_MPh = _overlap(boxes_MP4[..., 1], boxes_MP4[..., 3], h)
    return torch.einsum("mchw,mph,mpw->mpc", features_MChw, y_MPh, x_MPw)


def _overlap(low: Tensor, high: Tensor, cells: int) -> Tensor:
    """Shares of an interval [..., cells] that fall into equal cells of [0, 1]; they sum to 1."""
    edges = torch.arange(cells, device=low.device) / cells
    inside = (torch.minimum(high[..., None], edges + 1 / cells) - torch.maximum(low[..., None], edges)).clamp(
        min=0
    )
    return inside / inside.sum(-1, keepdim=True).clamp(min=1e-6)


def corners(boxes: Tensor) -> Tensor:
    """(centre, size) to (x1, y1, x2, y2)."""
    centre, size = boxes[..., :2], boxes[..., 2:]
    return torch.cat([centre - size / 2, centre + size / 2], -1)


def iou(a: Tensor, b: Tensor, generalised: bool = False) -> Tensor:
    """Intersection over union of boxes [..., 4]; or its generalised form (Rezatofighi et al., 2019, Eq. 1)."""
    low, high = torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:])
    shared = (high - low).clamp(min=0).prod(-1)
    union = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1) - shared
    value = shared / union.clamp(min=1e-6)
    if not generalised:
        return value
    hull = (
        (torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2]))
        .prod(-1)
        .clamp(min=1e-6)
    )
    return value - (hull - union) / hull


def _by_centre(centres_A2: Tensor, targets: Targets) -> tuple[Tensor, Tensor]:
    """Whose each proposal is [N, A], -1 for nobody's; and which are a hidden person's [N, A]."""
    boxes = targets.boxes_NP4
    middle, size = (boxes[..., :2] + boxes[..., 2:]) / 2, (boxes[..., 2:] - boxes[..., :2]).clamp(min=1e-3)
    away_NAP = ((centres_A2[None, :, None] - middle[:, None]) / size[:, None]).abs().amax(-1)
    seen_NAP = away_NAP.masked_fill(~targets.visible_NP[:, None], torch.inf)
    nearest, own_NA = seen_NAP.min(dim=2)
    # Who is too narrow to hold a centre has the nearest one.
    only_NAP = seen_NAP == seen_NAP.amin(dim=1, keepdim=True)
    forced = only_NAP.gather(2, own_NA[..., None])[..., 0] & nearest.isfinite()
    own_NA = torch.where((nearest < _CENTRAL) | forced, own_NA, -1)
    skip_NA = (away_NAP.masked_fill(~targets.hidden_NP[:, None], torch.inf).amin(2) < 0.5) & (own_NA < 0)
    return own_NA, skip_NA


def _phrase_mean(logits_NAS: Tensor, targets: Targets) -> Tensor:
    """Mean logit of a sentence's own tokens [N, A]."""
    own = targets.phrase_NS[:, None]
    return logits_NAS.masked_fill(~own, 0).sum(2) / own.sum(2)


def _box_loss(boxes_NA4: Tensor, own_NA: Tensor, targets: Targets) -> Tensor:
    """Distances of edges, as shares of the person's width or height, and the generalised IoU."""
    rows, columns = torch.nonzero(own_NA >= 0, as_tuple=True)
    if not len(rows):
        return boxes_NA4.sum() * 0
    found, true = boxes_NA4[rows, columns], targets.boxes_NP4[rows, own_NA[rows, columns]]
    size = (true[:, 2:] - true[:, :2]).clamp(min=0.01).repeat(1, 2)
    return ((found - true).abs() / size).sum(1).mean() + 2 * (1 - iou(found, true, generalised=True)).mean()


def _word_loss(
    logits_NAS: Tensor, own_NA: Tensor, skip_NA: Tensor, targets: Targets, wanted_NA: Tensor
) -> Tensor:
    """Focal binary cross entropy of tokens (gamma 2, soft targets), per proposal that is somebody's."""
    wanted_NA = torch.where(own_NA >= 0, wanted_NA, 0.0)
    wanted = wanted_NA[..., None] * targets.phrase_NS[:, None]
    counted = (targets.tokens_NS[:, None] & ~skip_NA[..., None]).expand_as(logits_NAS)
    logits, wanted = logits_NAS[counted], wanted[counted]
    loss = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    loss = loss * (logits.sigmoid() - wanted).abs() ** 2
    tokens = targets.phrase_NS.sum(1).float().mean()
    return loss.sum() / ((own_NA >= 0).sum().clamp(min=1) * tokens)


def _rank_persons(mean_NA: Tensor, own_NA: Tensor, targets: Targets) -> Tensor:
    """Cross entropy over the persons of a picture, each scored by the mean over their proposals."""
    member_NAP = F.one_hot(own_NA + 1, targets.boxes_NP4.shape[1] + 1)[..., 1:].float()
    score_NP = torch.einsum("na,nap->np", mean_NA, member_NAP) / member_NAP.sum(1).clamp(min=1)
    score_NP = score_NP.masked_fill(~targets.visible_NP, -1e4)
    asked = (targets.meant_NP.sum(1) == 1) & (targets.visible_NP.sum(1) > 1)
    if not asked.any():
        return mean_NA.sum() * 0
    return F.cross_entropy(score_NP[asked], targets.meant_NP[asked].long().argmax(1))


def _rank_queries(mean_NQ: Tensor, own_NQ: Tensor, targets: Targets) -> Tensor:
    """How little of a softmax over queries goes to those of who is meant, where there are some."""
    meant_NQ = _meant(own_NQ, targets)
    asked = meant_NQ.any(1)
    if not asked.any():
        return mean_NQ.sum() * 0
    log_NQ = mean_NQ[asked].log_softmax(1).masked_fill(~meant_NQ[asked], -torch.inf)
    return -log_NQ.logsumexp(1).mean()


def _right(mean_NQ: Tensor, own_NQ: Tensor, targets: Targets) -> Tensor:
    """Share of sentences whose best query is near who is meant; to be shown, not learnt."""
    right_N = _meant(own_NQ, targets).gather(1, mean_NQ.argmax(1, keepdim=True))[:, 0]
    return right_N[targets.meant_NP.any(1)].float().mean().detach()
