"""Masks of the condition."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import chisquare
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


def test_kinds_and_actions_are_drawn_as_often_as_listed() -> None:
    """Segments of three actions, each as often; all masks here blank other frames."""
    n, curve = 3000, (torch.arange(12) % 5 == 3).float()[None, None]
    config = ConditionMaskConfig()
    drawn = draw_condition_mask(
        config, 0.3, Y.expand(n, -1, -1), curve.expand(n, -1, -1), draws_of(MASK.expand(n, -1), 0)
    )
    expected = {
        (True,) * 12: 1 / 5, (False,) * 12: 1 / 5, tuple((curve[0, 0] < 0.3).tolist()): 1 / 5,
        **{tuple((Y[0, c] == 0).tolist()): 2 / 5 / 3 for c in (0, 1, 3)},
    }  # fmt: skip
    found = [tuple(row) for row in drawn[:, 0].tolist()]
    assert set(found) == set(expected)
    assert (
        chisquare([found.count(mask) for mask in expected], [n * p for p in expected.values()]).pvalue > 0.01
    )


@pytest.mark.parametrize("actions", [1, 2, 3, 7])
def test_as_many_actions_are_blanked_as_asked_or_as_there_are(actions: int) -> None:
    there = torch.arange(200) % 5  # actions that a video has, of four that never meet
    y = (
        torch.eye(4).repeat_interleave(3, 1).expand(200, -1, -1)
        * (torch.arange(4) < there[:, None])[..., None]
    )
    config = ConditionMaskConfig(kinds=("segment",), actions=actions)
    draws = draws_of(MASK.expand(200, -1), 5)
    blanked = ~draw_condition_mask(config, 0.3, y, torch.zeros(200, 1, 12), draws)[:, 0]
    of_action = blanked.unflatten(1, (4, 3))
    assert (of_action.all(2) == of_action.any(2)).all()
    assert torch.equal(of_action.all(2).sum(1), there.clamp(max=actions))


def test_padding_changes_no_mask() -> None:
    n = 100
    y, curve = Y.expand(n, -1, -1), CURVE.expand(n, -1, -1)
    mask = torch.ones(n, 12, dtype=torch.bool)
    alone = draw_condition_mask(ConditionMaskConfig(), 0.3, y, curve, draws_of(mask, 0))
    longer = [torch.nn.functional.pad(x, (0, 9)) for x in (y, curve, mask)]
    padded = draw_condition_mask(ConditionMaskConfig(), 0.3, *longer[:2], draws_of(longer[2], 0))
    assert torch.equal(padded[..., :12], alone)


def test_config_is_checked() -> None:
    with pytest.raises(InputError) as caught:
        ConditionMaskConfig(kinds=("full", "half"), actions=0)
    assert [p.column for p in caught.value.problems] == ["kinds", "actions"]
    with pytest.raises(InputError, match="kept_below: got 0: expected a number above 0"):
        BoundaryConfig(kept_below=0)
