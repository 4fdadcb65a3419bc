"""Masks of the input: how often each is drawn, how much each leaves out, and that padding changes none."""

from __future__ import annotations

import math
from fractions import Fraction

import torch
from scipy.stats import chisquare
from seeded_generators import draws_of
from torch import Tensor
from torch.nn import functional as F

from rhas.train.models.actfusion.masks import InputMaskConfig, draw_input_mask

T = 60
Y = torch.zeros(1, 3, T)
Y[:, 0, :20], Y[:, 1, 13:47] = 1, 1
CURVE = (torch.arange(T) % 20 == 11).float()[None, None]


def kept(config: InputMaskConfig, n: int, seed: int = 0, frames: int = T, padding: int = 0) -> Tensor:
    """[n, frames], of n videos that are alike, before a longer one if there is padding."""
    y, curve = (F.pad(x[..., :frames], (0, padding)).expand(n + 1, -1, -1) for x in (Y, CURVE))
    lengths = torch.tensor([*[frames] * n, frames + padding])
    real = torch.arange(frames + padding) < lengths[:, None]
    return draw_input_mask(config, 0.3, y, curve, lengths, draws_of(real, seed))[:-1, 0, :frames]


def test_kinds_are_drawn_as_often_as_listed() -> None:
    n, config = 3000, InputMaskConfig(kinds=("none", "boundary", "boundary", "relation", "anticipative"))
    seen = [math.floor(T * Fraction(str(share))) for share in config.observed]
    expected = {
        (True,) * T: 1 / 5, tuple((CURVE[0, 0] < 0.3).tolist()): 2 / 5,
        **{tuple((Y[0, c] == 0).tolist()): 1 / 5 / 2 for c in (0, 1)},
        **{tuple(i < stop for i in range(T)): 1 / 5 / 7 for stop in seen},
    }  # fmt: skip
    found = [tuple(row) for row in kept(config, n).tolist()]
    assert set(found) == set(expected)
    assert (
        chisquare([found.count(mask) for mask in expected], [n * p for p in expected.values()]).pvalue > 0.01
    )


def test_what_is_seen_is_a_share_rounded_down_of_any_length() -> None:
    shares = InputMaskConfig().observed
    for share in shares:
        config = InputMaskConfig(kinds=("anticipative",), observed=(share,))
        lengths = torch.arange(1, 400)
        real = torch.arange(399) < lengths[:, None]
        drawn = draw_input_mask(
            config, 0.3, torch.zeros(399, 3, 399), torch.zeros(399, 1, 399), lengths, draws_of(real, 0)
        )
        expected = [max(1, math.floor(n * Fraction(str(share)))) for n in lengths.tolist()]
        assert (drawn[:, 0] & real).sum(1).tolist() == expected


def test_clips_that_are_left_out() -> None:
    """Two of six clips of ten frames, each pair as often; of 25 frames two of three clips; of 8 the one there is."""
    config, n = InputMaskConfig(kinds=("random",), clip=10, clips=2), 1500
    blanked = ~kept(config, n).unflatten(1, (6, 10))
    assert (blanked.all(2) == blanked.any(2)).all() and (blanked.all(2).sum(1) == 2).all()
    pairs = [tuple(row.nonzero()[:, 0].tolist()) for row in blanked.all(2)]
    assert len(set(pairs)) == 15
    assert chisquare([pairs.count(pair) for pair in set(pairs)]).pvalue > 0.01
    assert set((~kept(config, 50, frames=25)).sum(1).tolist()) == {20, 15}
    assert not kept(config, 50, frames=8).any()


def test_padding_changes_no_mask() -> None:
    config = InputMaskConfig(clip=7, clips=3)
    for frames in (60, 31, 4):
        alone, padded = kept(config, 100, frames=frames), kept(config, 100, frames=frames, padding=23)
        assert torch.equal(alone, padded)
