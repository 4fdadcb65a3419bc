"""Which token stands for which true segment: the assignment of least cost, by scipy, on the CPU.

A token and a segment go together if the token is of the segment's class, and if the frames that look at it are the
segment's. Where several segments are in a frame, each is to have its share of what the frame looks at; with one label a
frame this is the paper's. Segments may be left without a token, if there are more of them (or of classes) than tokens.

Shapes: T frames, M tokens, N classes of tokens, S segments, P pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from rhas.train.models.fact.blocks import BlockOutput
from rhas.train.models.fact.config import MatchingConfig
from rhas.train.models.fact.truth import Ints, Truth

Floats = NDArray[np.float32]


class Pairs(NamedTuple):
    """Tokens [P] and the segments [P] that they stand for. A segment has one token at most."""

    tokens_P: Ints
    segments_P: Ints


@torch.no_grad()
def matched(outputs: Sequence[BlockOutput], truths: Sequence[Truth], config: MatchingConfig) -> list[Pairs]:
    """The pairs of each video, by what its last block says. A GPU is waited for once."""
    costs = [cost(last, truth, config) for last, truth in zip(outputs, truths, strict=True)]
    on_cpu = torch.cat([cost_MS.flatten() for cost_MS in costs]).cpu().numpy()
    # The training loop tells of losses that aren't finite; scipy would tell of costs.
    split = np.split(np.nan_to_num(on_cpu), np.cumsum([cost_MS.numel() for cost_MS in costs])[:-1])
    return [
        assigned(numbers.reshape(cost_MS.shape), truth.runs.classes_S, config.kind)
        for numbers, cost_MS, truth in zip(split, costs, truths, strict=True)
    ]


def cost(output: BlockOutput, truth: Truth, config: MatchingConfig) -> Tensor:
    """Of each token and segment [M, S], the lower the better."""
    assert output.attentions is not None, "got a block without attention, expected u or U"
    classes_S = torch.from_numpy(truth.runs.classes_S).to(output.tokens_MN.device, non_blocking=True)
    alike_MS = output.tokens_MN.softmax(1)[:, classes_S]
    return -(config.classes * alike_MS + config.overlap * overlap(output.attentions.attention_TM, truth))


def overlap(attention_TM: Tensor, truth: Truth) -> Tensor:
    """Soft IoU of what is looked at a token and what is a segment's [M, S]: Σ min / Σ max over frames that count."""
    attention_TM = attention_TM * truth.counts_T[:, None]
    bounds = zip(truth.runs.starts_S.tolist(), truth.runs.ends_S.tolist(), strict=True)
    common = [
        torch.minimum(attention_TM[start:end], truth.share_TS[start:end, s, None]).sum(0)
        for s, (start, end) in enumerate(bounds)
    ]
    common_MS = torch.stack(common, 1) if common else attention_TM.new_zeros(attention_TM.shape[1], 0)
    return common_MS / (attention_TM.sum(0)[:, None] + truth.share_TS.sum(0) - common_MS)


def assigned(cost_MS: Floats, classes_S: Ints, kind: str) -> Pairs:
    """The pairs of least cost.

    o2o: each token has one segment. o2m: tokens are assigned to the classes that occur, at the cost of all of a class's
    segments; a token that is left over joins the class where it costs least; and each segment takes the cheapest token
    of its class, so that a token may have several.
    """
    if kind == "o2o":
        return Pairs(*map(np.asarray, linear_sum_assignment(cost_MS)))
    there_K, of_S = np.unique(classes_S, return_inverse=True)
    if not len(there_K):
        return Pairs(np.zeros(0, np.int64), np.zeros(0, np.int64))
    cost_MK = np.stack([cost_MS[:, of_S == k].sum(1) for k in range(len(there_K))], 1)
    joined_M = cost_MK.argmin(1)
    tokens, kinds = linear_sum_assignment(cost_MK)
    joined_M[tokens] = kinds
    allowed_MS = joined_M[:, None] == of_S
    best_S = np.where(allowed_MS, cost_MS, np.inf).argmin(0)
    with_token = np.flatnonzero(allowed_MS.any(0))
    return Pairs(best_S[with_token], with_token)
