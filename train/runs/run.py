"""A run: its folder, what it was made of, and opening it again.

runs/a/
  config.yaml      the resolved TrainConfig; a rerun with another one is refused
  data.json        what it was trained on: folder, actions, feature size, the samples of each split, what was left out;
                   and what it began with, if not with fresh weights: `init` of another run, or `imported` weights
  checkpoints/     see `rhas.train.runs.checkpoint`
  model.safetensors    instead of checkpoints/ in a folder that `rhas export` made: the best weights
  logs/            TensorBoard; curves.csv, curves.png: see `rhas.train.fitting.curves`
  metrics.json, results.md, results.csv, persons-SPLIT.csv, timelines/    see `rhas.train.evaluation`
  lock             held by the process that trains here

In: the folder. Out: a `Run` with its best weights, and its data, checked to be what it was. Training into a
folder is left to `rhas.train.fitting.training`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from rhas.manifests.common.atomic import write_text_atomically
from rhas.manifests.common.errors import InputError, Problem
from rhas.manifests.common.locations import place
from rhas.manifests.shards.layout import FeaturesFolder
from rhas.manifests.shards.mirror import features_here, origin_of
from rhas.manifests.shards.verify import read_config
from rhas.manifests.tables.manifest import SPLITS
from rhas.manifests.tables.vocabulary import Vocabulary
from rhas.train.config import (
    TrainConfig,
    config_from_dict,
    differences,
    load_config,
    read_yaml,
    setting,
    with_overrides,
)
from rhas.train.data import Dataset, SampleSet, class_counts, load_dataset
from rhas.train.device import chosen_device
from rhas.train.metrics.readout import ReadOut
from rhas.train.models.diffusion.labels import Link
from rhas.train.models.losses import class_weights
from rhas.train.models.registry import build_model, data_needs, model_config
from rhas.train.models.segmenter import Segmenter, SupervisedSegmenter
from rhas.train.runs.checkpoint import BEST, Checkpoints, ModelSpec, load_weights

# What a run may be used with other settings of: none of them shapes weights.
USE = (
    "settings.diffusion.sampling_steps", "settings.diffusion.eta", "readout.heads", "readout.shares",
    "readout.smoothing", "readout.width", "readout.decoding", "postprocess", "batch", "precision",
)  # fmt: skip
READING = (*USE, "readout")  # and where the read-out is chosen anew
ORIGINS = ("init", "imported")  # in data.json: what weights began as; nothing of the data


@dataclass(frozen=True)
class Validation:
    """How good the model is on the validation split, with the read-out that suits it best."""

    step: int
    epoch: int  # epochs done
    readout: ReadOut
    f1_macro_50: float  # percent, as it is read; what checkpoints are selected by
    # None where it wasn't measured, or there was nothing to measure.
    loss: float | None = None  # the sum of the model's losses, a mean over the samples
    frame_mAP: float | None = None  # percent
    edit: float | None = None  # percent
    heads: dict[str, float] = field(
        default_factory=dict
    )  # macro F1@50 of each head alone, read as suits it best

    @property
    def tau(self) -> float | None:
        """None: one label a frame, the best class."""
        return self.readout.tau

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Validation:
        """The inverse of `asdict`."""
        return cls(**{**record, "readout": ReadOut.from_record(record["readout"])})


@dataclass(frozen=True)
class RunFolder:
    """Paths below a run's folder."""

    root: Path

    @property
    def config(self) -> Path:
        return self.root / "config.yaml"

    @property
    def data(self) -> Path:
        return self.root / "data.json"

    @property
    def checkpoints(self) -> Path:
        return self.root / "checkpoints"

    @property
    def exported(self) -> Path:
        return self.root / "model.safetensors"

    @property
    def weights(self) -> Path:
        """The best weights: of a run, or of what was exported from one."""
        return self.exported if self.exported.is_file() else self.checkpoints / BEST

    @property
    def curves(self) -> Path:
        return self.root / "curves.csv"

    @property
    def metrics(self) -> Path:
        return self.root / "metrics.json"

    @property
    def timelines(self) -> Path:
        return self.root / "timelines"

    @property
    def lock(self) -> Path:
        return self.root / "lock"


