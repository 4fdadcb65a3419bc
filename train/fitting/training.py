"""Training into a run's folder, from its beginning or from where it was left.

In: a features folder and a config. Out: the folder that `rhas.train.runs.run` describes, evaluated on the validation
split. The test split is never read here: that is left to `rhas.train.evaluation.evaluation`, once, when all is chosen.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rhas.manifests.common.atomic import remove_leftovers
from rhas.manifests.common.errors import InputError, Problem
from rhas.manifests.common.lock import locked
from rhas.train.config import FREE, TrainConfig, config_from_dict, read_yaml, refused_changes
from rhas.train.data import Dataset, load_dataset
from rhas.train.device import chosen_device, keep_freed_memory
from rhas.train.evaluation.evaluation import evaluate_run
from rhas.train.fitting.callbacks import named_callbacks
from rhas.train.fitting.curves import Curves
from rhas.train.fitting.initialising import warm_start
from rhas.train.fitting.loop import Callback, Ranks, Step, fit
from rhas.train.fitting.tensorboard import TensorBoardLog
from rhas.train.fitting.validation import prior_for, validate
from rhas.train.metrics.readout import ReadOut
from rhas.train.models.registry import boundary_sigma
from rhas.train.models.segmenter import Segmenter
from rhas.train.runs.building import build_for, spec_of
from rhas.train.runs.checkpoint import Checkpoints
from rhas.train.runs.run import RunFolder, Validation, check_data, data_record, read_json, write_settings
from rhas.train.runs.settings import check_postprocess, with_model_settings


def train(
    features: Path,
    out: Path,
    config: TrainConfig,
    device: str | None = None,
    callbacks: Sequence[Callback] = (),
    ranks: Ranks | None = None,
    init_from: Path | None = None,
) -> Validation:
    """Trains into the run folder `out`, or goes on with what is there; returns the best validation.

    `device`: by default a GPU if there is one. `ranks`: where several processes step together, this is rank 0,
    which writes all there is, and the others call `follow`. `init_from`: a run or checkpoint whose weights this one
    begins with (`rhas.train.fitting.initialising`). Raises InputError for data and settings that don't
    fit, or that aren't those that the run began with, and TrainingError when the loss or a gradient is no longer
    finite.
    """
    ranks = ranks or Ranks()
    device = chosen_device(device)
    config = resolved(config, device)
    dataset = load_dataset(features, config.data, boundary_sigma(config.model, config.settings))
    validation_set = dataset.splits["val"]
    if not any((labels_TC & valid_T[:, None]).any() for labels_TC, valid_T in validation_set.labels()):
        expected = "a label in the validation split, to choose checkpoints and τ by"
        raise InputError(Problem(features, expected))
    if device == "cpu":
        keep_freed_memory()
    data = data_record(features, dataset)
    model = build_for(config, data, dataset.splits["train"]).to(device)
    check_link(model, config, dataset, features)
    folder = RunFolder(out)
    checkpoints = Checkpoints(folder.checkpoints, spec_of(config, data), config.keep_checkpoints)
    with locked(folder.lock):
        remove_leftovers(out)
        others = named_callbacks(config.callbacks, out, config)
        callback = _Several([TensorBoardLog(out / "logs"), Curves(out), *others, *callbacks])
        if init := warm_start(folder, init_from, model, config, data, checkpoints.begun()):
            data["init"] = init
        _begin(folder, config, data)
        ranks.gathered("the folder is ours")  # the others open it no sooner

        callback.loaded((*dataset.told(), *model.remarks))

        prior = prior_for(config, dataset.splits["train"])

        def validated(model: Segmenter, step: int, epoch: int) -> Validation:
            return validate(model, validation_set, config, step, epoch, prior)

        best = fit(model, dataset.splits["train"], config, checkpoints, validated, callback, ranks).best
        assert best is not None  # there is no end without a validation
        callback.finished()
        evaluate_run(out, "val", features, device)
        return best


def follow(features: Path, out: Path, config: TrainConfig, device: str, ranks: Ranks) -> None:
    """What the ranks above 0 do while rank 0 trains: the same steps, each on its own samples.

    Reads the checkpoint that rank 0 goes on from, and writes nothing. `features` and `out` are rank 0's.
    """
    config = resolved(config, device)
    dataset = load_dataset(features, config.data, boundary_sigma(config.model, config.settings))
    if device == "cpu":
        keep_freed_memory()
    data = data_record(features, dataset)
    ranks.gathered("waits for the folder")
    model = build_for(config, data, dataset.splits["train"]).to(device)
    folder = RunFolder(out)
    checkpoints = _ReadOnly(folder.checkpoints, spec_of(config, data))
    warm_start(folder, None, model, config, data, checkpoints.begun())

    def unvalidated(model: Segmenter, step: int, epoch: int) -> Validation:
        return Validation(step, epoch, ReadOut(), 0.0)

    fit(model, dataset.splits["train"], config, checkpoints, unvalidated, ranks=ranks)


def check_link(model: Segmenter, config: TrainConfig, dataset: Dataset, features: Path) -> None:
    """Raises InputError for labels and settings that the model isn't for, such as several labels a frame."""
    check_postprocess(model, config)
    if config.compile and not model.one_graph:
        expected = f"false: a step of model {config.model} is no graph that could be compiled"
        raise InputError(Problem("training config", expected, column="compile", value=True))
    if model.link == "sigmoid":
        return
    problems = []
    for split in dataset.splits.values():
        for window in split.windows:
            labels_TC, valid_T = window.labels(dataset.vocabulary)
            counts_T = labels_TC.sum(axis=1)
            if (wrong := np.flatnonzero(valid_T & (counts_T != 1))).size:
                t = int(wrong[0])
                expected = "one label in every frame, for a model with link softmax"
                got = f"{counts_T[t]} at {window.time_s[t]:.3f} s in {window.name}, and {wrong.size} such frames in all"
                problems.append(Problem(features / "labels.csv", expected, value=got))
    if problems:
        raise InputError(problems)


