"""The losses one by one. That they equal the released code's is in test_actdiff_parity."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from rhas.train.models.losses import (
    actdiff_losses,
    boundary_loss,
    change_loss,
    class_weights,
    label_loss,
    smoothing_loss,
    weighted,
)

LENGTHS = (20, 9, 1)
MASK = torch.arange(20) < torch.tensor(LENGTHS)[:, None]


def data() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(3, 4, 20, generator=generator)
    return logits, torch.rand(3, 4, 20, generator=generator), torch.rand(3, 1, 20, generator=generator)


@pytest.mark.parametrize("link", ["softmax", "sigmoid"])
def test_a_batch_is_its_videos(link: str) -> None:
    logits, y, boundary = data()
    weight = torch.tensor([1.0, 2.0, 0.5, 4.0])
    batch = actdiff_losses(logits, -logits, y, boundary, MASK, link, weight)
    for b, n in enumerate(LENGTHS):
        x, target, curve = (part[b : b + 1, :, :n] for part in (logits, y, boundary))
        alone = actdiff_losses(x, -x, target, curve, MASK[b : b + 1, :n], link, weight)
        for name, loss in batch.items():
            torch.testing.assert_close(loss[b], alone[name][0])


def test_label_losses_are_torchs() -> None:
    logits, y, _ = data()
    logits, y, mask = logits[:1], y[:1].round(), MASK[:1]
    weight = torch.tensor([1.0, 2.0, 0.5, 4.0])
    hard = F.one_hot(y.argmax(1), 4).transpose(1, 2).float()
    expected = F.cross_entropy(logits, y.argmax(1), weight, reduction="none").mean()
    torch.testing.assert_close(label_loss(logits, hard, mask, "softmax", weight)[0], expected)
    expected = F.binary_cross_entropy_with_logits(logits, y, pos_weight=weight[:, None])
    torch.testing.assert_close(label_loss(logits, y, mask, "sigmoid", weight)[0], expected)
    expected = F.binary_cross_entropy_with_logits(logits, y, pos_weight=weight[:, None], reduction="sum") / 20
    torch.testing.assert_close(label_loss(logits, y, mask, "sigmoid", weight, "sum")[0], expected)
    both = (
        actdiff_losses(logits, -logits, y, y[:, :1], mask, "sigmoid", None, kind) for kind in ("mean", "sum")
    )
    mean, total = both
    for name in mean:
        torch.testing.assert_close(total[name], (4 if "entropy" in name else 1) * mean[name])


@pytest.mark.parametrize("link", ["softmax", "sigmoid"])
def test_gradient_goes_through_the_later_frame_only(link: str) -> None:
    logits, _, boundary = data()
    logits = logits[:1, :, :2].requires_grad_()
    for loss in (
        smoothing_loss(logits, MASK[:1, :2], link),
        boundary_loss(logits, boundary[:1, :, :2], MASK[:1, :2], link),
    ):
        (grad,) = torch.autograd.grad(loss.sum(), logits)
        assert (grad[..., 0] == 0).all() and (grad[..., 1] != 0).any()


@pytest.mark.parametrize("link", ["softmax", "sigmoid"])
def test_boundary_loss_likes_changes_at_boundaries(link: str) -> None:
    y = torch.zeros(1, 2, 10)
    y[:, 0, :5], y[:, 1, 5:] = 1, 1
    curve = torch.zeros(1, 1, 10)
    curve[..., 5] = 1
    mask = torch.ones(1, 10, dtype=torch.bool)
    right, late = (boundary_loss(20 * (2 * y.roll(s, 2) - 1), curve, mask, link).item() for s in (0, 2))
    assert right < 0.05 < 1 < late


@pytest.mark.parametrize("link", ["softmax", "sigmoid"])
@pytest.mark.parametrize("apart", [0.0, 1e-4, 1e-2, 1.0])
def test_boundary_gradient_is_bounded_where_frames_are_nearly_equal(link: str, apart: float) -> None:
    generator = torch.Generator().manual_seed(0)
    first, step = torch.randn(2, 1, 4, 1, generator=generator)
    logits = torch.cat([first, first + apart * step], 2).requires_grad_()
    loss = boundary_loss(logits, torch.ones(1, 1, 2), torch.ones(1, 2, dtype=torch.bool), link)
    (grad,) = torch.autograd.grad(loss.sum(), logits)
    assert grad.norm() < 10


def test_smoothing_is_capped() -> None:
    logits = torch.tensor([[[100.0, -100.0]]])
    assert smoothing_loss(logits, torch.ones(1, 2, dtype=torch.bool), "sigmoid").item() == 16


def test_infinite_terms_outside_the_mask_don_t_matter() -> None:
    logits, y, _ = data()
    logits[1, :, 9:] = float("inf")
    logits.requires_grad_()
    loss = label_loss(logits, y, MASK, "sigmoid")
    assert loss.isfinite().all()


def test_losses_are_weighed_by_name() -> None:
    losses = {
        "encoder_cross_entropy": torch.tensor([1.0, 3.0]),
        "decoder_boundary": torch.tensor([10.0, 10.0]),
    }
    found = weighted(losses, {"cross_entropy": 0.5, "smoothing": 0.2, "boundary": 0.1})
    assert {name: loss.item() for name, loss in found.items()} == pytest.approx(
        {"encoder_cross_entropy": 1.0, "decoder_boundary": 1.0}
    )
    assert list(weighted(losses, {"cross_entropy": 0.5, "boundary": 0})) == ["encoder_cross_entropy"]


def test_class_weights() -> None:
    positives = torch.tensor([90.0, 0.0])
    torch.testing.assert_close(class_weights(positives, 100, "softmax"), torch.tensor([0.5, 5.0]))
    torch.testing.assert_close(class_weights(positives, 100, "sigmoid"), torch.tensor([0.45, 4.5]))
    torch.testing.assert_close(class_weights(positives, 100, "sigmoid", 2.0), torch.tensor([0.5, 2.0]))


def sets_of_labels(seed: int) -> torch.Tensor:
    """[B, 4, 20], each class on for some while, alone or with others."""
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(8, 4, 10, generator=generator) < 0.4).float().repeat_interleave(2, 2)


@pytest.mark.parametrize("seed", range(3))
def test_nothing_changes_better_than_the_truth(seed: int) -> None:
    """The loss of the truth is what the margin of .01 costs, for every set of labels; nothing costs less."""
    y, mask = sets_of_labels(seed), torch.ones(8, 20, dtype=torch.bool)
    truth = 30 * (2 * y - 1)
    at_truth = change_loss(truth, y, mask, "sigmoid")
    torch.testing.assert_close(at_truth, torch.full((8,), -4 * math.log(0.99)))
    generator = torch.Generator().manual_seed(seed)
    for spread in (0.1, 1.0, 10.0, 30.0, 60.0):
        noise = spread * torch.randn(truth.shape, generator=generator)
        for other in (noise, truth + noise):
            assert (change_loss(other, y, mask, "sigmoid") >= at_truth - 1e-6).all()
    one = F.one_hot(y.argmax(1), 4).transpose(1, 2).float()
    worse = change_loss(30 * one.roll(1, 2), one, mask, "softmax")
    at_truth = change_loss(30 * one, one, mask, "softmax")
    torch.testing.assert_close(at_truth, torch.full((8,), -4 * math.log(0.99)))
    assert (worse > at_truth + 0.1).all()


def test_the_curve_asks_a_class_that_goes_on_to_change() -> None:
    """{sit} → {sit, wave}: ActDiff's loss would rather have {sit} → {wave}, the loss of changes has the truth."""
    y = torch.tensor([[[1.0, 1, 1, 1], [0, 0, 1, 1]]])
    instead = torch.tensor([[[1.0, 1, 0, 0], [0, 0, 1, 1]]])
    mask, curve = torch.ones(1, 4, dtype=torch.bool), torch.tensor([[[0.0, 0, 1, 0]]])
    (truth, other), link = (30 * (2 * labels - 1) for labels in (y, instead)), "sigmoid"
    assert boundary_loss(truth, curve, mask, link) > boundary_loss(other, curve, mask, link) + 0.3
    assert change_loss(truth, y, mask, link) < change_loss(other, y, mask, link) - 0.3
    chosen = actdiff_losses(truth, truth, y, curve, mask, link, boundary_target="labels")["decoder_boundary"]
    torch.testing.assert_close(chosen, change_loss(truth, y, mask, link))