@dataclass(frozen=True)
class Run:
    """A run with its best weights."""

    folder: RunFolder
    config: TrainConfig
    data: dict[str, Any]  # data.json
    model: Segmenter
    validation: Validation  # when the weights were chosen, and τ with them
    changed: tuple[str, ...] = ()  # name=value of settings that aren't the run's own

    @property
    def vocabulary(self) -> Vocabulary:
        return Vocabulary(tuple(self.data["actions"]), tuple(self.data.get("background", ())))


def open_run(root: Path, device: str | None = None, overrides: Sequence[str] = ()) -> Run:
    """The run in a folder, with its best weights. Raises InputError if there is none.

    `overrides`: `section.key=value` for settings that shape no weights, those of `USE`; others are refused.
    """
    device = chosen_device(device)
    folder = RunFolder(root)
    if not folder.config.is_file() or not folder.data.is_file():
        raise InputError(Problem(root, "the folder of a run, as `rhas train` makes it"))
    own = with_model_settings(config_from_dict(read_yaml(folder.config), folder.config), folder.config)
    config, changed = changed_use(own, overrides)
    on_gpu = torch.device(device).type == "cuda"
    if not on_gpu and not any(name.startswith("precision=") for name in changed):
        config = config.replace(precision="float32")
    data = read_json(folder.data)
    model = build_for(config, data).to(device)
    if changed:
        check_postprocess(model, config, "--set")
    record = load_weights(folder.weights, spec_of(own, data), model)
    validation = Validation.from_record(record["validation"])
    validation = replace(validation, readout=_read_otherwise(validation.readout, config, changed))
    return Run(folder, config.resolved(on_gpu), data, model, validation, changed)


def _read_otherwise(readout: ReadOut, config: TrainConfig, changed: Sequence[str]) -> ReadOut:
    """The read-out with those of its settings that were changed; one that is left open stays as it was chosen."""
    now, names = config.readout, {change.split("=")[0] for change in changed}
    if names & {"readout.heads", "readout.shares"} and now.heads is not None:
        readout = replace(readout, heads=now.heads, shares=now.shares or ())
    if names & {"readout.smoothing", "readout.width"} and now.smoothing is not None:
        readout = replace(readout, smoothing=now.smoothing, width=now.width)
    if "readout.decoding" in names and now.decoding == "none":
        readout = replace(readout, prior=None, evidence=0.0)
    elif "readout.decoding" in names and now.decoding == "durations" and readout.prior is None:
        expected = "none: what to decode by is chosen with the weights, and this run has nothing"
        raise InputError(Problem("--set", expected, column="readout.decoding", value=now.decoding))
    return readout


def changed_use(config: TrainConfig, overrides: Sequence[str]) -> tuple[TrainConfig, tuple[str, ...]]:
    """The config with other settings of those in `USE`, and what is other in it, as name=value.

    Raises InputError, naming the settings, for those that shape weights.
    """
    if not overrides:
        return config, ()
    now = with_model_settings(with_overrides(config, overrides), "--set")
    before, after = config.to_dict(), now.to_dict()
    names = sorted(differences(before, after))
    expected = f"one of {', '.join(USE)}: what else there is shaped the weights, or is of no use to them"
    if problems := [
        Problem("--set", expected, column=name, value=setting(after, name))
        for name in names
        if not any(name == free or name.startswith(f"{free}.") for free in USE)
    ]:
        raise InputError(problems)
    return now, tuple(f"{name}={setting(after, name)}" for name in names)


def check_postprocess(model: Segmenter, config: TrainConfig, file: str | Path = "training config") -> None:
    """Raises InputError for what can't be done to the scores of several labels a frame."""
    if model.link == "sigmoid" and config.postprocess.purge is not None:
        expected = "null: only where a frame has one label can a short segment go to its neighbours"
        raise InputError(Problem(file, expected, column="postprocess.purge", value=config.postprocess.purge))


