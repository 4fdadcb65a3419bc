"""The losses one by one. That they equal the released code's is in test_actdiff_parity."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from rhas.train.models.losses import (
    actdiff_losses,
    boundary_loss,
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
