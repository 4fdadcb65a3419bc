"""What training does to samples before a model sees them: time stretched, features masked, noise on them.

In: a batch on the CPU and what its samples draw. Out: another batch, with labels that went the same way. What a sample
becomes depends on its own draws, not on what else is in its batch.

Shapes: B samples, T frames of the longest.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from pydantic import Field
from torch import Tensor

from rhas.manifests.common.configs import Settings
from rhas.train.data.batches import Batch
from rhas.train.data.generators import Generators


class AugmentConfig(Settings):
    """How samples are varied in training; off by default."""

    stretch: float = Field(1.0, ge=1, le=4)
    """Time goes faster or slower by a factor drawn for each sample, log-uniformly from 1/stretch to stretch."""
    mask: float = Field(0.0, ge=0, le=1)
    """Up to this share of a sample's frames, in one piece, lose the features of both streams, and keep their labels."""
    noise: float = Field(0.0, ge=0)
    """Standard deviation of Gaussian noise on features, as a share of that of the sample's own features."""


def augmented(batch: Batch, config: AugmentConfig, generators: Generators) -> Batch:
    """`generators` are the batch's, on the CPU."""
    if config.stretch > 1:
        turns_B = generators.uniform_rows(1)[:, 0, 0] * 2 - 1
        factors = (turns_B * math.log(config.stretch)).exp().tolist()
        batch = batch.taken([_stretched(n, f) for n, f in zip(generators.lengths, factors, strict=True)])
        generators = Generators(batch.lengths_B.tolist(), generators.each)
    if config.mask > 0:
        batch = _masked(batch, config.mask, generators)
    if config.noise > 0:
        batch = replace(
            batch,
            holistic_BFT=_noisy(batch.holistic_BFT, batch.has_holistic_BT, config.noise, generators),
            partial_BFT=_noisy(batch.partial_BFT, batch.has_partial_BT, config.noise, generators),
        )
    return batch


def _stretched(frames: int, factor: float) -> Tensor:
    """The frames [T'] that a sample of `frames` frames shows when it takes `factor` times as long."""
    longer = max(1, round(frames * factor))
    return ((torch.arange(longer) + 0.5) * frames / longer).long().clamp(max=frames - 1)


def _masked(batch: Batch, share: float, generators: Generators) -> Batch:
    """Length and place of the piece are drawn uniformly: SpecAugment's time mask (Park et al., 2019)."""
    drawn_B2 = generators.uniform_rows(2)[:, :, 0]
    length_B = (drawn_B2[:, 0] * share * batch.lengths_B).long()
    first_B = (drawn_B2[:, 1] * (batch.lengths_B - length_B + 1)).long()
    frames_T = torch.arange(batch.mask_BT.shape[1])
    kept_BT = (frames_T < first_B[:, None]) | (frames_T >= (first_B + length_B)[:, None])
    return replace(
        batch,
        holistic_BFT=batch.holistic_BFT * kept_BT[:, None],
        partial_BFT=batch.partial_BFT * kept_BT[:, None],
        has_holistic_BT=batch.has_holistic_BT & kept_BT,
        has_partial_BT=batch.has_partial_BT & kept_BT,
    )


def _noisy(features_BFT: Tensor, has_BT: Tensor, noise: float, generators: Generators) -> Tensor:
    has_B1T = has_BT[:, None].to(features_BFT.dtype)
    numbers_B = (has_B1T.sum((1, 2)) * features_BFT.shape[1]).clamp(min=1)
    mean_B = (features_BFT * has_B1T).sum((1, 2)) / numbers_B
    spread_B = (((features_BFT - mean_B[:, None, None]) * has_B1T).square().sum((1, 2)) / numbers_B).sqrt()
    drawn_BFT = generators.normal(features_BFT.shape[1])
    return features_BFT + noise * spread_B[:, None, None] * drawn_BFT * has_B1T
