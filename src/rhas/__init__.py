"""Referring human action segmentation: say what the person whom a sentence names does, frame by frame.

    import rhas

    rhas.extract_features("movies/manifest.csv", "features", preset="blip2", gpus=8)
    rhas.train_segmenter("features", "runs/a")
    series = rhas.read_features("features").person("night_01", "p1")
    samples = rhas.dataset("features", split="train")  # for a training loop of one's own
    run = rhas.load_run("runs/a")  # or what `rhas export` made of one, on any machine
    scores = run.predict(series.holistic, series.partial)  # [T, C], C as in run.actions

Only what is called is imported: torch, transformers and Ray stay out of a program that reads features. The command
line is `rhas.pipeline.cli`; the stages are `rhas.extract` and `rhas.train`, and what they share is `rhas.manifests`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rhas.extract.run.accounts import Summary
    from rhas.manifests.shards.reader import FeaturesReader
    from rhas.train.data.samples import SampleSet
    from rhas.train.runs.run import Validation
    from rhas.train.scoring.loaded import LoadedRun

__version__ = "0.1.0"
__all__ = ["__version__", "dataset", "extract_features", "load_run", "read_features", "train_segmenter"]


def read_features(folder: str | Path) -> FeaturesReader:
    """The features of a folder that `rhas extract` or `rhas import` wrote. Raises InputError if it is none."""
    from rhas.manifests.shards.reader import FeaturesReader

    return FeaturesReader(Path(folder))


def dataset(
    features: str | Path, split: str = "train", by: str = "cross-movie", **settings: Any
) -> SampleSet:
    """The labelled samples of a split as a `torch.utils.data.Dataset`: what `rhas train` learns from.

    A sample is a window of one person: `name`, `holistic` and `partial` [T, F] with `has_holistic` and `has_partial`
    [T], `labels` [T, C] in the order of the dataset's `vocabulary.actions`, and `valid` [T], the frames that count.
    `rhas.train.data.collate` makes batches of samples, padded, in a DataLoader. `split` is train, val or test, drawn
    `by` random, cross-movie, manifest or fold; `settings` are the other fields of `rhas.train.data.DataConfig`, such as
    window. Raises InputError for a folder or settings that don't fit.
    """
    from rhas.manifests.common.configs import from_mapping
    from rhas.manifests.common.errors import InputError, Problem
    from rhas.train.data import DataConfig, load_dataset

    config = from_mapping(DataConfig(), {"split": by, **settings}, "rhas.dataset")
    splits = load_dataset(Path(features), config).splits
    if split not in splits:
        raise InputError(Problem("rhas.dataset", f"one of {', '.join(splits)}", column="split", value=split))
    return splits[split]


def load_run(folder: str | Path, device: str | None = None) -> LoadedRun:
    """A run that `rhas train` made, or an export of one, with its best weights. Raises InputError if there is none.

    It has `model`, `config`, `actions`, `metrics`, and `predict(holistic, partial)` for arrays [T, F]. `device`:
    such as "cuda" or "cpu"; by default a GPU if there is one.
    """
    from rhas.train.scoring.loaded import load_run

    return load_run(Path(folder), device)


def extract_features(
    movies: str | Path,
    out: str | Path,
    preset: str = "blip2",
    settings: Sequence[str] = (),
    labels: str | Path | None = None,
    actions: str | Path | None = None,
    **options: Any,
) -> Summary:
    """What `rhas extract` does: the movies of a manifest to a features folder; a rerun continues.

    `settings` are those of `--set`, such as "decode.fps=5"; `options` the fields of `rhas.extract.config.RunOptions`,
    such as gpus. Raises InputError for what can't be used, before anything is written.
    """
    from rhas.extract.config import RunOptions, load_config
    from rhas.extract.run.run import extract
    from rhas.manifests.tables.inputs import load_inputs

    tables = (Path(path) if path else None for path in (labels, actions))
    return extract(
        load_inputs(Path(movies), *tables), Path(out), load_config(preset, settings), RunOptions(**options)
    )


def train_segmenter(
    shards: str | Path,
    out: str | Path,
    config: str = "hopadiff",
    settings: Sequence[str] = (),
    device: str | None = None,
    init_from: str | Path | None = None,
) -> Validation:
    """What `rhas train` does in one process: a segmenter fitted to a features folder; returns the best validation.

    `config` is a preset or a YAML file, `settings` are those of `--set`. `init_from`: a run to begin
    with. A rerun goes on from the last checkpoint. Raises InputError for data and settings that don't fit.
    """
    from rhas.train.config import load_config
    from rhas.train.fitting.training import train

    start = Path(init_from) if init_from else None
    return train(Path(shards), Path(out), load_config(config, settings), device, init_from=start)
