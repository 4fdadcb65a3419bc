"""What tokens say of frames: scores that stand beside the frames' own.

One label a frame (the paper): a frame has the classes of the token that it looks at most, among those that stand for
something. Several: it has a class if any token that it looks at is of that class, as if these were independent.

Shapes: T frames, M tokens, C classes, N = C + 1 classes of tokens.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rhas.train.models.diffusion.labels import Link, probabilities
from rhas.train.models.fact.blocks import BlockOutput


def scores_of(output: BlockOutput, link: Link) -> dict[str, Tensor]:
    """Scores [T, C] in [0, 1] of the last block, by `frames` and by `tokens`."""
    assert output.attentions is not None, "got a block without attention, expected u or U"
    frames_TC, attention_TM = probabilities(output.frames_TC, link), output.attentions.attention_TM
    if link == "softmax":
        tokens_TC = by_the_nearest(output.tokens_MN, attention_TM, frames_TC)
    else:
        tokens_TC = by_any(output.tokens_MN, attention_TM)
    return {"frames": frames_TC, "tokens": tokens_TC}


def by_the_nearest(tokens_MN: Tensor, attention_TM: Tensor, otherwise_TC: Tensor) -> Tensor:
    """Classes of the token, not null itself, that is looked at most; `otherwise` where all of them are null [T, C]."""
    stands_M = tokens_MN.argmax(1) != tokens_MN.shape[1] - 1
    token_T = attention_TM.masked_fill(~stands_M, -1).argmax(1)
    classes_MC = tokens_MN[:, :-1].softmax(1)
    return torch.where(stands_M.any(), classes_MC[token_T], otherwise_TC)


def by_any(tokens_MN: Tensor, attention_TM: Tensor) -> Tensor:
    """1 − Π_m (1 − A_tm p_m(c)) [T, C]."""
    without_TC = torch.ones_like(attention_TM[:, :1])
    for attention_T1, class_C in zip(attention_TM.T[:, :, None], tokens_MN.softmax(1)[:, :-1], strict=True):
        without_TC = without_TC * (1 - attention_T1 * class_C)
    return 1 - without_TC
