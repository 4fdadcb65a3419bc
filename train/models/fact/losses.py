"""The losses of one block of FACT on one video: of frames, segments and tokens, and of what they look at.

A token is to be of its segment's class, or of none; the segment's frames are to look at it, and it at them. A segment
weighs as its class does. Where a frame is in several segments, it is to look at each one's token by its share; where
it is in none, it may look anywhere.

Shapes: T frames, X frames or cut segments, M tokens, N = C + 1 classes of tokens, S true segments, P pairs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from rhas.train.models.diffusion.labels import Link
from rhas.train.models.fact.blocks import BlockOutput, CrossAttentions
from rhas.train.models.fact.matching import Pairs
from rhas.train.models.fact.truth import Truth
from rhas.train.models.losses import label_loss, smoothing_loss

LEAST = 1e-6  # of a sum that is divided by: there may be nothing to sum


@dataclass(frozen=True, eq=False)
class Target:
    """What a video is held to."""

    y_1CT: Tensor  # labels that frames learn, maybe soft
    truth: Truth
    tokens_P: Tensor
    segments_P: Tensor
    weight_P: Tensor  # of each pair: that of the segment's class
    class_M: Tensor  # of each token
    weight_N: Tensor  # of classes, and last of none


def target_of(y_CT: Tensor, truth: Truth, pairs: Pairs, tokens: int, weight_N: Tensor) -> Target:
    """A token without a segment is of the class none."""
    classes_P = truth.runs.classes_S[pairs.segments_P]
    class_M = np.full(tokens, len(weight_N) - 1)
    class_M[pairs.tokens_P] = classes_P
    tokens_P, segments_P, on_device_P, on_device_M = (
        torch.from_numpy(x).to(y_CT.device, non_blocking=True) for x in (*pairs, classes_P, class_M)
    )
    return Target(y_CT[None], truth, tokens_P, segments_P, weight_N[on_device_P], on_device_M, weight_N)


def block_losses(output: BlockOutput, target: Target, link: Link, over_classes: str) -> dict[str, Tensor]:
    """Scalars by name: `frames_cross_entropy`, `tokens_cross_entropy`, `a2f_attention` …"""
    counts_1T, class_weight_C = target.truth.counts_T[None], target.weight_N[:-1]
    frames_1CT = output.frames_TC.T[None]
    frames = label_loss(frames_1CT, target.y_1CT, counts_1T, link, class_weight_C, over_classes)
    # One label a frame is the paper's, whose gradient goes to both frames of a pair.
    losses = {"frames_smoothing": smoothing_loss(frames_1CT, counts_1T, link, both=link == "softmax")[0]}
    if (attentions := output.attentions) is not None:
        if attentions.cuts is not None:
            segments = _segment_loss(attentions, target, link, over_classes)
            frames, losses["segments_cross_entropy"] = frames / 2, segments / 2
        losses |= _attention_losses(attentions, target, link)
    tokens = F.cross_entropy(output.tokens_MN, target.class_M, target.weight_N)
    # A video of which nothing counts says nothing of tokens either.
    losses["tokens_cross_entropy"] = tokens * counts_1T.any()
    losses["frames_cross_entropy"] = frames[0]
    return losses


def _segment_loss(attentions: CrossAttentions, target: Target, link: Link, over_classes: str) -> Tensor:
    """Of the mean labels of cut segments [1]."""
    assert attentions.cuts is not None and attentions.segments_SC is not None
    counts_T = target.truth.counts_T
    y_1CS = attentions.cuts.means(target.y_1CT[0].T, counts_T).T[None]
    counts_1S = (attentions.cuts.sums(counts_T[:, None].float()) > 0).T
    logits_1CS = attentions.segments_SC.T[None]
    return label_loss(logits_1CS, y_1CS, counts_1S, link, target.weight_N[:-1], over_classes)


def _attention_losses(attentions: CrossAttentions, target: Target, link: Link) -> dict[str, Tensor]:
    """Of both directions, and how smooth they are along frames; those of cut segments are not smoothed.

    With one label a frame, frames choose among the tokens that are matched, each as often as it has segments: so it is
    in the released code, and null tokens, which inference passes over, may be looked at. With several, where all count,
    among all.
    """
    truth = target.truth
    on_XS, share_XS, counts_X = truth.on_TS, truth.share_TS, truth.counts_T
    if attentions.cuts is not None:
        on_XS, share_XS = (attentions.cuts.means(x_TS, truth.counts_T) for x_TS in (on_XS, share_XS))
        counts_X = attentions.cuts.sums(counts_X[:, None].float())[:, 0] > 0
    least = torch.finfo(torch.float32).min  # no infinity, for videos of which nothing counts
    f2a_PX = attentions.f2a_MX.masked_fill(~counts_X, least)[target.tokens_P].log_softmax(1)
    f2a_XP = f2a_PX.masked_fill(~counts_X, 0).T
    if link == "softmax":
        a2f_XP = attentions.a2f_XM[:, target.tokens_P].log_softmax(1)
    else:
        a2f_XP = attentions.a2f_XM.log_softmax(1)[:, target.tokens_P]
    losses = {
        "f2a_attention": _pointed(f2a_XP, on_XS, target),
        "a2f_attention": _pointed(a2f_XP, share_XS, target),
    }
    if attentions.cuts is None:
        for name, logits_MX in (("f2a", attentions.f2a_MX), ("a2f", attentions.a2f_XM.T)):
            smoothed = smoothing_loss(logits_MX[None], counts_X[None], "softmax", both=True)
            losses[f"{name}_smoothing"] = smoothed[0]
    return losses


def _pointed(log_XP: Tensor, wanted_XS: Tensor, target: Target) -> Tensor:
    """−Σ G log p w / Σ G, over pairs."""
    wanted_XP = wanted_XS[:, target.segments_P]
    return -(wanted_XP * log_XP * target.weight_P).sum() / wanted_XP.sum().clamp(min=LEAST)
