"""Augmentation: labels stay with their frames, masks and noise are what it says, and each sample draws its own."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from made_batches import BATCH, LENGTHS, batch_of
from scipy.stats import kstest

from rhas.train.data.augment import AugmentConfig, augmented
from rhas.train.data.batches import PER_FRAME, Batch, collate
from rhas.train.data.generators import Generators
from rhas.train.data.samples import Sample


def draws(batch: Batch, step: int = 0) -> Generators:
    return batch.generators("cpu", 0, "augment", step)


def numbered(name: str, frames: int) -> Sample:
    """Features, curve and soft labels are the frame's number, labels its bits."""
    at = torch.arange(frames)
    bits = (at[:, None] >> torch.arange(9)) % 2 == 1
    return Sample(
        name=name, holistic=at[:, None].float(), partial=at[:, None] + 1000.0, has_holistic=at % 3 > 0,
        has_partial=at % 4 > 0, labels=bits, valid=at % 5 > 0, boundary=at.float(),
        soft_labels=at[:, None].expand(-1, 9).float(),
    )  # fmt: skip


@pytest.mark.parametrize("step", range(4))
def test_stretching_keeps_all_series_together(step: int) -> None:
    lengths = (300, 1, 77, 200)
    batch = collate([numbered(f"m/p/{i}", n) for i, n in enumerate(lengths)])
    out = augmented(batch, AugmentConfig(stretch=2.0), draws(batch, step))
    assert out.lengths_B.tolist() != list(lengths)
    assert out.mask_BT.sum(1).tolist() == out.lengths_B.tolist() and out.padded
    assert out.mask_BT.shape[1] == max(out.lengths_B.tolist())
    for b, n in enumerate(lengths):
        longer = int(out.lengths_B[b])
        assert max(1, round(n / 2)) <= longer <= 2 * n
        at = out.holistic_BFT[b, 0, :longer].long()
        bits = (at >> torch.arange(9)[:, None]) % 2 == 1
        assert torch.equal(out.labels_BCT[b, :, :longer], bits.float())
        assert torch.equal(out.partial_BFT[b, 0, :longer], at + 1000.0)
        assert torch.equal(out.boundary_B1T[b, 0, :longer], at.float())
        assert torch.equal(out.soft_labels_BCT[b, :, :longer], at.expand(9, -1).float())
        for name, every in (("valid_BT", 5), ("has_holistic_BT", 3), ("has_partial_BT", 4)):
            assert torch.equal(getattr(out, name)[b, :longer], at % every > 0)
        # Evenly from the first to the last: frame i of L shows the middle of its share of the N.
        exact = (torch.arange(longer, dtype=torch.float64) + 0.5) * n / longer
        assert (at <= exact).all() and (at > exact - 1 - 1e-4).all() and at.max() < n
        for name in PER_FRAME:
            assert not getattr(out, name)[b, ..., longer:].any()


def test_factors_are_log_uniform() -> None:
    n = 400
    batch = collate([numbered(f"m/p/{i}", 500) for i in range(n)])
    bare = {name: getattr(batch, name)[:, :1] for name in ("labels_BCT", "soft_labels_BCT")}
    out = augmented(replace(batch, **bare), AugmentConfig(stretch=1.5), draws(batch))
    turns = (out.lengths_B / 500).log() / math.log(1.5)
    assert kstest(turns.numpy(), "uniform", args=(-1, 2)).pvalue > 0.01


def test_noise_is_a_share_of_the_samples_own_spread() -> None:
    generator = torch.Generator().manual_seed(0)
    samples = [
        replace(
            numbered(f"m/p/{i}", 400),
            holistic=spread * torch.randn(400, 20, generator=generator) + 3,
            partial=torch.randn(400, 20, generator=generator) - spread,
        )
        for i, spread in enumerate((0.1, 5.0))
    ]
    batch = collate(samples)
    has = {"holistic_BFT": batch.has_holistic_BT, "partial_BFT": batch.has_partial_BT}
    batch = replace(batch, **{name: getattr(batch, name) * has_BT[:, None] for name, has_BT in has.items()})
    out = augmented(batch, AugmentConfig(noise=0.3), draws(batch))
    for name in PER_FRAME:
        if name not in has:
            assert getattr(out, name) is getattr(batch, name)
            continue
        before, after = getattr(batch, name), getattr(out, name)
        for b in range(2):
            own = has[name][b]
            assert torch.equal(after[b][:, ~own], before[b][:, ~own])
            added = (after[b] - before[b])[:, own].flatten() / (0.3 * before[b][:, own].std())
            assert kstest(added.numpy(), "norm").pvalue > 0.01
    assert not torch.equal(out.holistic_BFT - batch.holistic_BFT, out.partial_BFT - batch.partial_BFT)


def test_a_mask_takes_a_piece_of_both_streams() -> None:
    frames = 500
    whole = torch.ones(frames, dtype=torch.bool)
    samples = [
        replace(numbered(f"m/p/{i}", frames), holistic=torch.ones(frames, 1), has_holistic=whole,
                has_partial=whole)
        for i in range(300)
    ]  # fmt: skip
    batch = collate(samples)
    out = augmented(batch, AugmentConfig(mask=0.4), draws(batch))
    lost_BT = ~out.has_partial_BT
    assert torch.equal(lost_BT, ~out.has_holistic_BT)
    assert torch.equal(out.holistic_BFT, batch.holistic_BFT * ~lost_BT[:, None])
    assert torch.equal(out.partial_BFT, batch.partial_BFT * ~lost_BT[:, None])
    for name in ("labels_BCT", "valid_BT", "boundary_B1T", "soft_labels_BCT", "mask_BT", "lengths_B"):
        assert getattr(out, name) is getattr(batch, name)
    lengths_B = lost_BT.sum(1)
    assert kstest((lengths_B / (0.4 * frames)).numpy(), "uniform").pvalue > 0.01
    some_BT = lost_BT[lengths_B > 0].int()
    first_B = some_BT.argmax(1)
    last_B = frames - 1 - some_BT.flip(1).argmax(1)
    assert torch.equal(last_B - first_B + 1, some_BT.sum(1))  # in one piece
    room_B = frames - some_BT.sum(1)
    assert kstest((first_B / room_B).numpy(), "uniform").pvalue > 0.01


@pytest.mark.parametrize(
    "config",
    [
        AugmentConfig(stretch=1.7), AugmentConfig(noise=0.2), AugmentConfig(mask=0.5),
        AugmentConfig(stretch=3, mask=0.3, noise=1),
    ],
)  # fmt: skip
def test_a_sample_becomes_the_same_in_any_batch(config: AugmentConfig) -> None:
    together = augmented(BATCH, config, draws(BATCH))
    for b in range(len(LENGTHS)):
        batch = batch_of(b)
        alone = augmented(batch, config, draws(batch))
        frames = int(alone.lengths_B[0])
        assert frames == together.lengths_B[b]
        for name in PER_FRAME:
            one, other = getattr(alone, name), getattr(together, name)
            if one is not None:
                torch.testing.assert_close(other[b, ..., :frames], one[0], rtol=1e-6, atol=1e-6)
    again = augmented(BATCH, config, draws(BATCH, step=1))
    assert again.lengths_B.tolist() != together.lengths_B.tolist() or not torch.equal(
        again.holistic_BFT, together.holistic_BFT
    )


def test_without_augmentation_the_batch_is_as_it_is() -> None:
    assert augmented(BATCH, AugmentConfig(), draws(BATCH)) is BATCH
