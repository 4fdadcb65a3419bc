"""rhas works wherever it is called: no process of it takes modules from the user's folder, installed as it ships."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_config import TINY
from wheel_environment import install_wheel

from rhas.pipeline.world.writing import World, write_world

# What vision repositories are full of, and what Python or Ray would take for the packages of that name.
THEIRS = (
    "extract", "train", "pipeline", "manifests", "rhas", "torch", "numpy", "ray", "decord", "utils",
)  # fmt: skip
SETTINGS = ("--set", "data.proportions=[2, 1, 1]", "--set", "epochs=1")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two sound movies and a research repository's files, each of which says so when it is imported."""
    root = tmp_path_factory.mktemp("theirs")
    write_world(root / "movies", World(movies=4, seed=7, shortest_s=2, longest_s=3))
    for name in THEIRS:
        (root / f"{name}.py").write_text(f"raise SystemExit('{name}.py of the user was imported')\n")
    (root / "extract").mkdir()
    (root / "extract" / "__init__.py").write_text("raise SystemExit('extract/ of the user was imported')\n")
    return root


@pytest.fixture(scope="module")
def rhas(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command of the wheel's installation."""
    return install_wheel(tmp_path_factory.mktemp("wheel")) / "rhas"


def test_nothing_is_taken_from_the_users_folder(rhas: Path, folder: Path, tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    out = tmp_path.relative_to(folder, walk_up=True) if sys.version_info >= (3, 12) else tmp_path

    def run(*arguments: str | Path) -> str:
        order = [str(rhas), *map(str, arguments)]
        ended = subprocess.run(
            order, cwd=folder, env=environment, capture_output=True, text=True, timeout=240
        )
        assert ended.returncode == 0, f"{order}\n{ended.stdout}\n{ended.stderr}"
        assert "of the user was imported" not in ended.stdout + ended.stderr
        return ended.stdout

    assert "4 movies" in run("plan", "--movies", "movies/manifest.csv", "--preset", "tiny-random")
    run("extract", "--movies", "movies/manifest.csv", "--out", out / "features", "--preset", "tiny-random",
        "--fps", "3", "--workers", "1", "--decoders", "1")  # fmt: skip
    assert "clean" in run("verify", out / "features")
    shards = (
        "--shards",
        out / "features",
        "--config",
        TINY,
        "--split",
        "random",
        "--window",
        "20",
        *SETTINGS,
    )
    run("train", "--out", out / "ranks", *shards, "--workers", "1")
    run("benchmark", "--out", out / "bench", *shards, "--models", "hopadiff", "--seeds", "1")
    assert (tmp_path / "bench" / "table.md").is_file()
