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
    read_yaml,
    setting,
)
from rhas.train.data import Dataset, load_dataset
from rhas.train.device import chosen_device
from rhas.train.metrics.readout import ReadOut
from rhas.train.models.segmenter import Segmenter
from rhas.train.runs.building import build_for, spec_of
from rhas.train.runs.checkpoint import BEST, Checkpoints, load_weights
from rhas.train.runs.settings import changed_use, check_postprocess, with_model_settings

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
