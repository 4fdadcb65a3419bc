"""Batches of three made samples, with all that real ones may have."""

from __future__ import annotations

import torch
from seeded_generators import seeded
from torch import Tensor

from rhas.train.data import Batch, Sample, collate
from rhas.train.data.targets import boundary_target, soft_labels

F, C = 6, 4
D = 3  # of the sentence, as of each of two query tokens of a frame
LENGTHS = (40, 17, 29)


def sample(number: int, frames: int, softened: bool = False) -> Sample:
    """Frames without features, frames that don't count, and frames of several actions are among it."""
    generator = seeded(number)

    def draw(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator)

    labels, valid = (draw(frames // 5 + 1, C) < 0.4).repeat_interleave(5, 0)[:frames], draw(frames) < 0.8
    has_holistic, has_partial = draw(frames) < 0.9, draw(frames) < 0.7
    return Sample(
        name=f"m/p/{number}",
        holistic=torch.randn(frames, F, generator=generator) * has_holistic[:, None],
        partial=torch.randn(frames, F, generator=generator) * has_partial[:, None],
        has_holistic=has_holistic,
        has_partial=has_partial,
        labels=labels,
        valid=valid,
        boundary=boundary_target(labels, valid, 1.0),
        soft_labels=soft_labels(labels, valid, 2.0) if softened else None,
        sentence=torch.randn(D, generator=generator),
    )


def batch_of(*numbers: int) -> Batch:
    return collate([sample(i, LENGTHS[i]) for i in numbers])


BATCH = batch_of(0, 1, 2)