def with_model_settings(config: TrainConfig, file: str | Path = "training config") -> TrainConfig:
    """With all settings of the model, checked, and data as it needs it. Raises InputError, naming `file` and
    `settings.…`."""
    settings = model_config(config.model, config.settings, file, "settings")
    needs = [f"data.{name}={value}" for name, value in data_needs(config.model, config.settings).items()]
    return with_overrides(config.replace(settings=settings.to_dict()), needs)


def load_whole_config(preset: str, overrides: Sequence[str] = ()) -> TrainConfig:
    """As `load_config`, with all settings of the model. Raises InputError.

    If another model is asked for than the preset's, the preset's model settings go to it as far as it knows them.
    """
    source = f"{preset} with --set" if overrides else preset
    base = load_config(preset)
    named = [given for given in overrides if given.partition("=")[0].strip() == "model"]
    base = for_model(base, with_overrides(TrainConfig(model=base.model), named).model)
    return with_model_settings(with_overrides(base, overrides), source)


def for_model(base: TrainConfig, model: str) -> TrainConfig:
    """The config for a model that may be another: with those of the model's settings that both have.

    But not with the losses' weights: how they weigh is a model's own, of labels that are the same.
    """
    if model == base.model:
        return base
    known = set(dict(model_config(model)))
    settings = {
        name: value
        for name, value in base.settings.items()
        if name in known and _takes(model, name, value, base.model)
    }
    for section, shared in (("losses", ("over_classes",)), ("boundary", ("sigma", "target"))):
        own = settings.pop(section, None) or {}
        if kept := {name: own[name] for name in shared if name in own}:
            settings[section] = kept
    return base.replace(model=model, settings=settings)


def _takes(model: str, name: str, value: Any, other: str) -> bool:
    """Whether a model's setting can have this value of another model's.

    A section may be one of the other model alone; what is wrong for both is for an error to tell.
    """
    return _valid(model, name, value) or (isinstance(value, Mapping) and not _valid(other, name, value))


def _valid(model: str, name: str, value: Any) -> bool:
    try:
        model_config(model, {name: value})
    except InputError:
        return False
    return True


def load_run_data(run: Run, features: Path | None = None) -> Dataset:
    """The data that a run was trained on, split as it was. Raises InputError if it isn't that any more."""
    if features is None and run.data["features"] is None:
        expected = "a run with features: weights that were imported without them can only predict"
        raise InputError(Problem(run.folder.data, expected, column="features"))
    features = features or features_here(place(run.data["features"]))
    data_config = run.config.data.replace(feature_size=run.data["feature_size"])
    dataset = load_dataset(features, data_config)
    check_data(run.folder, data_record(features, dataset), run.data)
    return dataset


def check_extraction(features: Path, run: Run) -> None:
    """Raises InputError if other models extracted `features` than those that the run was trained on."""
    if run.data["models"] is None:  # of imported weights nobody may know
        return
    record = read_config(FeaturesFolder(features))
    names = list(differences(record["models"], run.data["models"]))
    if all(_known_boxes(config) for config in (record["config"], run.data["extraction"])):
        names = [name for name in names if not name.startswith("detector.")]  # of the movies: no model
    if names:
        expected = f"features of the models that {run.folder.root} was trained on"
        raise InputError(Problem(features / "config.json", expected, value=f"another {', '.join(names)}"))


def _known_boxes(extraction: Any) -> bool:
    """Whether persons were found by a table of boxes (`rhas.manifests.tables.boxes`)."""
    detector = extraction.get("detector") if isinstance(extraction, Mapping) else None
    return isinstance(detector, Mapping) and detector.get("implementation") == "boxes"


def read_json(path: Path) -> dict[str, Any]:
    """What a JSON file of ours holds. Raises InputError, naming the file."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(Problem(path, f"readable JSON ({error})")) from error
    if not isinstance(value, dict):
        raise InputError(Problem(path, "a JSON object", value=type(value).__name__))
    return value


def spec_of(config: TrainConfig, data: dict[str, Any]) -> ModelSpec:
    """What weights of such a run are for."""
    settings = _bound(config, data)
    return ModelSpec(config.model, settings, _input_size(config, data), tuple(data["actions"]))


def _input_size(config: TrainConfig, data: dict[str, Any]) -> int:
    return int(data["feature_size"]) * int(data.get("tokens", 1)) + config.data.boxes.size


def _bound(config: TrainConfig, data: dict[str, Any]) -> dict[str, Any]:
    """The model's settings; for one that takes all query tokens, with their number. Raises InputError for another."""
    if "tokens" not in data or "tokens" not in config.settings:
        return config.settings
    if (given := config.settings["tokens"]) not in (None, data["tokens"]):
        expected = f"null, or {data['tokens']}, which the features have"
        raise InputError(Problem("training config", expected, column="settings.tokens", value=given))
    return {**config.settings, "tokens": data["tokens"]}


