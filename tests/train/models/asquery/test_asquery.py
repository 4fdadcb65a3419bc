"""ASQuery where no released number says it: its boundaries, what it makes of padding, and how it begins."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from rhas.manifests.common.errors import InputError
from rhas.train.models.asquery.backbone import positions
from rhas.train.models.asquery.config import ASQueryNetworkConfig, BoundaryTargetConfig, RefinementConfig
from rhas.train.models.asquery.losses import boundary_curve, dice_loss, focal_loss
from rhas.train.models.asquery.model import ASQuery
from rhas.train.models.asquery.refinement import boundary_peaks, means_between, votes

SMALL = ASQueryNetworkConfig(width=8, heads=2, window=3, branch_dilations=(2, 4), scales=2)


def bell(distance: float, sigma: float = 2.0) -> float:
    return math.exp(-(distance**2) / (2 * sigma**2))


def curve_of(labels: str, valid: str | None = None, reach: int = 2) -> list[float]:
    """Of one label a frame, by its letter."""
    y = torch.tensor([[[float(label == action) for label in labels] for action in sorted(set(labels))]])
    real = torch.tensor([[mark == "1" for mark in valid or "1" * len(labels)]])
    return boundary_curve(y, real, BoundaryTargetConfig(sigma=2.0, reach=reach))[0].tolist()


def test_the_curve_has_a_bell_before_each_change() -> None:
    near = [bell(d) for d in (2, 1, 0, 1, 2)]
    assert curve_of("aaabbbbb") == pytest.approx([*near, 0, 0, 0])
    # A change next to either end, which is where the released code breaks off or leaves it out.
    assert curve_of("abbbbbbb") == pytest.approx([*near[2:], 0, 0, 0, 0, 0])
    assert curve_of("aaaaaaab") == pytest.approx([0, 0, 0, 0, *near[:4]])
    # Where two reach, the later one counts.
    assert curve_of("aabbaaaa") == pytest.approx([bell(1), bell(2), bell(1), 1, bell(1), bell(2), 0, 0])
    assert curve_of("aaabbbbb", valid="11101111") == [0] * 8 == curve_of("aaaaaaaa")


def test_any_class_of_a_set_that_changes_is_a_change() -> None:
    y = torch.tensor([[[1.0, 1, 1, 1], [0, 0, 1, 1]]])
    found = boundary_curve(y, torch.ones(1, 4, dtype=torch.bool), BoundaryTargetConfig(sigma=1.0, reach=0))
    assert found.tolist() == [[0, 1, 0, 0]]


def test_losses_of_several_classes_are_what_their_formulas_say() -> None:
    p = torch.tensor([[[0.9, 0.2, 0.6], [0.5, 0.5, 0.5], [0.3, 0.1, 0.8]]], dtype=torch.float64)
    y = torch.tensor([[[1.0, 0, 1], [1, 1, 0], [0, 0, 0]]], dtype=torch.float64)
    mask, weights = torch.tensor([[True, True, False]]), torch.tensor([1.0, 3.0, 1.0])
    positive = 0.25 * (0.1**2 * -math.log(0.9) + 2 * 3 * 0.5**2 * -math.log(0.5))
    negative = 0.75 * sum(q**2 * -math.log(1 - q) for q in (0.2, 0.3, 0.1))
    focal = focal_loss(p.logit(), y, mask, weights, 0.25, 2.0)
    assert focal.item() == pytest.approx((positive + negative) / 2)
    first, second = 1 - 2 * 0.9 / (0.81 + 0.04 + 1), 1 - 2 * 1.0 / (0.25 + 0.25 + 2)
    assert dice_loss(p.logit(), y, mask).item() == pytest.approx((first + second) / 2, abs=1e-6)
    assert dice_loss(p.logit(), torch.zeros_like(y), mask).item() == 0  # nothing is there


def peaks_of(scores: list[float], real: int | None = None, window: int = 3) -> list[int]:
    mask = None if real is None else torch.arange(len(scores))[None] < real
    found = boundary_peaks(torch.tensor([scores]), mask, RefinementConfig(window=window))
    return found[0].nonzero()[:, 0].tolist()


def test_peaks_are_the_highest_around_but_for_the_first_and_the_last_two_frames() -> None:
    assert peaks_of([0.9, 0.2, 0.5, 0.2, 0.05, 0.3, 0.2]) == [2]
    assert peaks_of([0.1, 0.2, 0.5, 0.2, 0.6, 0.3, 0.2, 0.1]) == [2, 4]
    assert peaks_of([0.1, 0.2, 0.5, 0.2, 0.6, 0.3, 0.2, 0.1], window=5) == [4]
    assert peaks_of([0.01, 0.02, 0.05, 0.02, 0.01, 0.0]) == []  # below the threshold
    # Padding is no part of it, however high.
    assert peaks_of([0.1, 0.2, 0.5, 0.2, 0.9, 0.1, 0.8, 0.9], real=6) == [2]


def test_scores_hold_from_one_boundary_to_the_next() -> None:
    scores = torch.tensor([[[0.2, 0.4, 0.9, 0.5, 0.7], [0.3, 0.3, 0.1, 0.5, 0.9]]])
    last, mask = torch.tensor([[False, True, False, False, False]]), torch.tensor([[True] * 4 + [False]])
    expected = torch.tensor([[[0.3, 0.3, 0.7, 0.7, 0], [0.3, 0.3, 0.3, 0.3, 0]]])
    torch.testing.assert_close(means_between(scores, last, mask), expected)
    # Votes: one each before the boundary, which the first class wins; after it two to none, as equals are the first's.
    voted = means_between(votes(scores), last, mask)
    torch.testing.assert_close(voted, torch.tensor([[[0.5, 0.5, 1, 1, 0], [0.5, 0.5, 0, 0, 0]]]))
    assert voted.argmax(1)[0, :4].tolist() == [0, 0, 0, 0]


@torch.no_grad()
@pytest.mark.parametrize("frames", [1, 2, 5, 13, 40])
def test_any_length_gives_what_it_gives_padded(frames: int) -> None:
    torch.manual_seed(0)
    model = ASQuery(6, 4, SMALL).eval()
    for parameter in model.parameters():  # biases too, through which padding could leak
        parameter.add_(0.1 * torch.randn_like(parameter))
    features, mask = torch.randn(2, 6, 40), torch.arange(40) < torch.tensor([[40], [frames]])
    together, alone = model(features, mask), model(features[1:, :, :frames], None)
    for one, other in zip(together, alone, strict=True):
        for padded, plain in zip(one, other, strict=True):
            torch.testing.assert_close(padded[1, ..., :frames], plain[0], rtol=0, atol=2e-5)
            assert not padded[1, ..., frames:].any()
    leaking = ASQuery(6, 4, SMALL.replace(released_padding=48)).eval()
    leaking.load_state_dict(model.state_dict())
    found = leaking(features[1:, :, :frames], None)[-1].classes_BCT
    assert found.shape == (1, 4, frames) and not torch.allclose(found, alone[-1].classes_BCT, atol=1e-3)


def test_positions_are_of_any_length() -> None:
    theirs = positions(torch.zeros(1, 6, 20_000))[0]
    angles: Tensor = torch.tensor([12_345.0]).double() / 10_000 ** (torch.arange(3).double() * 2 / 6)
    expected = torch.stack([angles.sin(), angles.cos()], 1).flatten() / math.sqrt(6)
    torch.testing.assert_close(theirs[:, 12_345].double(), expected, rtol=0, atol=1e-3)
    torch.testing.assert_close(positions(torch.zeros(1, 6, 7))[0], theirs[:, :7])


@torch.no_grad()
def test_the_focal_loss_begins_low_with_many_classes() -> None:
    """Without the prior it is near 80 here (a sum over classes that are found everywhere)."""
    torch.manual_seed(0)
    y, mask = torch.zeros(1, 137, 20), torch.ones(1, 20, dtype=torch.bool)
    y[:, :2] = 1
    found = {}
    for prior in (None, 0.01):
        torch.manual_seed(0)
        config = ASQueryNetworkConfig(prior=prior, branch_dilations=(8,), scales=1)
        last = ASQuery(16, 137, config)(torch.randn(1, 16, 20), None)[-1]
        found[prior] = focal_loss(last.classes_BCT, y, mask, torch.ones(137), 0.25, 2.0).item()
    assert found[0.01] < 5 < found[None]


def test_what_does_not_go_together_is_refused() -> None:
    with pytest.raises(InputError) as caught:
        ASQueryNetworkConfig(width=8, heads=3, branch_dilations=(2,), scales=3)
    assert [p.column for p in caught.value.problems] == ["heads", "scales"]
