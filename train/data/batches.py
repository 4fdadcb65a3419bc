"""Batches: samples of different lengths side by side, with masks for what is padding.

Shapes: B samples, T frames of the longest, F feature size, C classes, D size of a sentence's vector. Real frames come
first; in the padding all is zero or False.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from rhas.train.data.generators import Generators, generator_for
from rhas.train.data.samples import Sample

# What a batch has for every frame, besides its mask.
PER_FRAME = (
    "holistic_BFT", "partial_BFT", "has_holistic_BT", "has_partial_BT", "labels_BCT", "valid_BT", "boundary_B1T",
    "soft_labels_BCT",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Batch:
    """Samples of a step, in the layout [B, channels, T] that the models take."""

    names: tuple[str, ...]
    holistic_BFT: Tensor  # float32
    partial_BFT: Tensor
    has_holistic_BT: Tensor  # bool: a real frame with this feature; elsewhere the feature is zero
    has_partial_BT: Tensor
    labels_BCT: Tensor  # float32, 0 or 1: what a diffusion noises
    valid_BT: Tensor  # bool: frames that losses and metrics count
    mask_BT: Tensor  # bool: real frames, not padding
    lengths_B: Tensor  # int64
    boundary_B1T: Tensor | None
    soft_labels_BCT: Tensor | None
    padded: bool  # whether any sample is shorter than the longest
    sentence_BD: Tensor | None = None  # float32

    @property
    def real_BT(self) -> Tensor | None:
        """`mask_BT`, or None if there is no padding: so that no layer has to ask a mask on a GPU."""
        return self.mask_BT if self.padded else None

    def __len__(self) -> int:
        return len(self.names)

    def generators(self, device: torch.device | str, *purpose: int | str) -> Generators:
        """What the samples draw for a purpose, each by its name."""
        generators = [generator_for(device, *purpose, name) for name in self.names]
        return Generators(self.lengths_B.tolist(), generators)

    def first(self, frames: int) -> Batch:
        """Only the first frames of each sample."""
        series = {name: getattr(self, name) for name in (*PER_FRAME, "mask_BT")}
        changed: dict[str, Any] = {n: None if one is None else one[..., :frames] for n, one in series.items()}
        lengths_B = self.lengths_B.clamp(max=frames)
        return replace(self, lengths_B=lengths_B, padded=_differ(lengths_B), **changed)

    def subsampled(self, rate: int, offsets: Sequence[int]) -> Batch:
        """Every `rate`-th frame of each sample, from its own offset on, which is below its length."""
        if rate == 1:
            return self
        lengths = self.lengths_B.tolist()
        return self.taken([torch.arange(o, length, rate) for o, length in zip(offsets, lengths, strict=True)])

    def taken(self, frames: Sequence[Tensor]) -> Batch:
        """Of each sample the given frames, in their order; each may be taken more than once."""
        lengths_B = torch.tensor([len(own) for own in frames])
        index_BT = pad_sequence(list(frames), batch_first=True)
        mask_BT = torch.arange(index_BT.shape[1]) < lengths_B[:, None]

        def subsample(series: Tensor | None) -> Tensor | None:
            if series is None:
                return None
            rows = series if series.dim() == 3 else series[:, None]
            taken = rows.gather(2, index_BT[:, None].expand(-1, rows.shape[1], -1)) * mask_BT[:, None]
            return taken.to(series.dtype) if series.dim() == 3 else taken[:, 0].to(series.dtype)

        changed: dict[str, Any] = {name: subsample(getattr(self, name)) for name in PER_FRAME}
        return replace(self, mask_BT=mask_BT, lengths_B=lengths_B, padded=_differ(lengths_B), **changed)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Batch:
        """The batch with all its tensors on a device."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> Batch:
        """The batch in page-locked memory; what a DataLoader calls."""
        return self._each(Tensor.pin_memory)

    def _each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        changed: dict[str, Any] = {name: change(v) for name, v in values.items() if isinstance(v, Tensor)}
        return replace(self, **changed)


def collate(samples: Sequence[Sample]) -> Batch:
    """One or more samples of one dataset as a batch."""
    lengths_B = torch.tensor([len(sample.valid) for sample in samples])
    return Batch(
        names=tuple(sample.name for sample in samples),
        holistic_BFT=_channels([sample.holistic for sample in samples]),
        partial_BFT=_channels([sample.partial for sample in samples]),
        has_holistic_BT=_padded([sample.has_holistic for sample in samples]),
        has_partial_BT=_padded([sample.has_partial for sample in samples]),
        labels_BCT=_channels([sample.labels for sample in samples]).float(),
        valid_BT=_padded([sample.valid for sample in samples]),
        mask_BT=torch.arange(int(lengths_B.max())) < lengths_B[:, None],
        lengths_B=lengths_B,
        boundary_B1T=_optional(lambda s: _padded(s)[:, None], [sample.boundary for sample in samples]),
        soft_labels_BCT=_optional(_channels, [sample.soft_labels for sample in samples]),
        padded=_differ(lengths_B),
        sentence_BD=_optional(torch.stack, [sample.sentence for sample in samples]),
    )


def _differ(lengths_B: Tensor) -> bool:
    return bool((lengths_B != lengths_B.max()).any())


def _padded(series: list[Tensor]) -> Tensor:
    """B series [T, …] as [B, T, …]."""
    return pad_sequence(series, batch_first=True)


def _channels(series: list[Tensor]) -> Tensor:
    """B series [T, N] as [B, N, T]."""
    return _padded(series).transpose(1, 2).contiguous()


def _optional(join: Callable[[list[Tensor]], Tensor], series: list[Tensor | None]) -> Tensor | None:
    """Joined if all are there, None if none is."""
    there = [one for one in series if one is not None]
    assert len(there) in (0, len(series)), f"got {len(there)} of {len(series)}, expected all or none"
    return join(there) if there else None