def write_settings(folder: RunFolder, config: TrainConfig, data: dict[str, Any]) -> None:
    """What a run is. The config last: a folder without one is no run."""
    write_text_atomically(folder.data, json.dumps(data, indent=1))
    write_text_atomically(folder.config, yaml.safe_dump(config.to_dict(), sort_keys=False))


def write_run(
    folder: RunFolder, config: TrainConfig, data: dict[str, Any], model: Segmenter, validation: Validation
) -> None:
    """A run whose weights were not trained here."""
    checkpoints = Checkpoints(folder.checkpoints, spec_of(config, data))
    checkpoints.prepare()
    checkpoints.save_best(model, {"validation": asdict(validation)})
    write_settings(folder, config, data)


def data_record(features: Path, dataset: Dataset) -> dict[str, Any]:
    """What data.json holds."""
    extraction = read_config(FeaturesFolder(features))
    several = {} if dataset.tokens == 1 else {"tokens": dataset.tokens}  # that samples have all of
    return {
        "features": str(origin_of(features)),
        "extraction": extraction["config"],  # so that a new movie can be extracted in the same way
        "models": extraction["models"],
        "feature_size": dataset.feature_size,
        **several,
        "actions": list(dataset.vocabulary.actions),
        "background": list(dataset.vocabulary.background),
        "left_out": dataset.record(),
        "samples": {name: [window.name for window in dataset.splits[name].windows] for name in SPLITS},
    }


def check_data(folder: RunFolder, now: dict[str, Any], before: dict[str, Any]) -> None:
    """The same samples in the same splits: else what was trained on might be tested on."""
    problems = []
    for name in differences(before, now):
        section, _, key = name.partition(".")
        # The folder may move; only how scores are counted depends on the background.
        if section in ("features", "background", *ORIGINS):
            continue
        if section == "left_out" and key not in before[section]:  # nobody counted it then
            continue
        if name.startswith("samples."):
            old, new = (set(data["samples"][name.removeprefix("samples.")]) for data in (before, now))
            got = f"{len(new - old)} new, {len(old - new)} gone"
            problems.append(Problem(folder.data, "the same samples in this split", column=name, value=got))
        else:
            expected = f"{setting(before, name)}, as the run was trained on"
            problems.append(Problem(folder.data, expected, column=name, value=setting(now, name)))
    if problems:
        raise InputError(problems)


def build_for(config: TrainConfig, data: dict[str, Any], training: SampleSet | None = None) -> Segmenter:
    """The model with fresh weights, and those of classes if they are asked for."""
    with torch.random.fork_rng(devices=[]):  # modules know no other way to draw their weights
        torch.manual_seed(config.seed)
        model = build_model(
            config.model, _input_size(config, data), len(data["actions"]), _bound(config, data)
        )
    if config.balance_classes and training is not None:  # later, they come with the checkpoint
        if not isinstance(model, SupervisedSegmenter):
            expected = f"false: model {config.model} takes no weights of classes"
            raise InputError(Problem("training config", expected, column="balance_classes", value=True))
        model.weight_classes(balancing_weights(training, model.link, config.balance_bound))
    if training is not None:
        model.prepare(training)
    return model


def balancing_weights(training: SampleSet, link: Link, bound: float | None = None) -> Tensor:
    """Weights [C] that balance the classes of the training split: see `losses.class_weights`.

    Raises InputError if nothing is labelled.
    """
    counts_C = torch.from_numpy(class_counts(training.labels()))
    frames = sum(int(valid_T.sum()) for _, valid_T in training.labels())
    return class_weights(counts_C.float(), frames, link, bound)
