"""Masks of the condition."""

from __future__ import annotations

import pytest
import torch
from seeded_generators import draws_of

from rhas.manifests.common.errors import InputError
from rhas.train.models.actdiff.masks import ConditionMaskConfig, draw_condition_mask
from rhas.train.models.losses import BoundaryConfig

Y = torch.zeros(1, 4, 12)
Y[:, 0, :6], Y[:, 1, 4:], Y[:, 3, 10:] = 1, 1, 1
MASK = torch.ones(1, 12, dtype=torch.bool)
CURVE = torch.linspace(0, 1, 12)[None, None]


def kept(kind: str, seed: int = 0, below: float = 0.3, **more: int) -> torch.Tensor:
    return draw_condition_mask(
        ConditionMaskConfig(kinds=(kind,), **more), below, Y, CURVE, draws_of(MASK, seed)
    )


def test_full_zero_and_boundary() -> None:
    assert kept("full").all() and not kept("zero").any()
    assert torch.equal(kept("boundary", below=0.5), CURVE < 0.5)


def test_segment_blanks_actions_of_the_video() -> None:
    blanked = {tuple((~kept("segment", seed)).nonzero()[:, 2].tolist()) for seed in range(40)}
    assert blanked == {tuple(Y[0, c].nonzero()[:, 0].tolist()) for c in (0, 1, 3)}
    assert not kept("segment", actions=3).any()
    assert not kept("segment", actions=9).any()  # more than the video has


def test_segment_of_a_video_without_actions_blanks_nothing() -> None:
    config = ConditionMaskConfig(kinds=("segment",))
    assert draw_condition_mask(config, 0.3, torch.zeros(1, 4, 12), CURVE, draws_of(MASK, 0)).all()


def test_each_video_draws_its_own_by_the_generator() -> None:
    config = ConditionMaskConfig(kinds=("full", "zero", "zero", "zero"))
    y, curve = Y.expand(400, -1, -1), CURVE.expand(400, -1, -1)
    once, again = (
        draw_condition_mask(config, 0.3, y, curve, draws_of(MASK.expand(400, -1), 1)) for _ in range(2)
    )
    assert torch.equal(once, again)
    assert 0.15 < once[:, 0, 0].float().mean() < 0.35


def test_config_is_checked() -> None:
    with pytest.raises(InputError) as caught:
        ConditionMaskConfig(kinds=("full", "half"), actions=0)
    assert [p.column for p in caught.value.problems] == ["kinds", "actions"]
    with pytest.raises(InputError, match="kept_below: got 0: expected a number above 0"):
        BoundaryConfig(kept_below=0)
