"""Batches: what each sample holds, and nothing beside it."""

from __future__ import annotations

import dataclasses

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rhas.train.data.batches import collate
from rhas.train.data.samples import Sample

F, C, E = 5, 3, 4
LENGTHS = st.lists(st.integers(1, 12), min_size=1, max_size=4)


def _sample(number: int, frames: int, optional: bool) -> Sample:
    generator = torch.Generator().manual_seed(number)

    def draw(*shape: int) -> torch.Tensor:
        return 1 + torch.rand(shape, generator=generator)  # never 0, which padding is

    return Sample(
        name=f"m/p/{number}",
        holistic=draw(frames, F),
        partial=draw(frames, F),
        has_holistic=draw(frames) > 1.3,
        has_partial=draw(frames) > 1.6,
        labels=draw(frames, C) > 1.5,
        valid=draw(frames) > 1.2,
        boundary=draw(frames) if optional else None,
        soft_labels=draw(frames, C) if optional else None,
    )


@settings(max_examples=50, deadline=None)
@given(LENGTHS, st.booleans())
def test_real_frames_are_the_samples_and_padding_is_empty(lengths: list[int], optional: bool) -> None:
    samples = [_sample(i, length, optional) for i, length in enumerate(lengths)]
    batch = collate(samples)
    B, T = len(lengths), max(lengths)
    assert len(batch) == B and batch.lengths_B.tolist() == lengths
    assert batch.mask_BT.shape == (B, T) and batch.mask_BT.sum(1).tolist() == lengths
    assert batch.labels_BCT.dtype == torch.float32
    channels = {
        "holistic": batch.holistic_BFT,
        "partial": batch.partial_BFT,
        "labels": batch.labels_BCT,
        "soft_labels": batch.soft_labels_BCT,
    }
    frames = {
        "has_holistic": batch.has_holistic_BT,
        "has_partial": batch.has_partial_BT,
        "valid": batch.valid_BT,
        "boundary": None if batch.boundary_B1T is None else batch.boundary_B1T[:, 0],
    }
    for b, (sample, length) in enumerate(zip(samples, lengths, strict=True)):
        assert batch.names[b] == sample.name
        for name, tensor in {**channels, **frames}.items():
            own = getattr(sample, name)
            if own is None:
                assert tensor is None
                continue
            assert tensor is not None and tensor.shape[-1] == T and tensor.is_contiguous()
            got = tensor[b, ..., :length]
            assert torch.equal(got.T if got.ndim == 2 else got, own.to(tensor.dtype))
            assert not tensor[b, ..., length:].any()


def test_a_batch_moves_as_a_whole() -> None:
    batch = collate([_sample(0, 3, True), _sample(1, 5, True)])
    moved = batch.to("meta")
    tensors = [value for value in vars(moved).values() if isinstance(value, torch.Tensor)]
    assert len(tensors) == 10 and all(tensor.is_meta for tensor in tensors)
    assert moved.names == batch.names


@settings(max_examples=50, deadline=None)
@given(LENGTHS, st.integers(1, 5), st.data(), st.booleans())
def test_a_subsampled_batch_is_that_of_subsampled_samples(
    lengths: list[int], rate: int, data: st.DataObject, optional: bool
) -> None:
    samples = [_sample(i, length, optional) for i, length in enumerate(lengths)]
    offsets = [data.draw(st.integers(0, min(rate, length) - 1)) for length in lengths]

    def subsample(sample: Sample, offset: int) -> Sample:
        series = {name: value for name, value in vars(sample).items() if isinstance(value, torch.Tensor)}
        return dataclasses.replace(sample, **{name: value[offset::rate] for name, value in series.items()})

    expected = collate([subsample(sample, offset) for sample, offset in zip(samples, offsets, strict=True)])
    got = collate(samples).subsampled(rate, offsets)
    for field in dataclasses.fields(expected):
        a, b = getattr(got, field.name), getattr(expected, field.name)
        assert (torch.equal(a, b) and a.dtype == b.dtype) if isinstance(a, torch.Tensor) else a == b, (
            field.name
        )


def test_batches_that_benchmarks_and_dry_runs_make_have_all_that_one_has() -> None:
    from tests.bench.training import _batch as timed
    from tests.dry_gpu.__main__ import _batch as dry

    for batch in (timed(150), dry(1)):
        assert len(batch) == 1 and batch.real_BT is None and batch.labels_BCT.shape[2] == int(batch.lengths_B)