@pytest.mark.parametrize("link", ["softmax", "sigmoid"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_losses_are_computed_in_float32(link: str, dtype: torch.dtype) -> None:
    logits, y, boundary = data()
    y = y.round()
    for target in ("curve", "labels"):
        rounded = logits.to(dtype)
        expected = actdiff_losses(
            rounded.float(), -rounded.float(), y, boundary, MASK, link, boundary_target=target
        )
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = actdiff_losses(rounded, -rounded, y, boundary, MASK, link, boundary_target=target)
        for name, loss in found.items():
            assert loss.dtype == torch.float32 and torch.equal(loss, expected[name]), name


@pytest.mark.parametrize("apart", [0.0, 1e-6, 1e-2, 1.0, 100.0])
def test_change_gradient_is_bounded(apart: float) -> None:
    """σ′ ≤ ¼, and a logarithm's slope at the margin is 1/.01."""
    generator = torch.Generator().manual_seed(0)
    first, step = torch.randn(2, 64, 4, 1, generator=generator)
    logits = torch.cat([first, first + apart * step], 2).requires_grad_()
    y = (torch.rand(64, 4, 2, generator=generator) < 0.5).float()
    loss = change_loss(logits, y, torch.ones(64, 2, dtype=torch.bool), "sigmoid")
    (grad,) = torch.autograd.grad(loss.sum(), logits)
    assert grad.isfinite().all() and grad.abs().max() <= 0.25 * 0.98 / 0.01 + 1e-4
    assert (grad[..., 0] == 0).all()
