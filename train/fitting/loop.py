"""The training loop: steps of Adam over epochs, validation, checkpoints, and going on exactly where a run ended.

In: a model, training samples, a function that validates, and the run's checkpoints. Out: a model at its last
step; the best one lies among the checkpoints. Whatever is drawn depends on the seed and the step alone, so
a run that was killed at any moment and taken up again ends with the same bits as one left alone (on a CPU; GPU
kernels may sum in another order each time). Several processes may step together, each on its own samples. How
validation scores a model, how processes find each other, and what test splits are, is not known here.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

import torch
from torch import nn

from rhas.manifests.common.errors import RhasError
from rhas.manifests.common.interruption import check
from rhas.train.config import TrainConfig
from rhas.train.data import Batch, BatchLoader, BatchSampler, SampleSet
from rhas.train.data.augment import augmented
from rhas.train.device import autocast
from rhas.train.fitting.compiling import Losses, compiled_losses
from rhas.train.models.segmenter import Segmenter
from rhas.train.runs.checkpoint import Checkpoints
from rhas.train.runs.run import Validation


class TrainingError(RhasError):
    """Training can't go on; the last checkpoint is as good as it was."""


@dataclass(frozen=True)
class Step:
    """One step of the optimiser, done."""

    step: int  # from 1
    steps: int  # in all
    epoch: int  # from 1
    losses: dict[str, float]  # by name, with "total"
    gradient_norm: float  # before clipping
    lr: float = math.nan


class Callback:
    """Gets to know how training goes. Does nothing; override what is of interest."""

    def loaded(self, lines: Sequence[str]) -> None:
        """The data is there: what it is, what was left out of it, and what seems wrong (`Dataset.told`)."""

    def started(self, step: int, steps: int) -> None:
        """Training begins after `step` steps of `steps`: above 0 if a run is taken up again."""

    def stepped(self, step: Step) -> None:
        """A step is done."""

    def validated(self, validation: Validation, best: bool) -> None:
        """A validation is done; `best` if it is the best one so far."""

    def finished(self) -> None:
        """Training is done. Not called in a run that is interrupted or fails."""