class _ReadOnly(Checkpoints):
    """Another process writes these."""

    def prepare(self) -> None:
        """Leaves the folder as it is."""

    def save(self, *what: Any) -> None:
        """Writes nothing."""

    def save_best(self, *what: Any) -> None:
        """Writes nothing."""


def resolved(config: TrainConfig, device: str) -> TrainConfig:
    """With nothing left to defaults: precision, and all settings of the model."""
    return with_model_settings(config).resolved(torch.device(device).type == "cuda")


def _begin(folder: RunFolder, config: TrainConfig, data: dict[str, Any]) -> None:
    """Writes what the run is, or checks that it is what it was."""
    if folder.config.exists():
        before = config_from_dict(read_yaml(folder.config), folder.config).to_dict()
        expected = "the settings that the run began with (another run needs another folder)"
        # A learning rate that falls to 0 at the last step depends on which that is.
        fixed = ("epochs", "steps") if config.optimiser.schedule == "cosine" else ()
        free = [name for name in FREE if name not in fixed]
        if problems := refused_changes(folder.config, before, config.to_dict(), expected, free):
            raise InputError(problems)
    if folder.data.exists():
        kept = read_json(folder.data)
        if "imported" in kept or folder.exported.exists():
            expected = (
                "a run that was trained here; to train on with its weights, give another folder --init-from"
            )
            raise InputError(Problem(folder.root, expected))
        check_data(folder, data, kept)
    write_settings(folder, config, data)


class _Several(Callback):
    def __init__(self, callbacks: Sequence[Callback]):
        self._callbacks = callbacks

    def loaded(self, lines: Sequence[str]) -> None:
        for callback in self._callbacks:
            callback.loaded(lines)

    def started(self, step: int, steps: int) -> None:
        for callback in self._callbacks:
            callback.started(step, steps)

    def stepped(self, step: Step) -> None:
        for callback in self._callbacks:
            callback.stepped(step)

    def validated(self, validation: Validation, best: bool) -> None:
        for callback in self._callbacks:
            callback.validated(validation, best)

    def finished(self) -> None:
        for callback in self._callbacks:
            callback.finished()
