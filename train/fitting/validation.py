"""A model as it is, measured on the validation split: what checkpoints and τ are chosen by, and what curves show.

In: a model and the samples of the split. Out: a `Validation`. The model predicts once; the read-out is chosen by these
scores, and the metrics are of them as they are read. The loss is the training's, in eval mode and float32, with draws
that are the same at each validation, so that its curve shows the weights and not the draws.
"""

from __future__ import annotations

import math

import torch

from rhas.manifests.common.interruption import check
from rhas.train.config import TrainConfig
from rhas.train.data import BatchLoader, BatchSampler, SampleSet
from rhas.train.metrics import evaluate
from rhas.train.metrics.choosing import BEST_CLASS, GRID, choose_readout
from rhas.train.metrics.durations import ActionPrior
from rhas.train.models.segmenter import Segmenter
from rhas.train.runs.run import Validation
from rhas.train.scoring.inference import score, stitch


def prior_for(config: TrainConfig, training: SampleSet) -> ActionPrior | None:
    """What labels may be decoded by, of the training split; None where they are not to be."""
    return None if config.readout.decoding == "none" else ActionPrior.learnt(training.labels())


def validate(
    model: Segmenter,
    samples: SampleSet,
    config: TrainConfig,
    step: int,
    epoch: int,
    prior: ActionPrior | None = None,
) -> Validation:
    """The model after so many steps and epochs. `prior`: of `prior_for`. Raises InputError if nothing in `samples` is
    labelled.
    """
    persons = [person.measured(samples.vocabulary) for person in stitch(score(model, samples, config))]
    choice = choose_readout(persons, config.readout, GRID if model.link == "sigmoid" else BEST_CLASS, prior)
    report = evaluate((person.video(choice.readout) for person in persons), choice.readout.tau)
    return Validation(
        step, epoch, choice.readout, choice.f1_macro_50,
        loss=_or_none(mean_loss(model, samples, config)), frame_mAP=_or_none(report.frame_mAP),
        edit=_or_none(report.chosen.edit), heads=choice.by_head(),
    )  # fmt: skip


@torch.no_grad()
def mean_loss(model: Segmenter, samples: SampleSet, config: TrainConfig) -> float:
    """The sum of the model's losses, a mean over the samples. Leaves the model in eval mode."""
    device, rate = next(model.parameters()).device, config.data.sample_rate
    model.eval()
    sampler = BatchSampler(len(samples), config.batch, seed=0, shuffle=False)
    total = 0.0
    for batch in BatchLoader(samples, sampler, config.workers, pin_memory=device.type == "cuda"):
        check()
        seen = batch.subsampled(rate, [0] * len(batch)).to(device)
        losses = model.losses(seen, seen.generators(device, config.seed, "validation"))
        total += len(batch) * float(torch.stack([part.float() for part in losses.values()]).sum())
    return total / len(samples)


def _or_none(value: float) -> float | None:
    """JSON knows no NaN and no infinity."""
    return value if math.isfinite(value) else None