class Ranks:
    """The processes that step together. This is one alone; `rhas.train.fitting.ray_train` has that for several."""

    rank = 0
    ranks = 1
    shares = (
        1  # into how many parts each batch is cut: as many as there are ranks, or were when the run began
    )

    @property
    def own(self) -> range:
        """The parts of each batch that this rank takes: one, or more where other ranks were lost."""
        return range(self.rank, self.shares, self.ranks)

    def gathered(self, value: Any) -> list[Any]:
        """The values that all ranks call this with, by rank. Waits for all of them."""
        return [value]

    def add_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Replaces each gradient by its sum over the ranks; one that no rank has stays None."""


@dataclass
class TrainingState:
    """Where training stands, between two steps."""

    step: int = 0
    epoch: int = 0
    position: int = 0  # batches of this epoch that are done, by each rank
    best: Validation | None = None
    stale: int = 0  # validations since the best one


def fit(
    model: Segmenter, samples: SampleSet, config: TrainConfig, checkpoints: Checkpoints,
    validate: Callable[[Segmenter, int, int], Validation], callback: Callback | None = None, ranks: Ranks | None = None,
) -> TrainingState:  # fmt: skip
    """Trains `model`, on the device that it is on, to the end of `config`, from the last checkpoint if there is one.

    The end are its steps, or `patience` validations without a better one.

    `validate(model, step, epochs done)` scores a model: this one as it is, or one with the average of its
    weights. Raises TrainingError when a loss or a gradient is not finite, before the weights have seen it.
    """
    callback, ranks = callback or Callback(), ranks or Ranks()
    samplers = [
        BatchSampler(len(samples), config.batch, config.seed, rank=part, ranks=ranks.shares)
        for part in ranks.own
    ]
    sampler = samplers[0]  # where they stand is the same for all
    in_epoch = math.ceil(sampler.batches / config.accumulate)
    steps = min(config.epochs * in_epoch, config.steps or config.epochs * in_epoch)
    optimiser = make_optimiser(model, config)
    decay = config.optimiser.average
    average = None if decay is None else copy.deepcopy(model)
    kept = average or model  # what is validated
    losses_of = compiled_losses(model) if config.compile else None
    at = _resume(checkpoints, model, optimiser, average, sampler)
    callback.started(at.step, steps)
    on_gpu = _device(model).type == "cuda"
    loaders = [BatchLoader(samples, part, config.workers, pin_memory=on_gpu) for part in samplers]
    patience = math.inf if config.patience is None else config.patience
    while at.step < steps and at.stale < patience:
        for part in samplers:
            part.start(at.epoch, at.position)
        parts, epoch = [iter(loader) for loader in loaders], at.epoch
        while at.step < steps and at.epoch == epoch:
            check()
            # Fewer, or none, on a rank that the last samples of an epoch didn't reach; it steps all the same.
            group = [batch for batches in parts for batch in islice(batches, config.accumulate)]
            for settings in optimiser.param_groups:
                settings["lr"] = learning_rate(config, at.step, steps, at.epoch)
            done = train_step(model, optimiser, group, config, at.step, ranks, losses_of)
            if average is not None and decay is not None:
                follow_weights(average, model, decay, at.step + 1)
            at.step += 1
            at.position = min(at.position + config.accumulate, sampler.batches)
            lr = optimiser.param_groups[0]["lr"]
            callback.stepped(Step(at.step, steps, at.epoch + 1, *done, lr))
            epoch_done = at.position == sampler.batches
            if epoch_done:
                at.epoch, at.position = at.epoch + 1, 0
            due = epoch_done and at.epoch % config.validate_every == 0
            if due or at.step == steps:
                _select(at, validate(kept, at.step, at.epoch), kept, checkpoints, callback)
                at.stale = ranks.gathered(at.stale)[0]  # only the first has seen a validation
            if due or at.step == steps or at.step % config.checkpoint_every == 0:
                checkpoints.save(at.step, model, optimiser, _record(at, sampler), average)
    if at.best is None:  # killed before any validation, and taken up with fewer steps than were done
        _select(at, validate(kept, at.step, at.epoch), kept, checkpoints, callback)
    return at


def make_optimiser(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """Adam or AdamW, as configured."""
    kind = torch.optim.AdamW if config.optimiser.decoupled else torch.optim.Adam
    return kind(model.parameters(), lr=config.optimiser.lr, weight_decay=config.optimiser.weight_decay)


@torch.no_grad()
def follow_weights(average: nn.Module, model: nn.Module, decay: float, step: int) -> None:
    """Moves the exponential average of the weights on, after `step` steps.

    The first steps count for more, so that the average doesn't have to forget for long where it began.
    """
    share = 1 - min(decay, step / (step + 9))
    for mean, weight in zip(average.parameters(), model.parameters(), strict=True):
        mean.lerp_(weight, share)


def learning_rate(config: TrainConfig, step: int, steps: int, epoch: int = 0) -> float:
    """Of the step after `step` steps of `steps`, when `epoch` epochs are done."""
    settings = config.optimiser
    rate = settings.lr * min(1.0, (step + 1) / (settings.warmup + 1))
    if settings.schedule == "cosine":
        done = max(0, step - settings.warmup) / max(1, steps - settings.warmup)
        rate *= (1 + math.cos(math.pi * done)) / 2
    if settings.drop_after is not None and epoch >= settings.drop_after:
        rate /= 10
    return rate


def train_step(
    model: Segmenter,
    optimiser: torch.optim.Optimizer,
    batches: Sequence[Batch],
    config: TrainConfig,
    step: int,
    ranks: Ranks | None = None,
    losses_of: Losses | None = None,
) -> tuple[dict[str, float], float]:
    """One step on all batches of all ranks, as if they were a single one: (losses, norm of the gradient).

    Losses of a batch are means over its samples, so each batch weighs as much as it has samples. A rank may have
    no batches, if another one has. `losses_of` stands in the place of the model's own.
    """
    ranks, losses_of = ranks or Ranks(), losses_of or model.losses
    model.train()
    device = _device(model)
    optimiser.zero_grad(set_to_none=True)
    parts_of_names = ranks.gathered([name for batch in batches for name in batch.names])
    names = [name for part in parts_of_names for name in part]
    together = len(names)
    own: dict[str, float] = {}
    for batch in batches:
        batch = _varied(_subsampled(batch, config, step), config, step)
        generators = batch.generators(device, config.seed, "step", step)
        batch = batch.to(device, non_blocking=True)
        share = len(batch) / together
        with autocast(device, config.precision):
            parts = losses_of(batch, generators)
        total = torch.stack(list(parts.values())).sum()
        # One wait for all of them.
        numbers = torch.stack([*parts.values(), total]).tolist()
        values = dict(zip([*parts, "total"], numbers, strict=True))
        if not math.isfinite(values["total"]):
            raise _not_finite(f"the loss is {_listed(values)}", step, batch.names, config)
        (total * share).backward()
        for name, value in values.items():
            own[name] = own.get(name, 0.0) + share * value
    ranks.add_gradients(list(model.parameters()))
    losses: dict[str, float] = {}
    for part in ranks.gathered(own):
        for name, value in part.items():
            losses[name] = losses.get(name, 0.0) + value
    parameters = [p for p in model.parameters() if p.grad is not None]
    limit = config.optimiser.clip_norm or math.inf
    norm = float(nn.utils.clip_grad_norm_(parameters, limit)) if limit < math.inf else _norm(parameters)
    if not math.isfinite(norm):
        raise _not_finite(
            f"the gradient's norm is {norm}, with the loss {_listed(losses)}", step, names, config
        )
    optimiser.step()
    return losses, norm


def _subsampled(batch: Batch, config: TrainConfig, step: int) -> Batch:
    """At the sample rate, each sample from an offset of its own, drawn anew at each step."""
    rate = config.data.sample_rate
    generators = batch.generators("cpu", config.seed, "offset", step)
    drawn = zip(generators.lengths, generators.each, strict=True)
    return batch.subsampled(rate, [int(torch.randint(min(rate, n), (1,), generator=g)) for n, g in drawn])


def _varied(batch: Batch, config: TrainConfig, step: int) -> Batch:
    return augmented(batch, config.augment, batch.generators("cpu", config.seed, "augment", step))


def _resume(
    checkpoints: Checkpoints, model: Segmenter, optimiser: torch.optim.Optimizer, average: nn.Module | None,
    sampler: BatchSampler,
) -> TrainingState:  # fmt: skip
    checkpoints.prepare()
    record = checkpoints.resume(model, optimiser, average)
    if record is None:
        return TrainingState()
    sampler.resume(record["sampler"])
    best = record["best"]
    best = None if best is None else Validation.from_record(best)
    return TrainingState(record["step"], sampler.epoch, sampler.position, best, record["stale"])


def _record(at: TrainingState, sampler: BatchSampler) -> dict[str, Any]:
    sampler.start(at.epoch, at.position)  # at the end of an epoch: the beginning of the next
    best = None if at.best is None else asdict(at.best)
    return {"sampler": sampler.state(at.position), "seed": sampler.seed, "best": best, "stale": at.stale}


def _select(
    at: TrainingState, validation: Validation, model: Segmenter, checkpoints: Checkpoints, callback: Callback
) -> None:
    """Keeps the weights if they are better than all before; of equals the first."""
    best = at.best is None or validation.f1_macro_50 > at.best.f1_macro_50
    at.stale = 0 if best else at.stale + 1
    if best:
        at.best = validation
        checkpoints.save_best(model, {"validation": asdict(validation)})
    callback.validated(validation, best)


def _device(model: nn.Module) -> torch.device:
    return next(model.parameters()).device


def _norm(parameters: Sequence[nn.Parameter]) -> float:
    return float(nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None]))


def _not_finite(what: str, step: int, names: Sequence[str], config: TrainConfig) -> TrainingError:
    tries = [f"a lower learning rate (optimiser.lr, now {config.optimiser.lr})"]
    if config.optimiser.clip_norm is None:
        tries.append("clipping (optimiser.clip_norm=1)")
    if config.precision != "float32":
        tries.append("precision=float32")
    return TrainingError(
        f"step {step + 1}: {what}; samples {', '.join(names)}. The weights before it are kept in the last checkpoint; "
        f"in a new run, try {', '.join(tries)}"
    )


def _listed(values: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in values.items())
