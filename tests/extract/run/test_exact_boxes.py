"""Extractions whose boxes are made exact: nearer to the truth, which the made world knows, and else as without."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from extractions import problems

from rhas.extract.config import RunOptions, load_config
from rhas.extract.ground.calibration import RIGHT, overlap
from rhas.extract.run.run import extract
from rhas.manifests.shards.reader import FeaturesReader
from rhas.manifests.shards.status import HAS_BOX
from rhas.manifests.tables.boxes import load_boxes
from rhas.manifests.tables.inputs import load_inputs
from rhas.pipeline.world.writing import World, write_world

AS = {"exact": (), "as found": ("detector.refine=null",)}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    write_world(folder, World(movies=2, seed=3, shortest_s=8, longest_s=9))
    return folder


@pytest.fixture(scope="module")
def folders(world: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("features")
    for name, settings in AS.items():
        config = load_config("mini", ["decode.window_frames=16", *settings])
        extract(load_inputs(world / "manifest.csv"), root / name, config, RunOptions(speed_check=False))
    return {name: root / name for name in AS}


def test_boxes_are_nearer_to_the_truth_and_all_else_stays(world: Path, folders: dict[str, Path]) -> None:
    truth, found = load_boxes(world / "boxes.csv"), {}
    for name, folder in folders.items():
        parts = []
        for series in FeaturesReader(folder).persons():
            box, true = series.box[...], truth[series.movie_id, series.person_id].at(series.time_s)
            there = np.isin(series.status, HAS_BOX)
            assert (np.isfinite(box).all(1) == there).all() and np.isfinite(series.partial[...][there]).all()
            parts.append((overlap(box, true), series.status, series.score[...], series.track[...]))
        found[name] = [np.concatenate(values) for values in zip(*parts, strict=True)]
        assert problems(folder) == []
    exact, as_found = found["exact"], found["as found"]
    for one, other in zip(exact[1:], as_found[1:], strict=True):
        np.testing.assert_array_equal(one, other)
    right = (exact[0] > RIGHT) & (as_found[0] > RIGHT)
    assert right.sum() > 50 and exact[0][right].mean() > max(0.85, as_found[0][right].mean() + 0.03)


@pytest.mark.parametrize("name", ["exact", "as found"])
def test_boxes_that_are_not_the_tracks_are_told(folders: dict[str, Path], tmp_path: Path, name: str) -> None:
    folder = tmp_path / "features"
    shutil.copytree(folders[name], folder)
    path = sorted((folder / "shards").glob("*.h5"))[0]
    with h5py.File(path, "r+") as file:
        person = next(iter(file["persons"].values()))
        at = int(np.flatnonzero(np.isfinite(person["box"][:, 0]))[0])
        box = person["box"][at]
        person["box"][at] = box[[2, 1, 0, 3]] if name == "exact" else box + np.float32(0.01)
    assert any("has other boxes than those of" in problem for problem in problems(folder))


def test_features_know_which_net_made_them_exact(folders: dict[str, Path]) -> None:
    models = {
        name: json.loads((folder / "config.json").read_text())["models"] for name, folder in folders.items()
    }
    refiner = models["exact"]["refiner"]
    assert refiner["name"] == "shipped:mini" and refiner["hash"] and "refiner" not in models["as found"]
