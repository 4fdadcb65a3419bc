"""`rhas benchmark --also`: systems on other features of the same persons, paired; and what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
from outside_package import install
from tiny_config import TINY
from toy_segmenter import toy_features
from typer.testing import CliRunner

from rhas.manifests.common.errors import InputError
from rhas.pipeline.cli import app
from rhas.train.benchmark.plan import System, on_features
from rhas.train.benchmark.results import ABSENCE

SETTINGS = ["data.window=10", "data.split=random", "data.proportions=[6, 2, 2]", "batch=3", "epochs=2",
            "validate_every=1", "checkpoint_every=1"]  # fmt: skip


@pytest.fixture
def features(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name, value in install(tmp_path / "site", "toy_segmenter").items():
        monkeypatch.setenv(name, value)
    yield toy_features(tmp_path / "features")


def benchmark(features: Path, out: Path, *also: str) -> int:
    arguments = [
        "benchmark",
        "--shards",
        str(features),
        "--out",
        str(out),
        "--models",
        "toy",
        "--config",
        TINY,
    ]
    arguments += ["--seeds", "1", *(part for setting in SETTINGS for part in ("--set", setting))]
    return (
        CliRunner()
        .invoke(
            app, [*arguments, *(part for one in also for part in ("--also", one))], catch_exceptions=False
        )
        .exit_code
    )


def test_the_same_features_elsewhere_are_no_different(features: Path, tmp_path: Path) -> None:
    copy, out = shutil.copytree(features, tmp_path / "copy"), tmp_path / "bench"
    assert benchmark(features, out, f"copy={copy}") == 0
    runs = pd.read_csv(out / "runs.csv")
    own = runs[runs["model"] != "baseline"]
    assert own["system"].tolist() == ["toy", "toy@copy"]
    apart = pd.read_csv(out / "differences.csv", index_col="system")
    assert apart.index.tolist() == ["toy@copy"]
    columns = [c for c in apart if c.endswith((" mean", " low", " high"))]
    assert len(columns) > 10 and (apart[columns].dropna(axis=1) == 0).all(axis=None)
    data = json.loads((out / "runs" / "toy@copy-seed0" / "data.json").read_text())
    assert data["features"] == str(copy)
    assert ABSENCE in (out / "table.md").read_text()
    # Nothing of it changes behind its back.
    labels = copy / "labels.csv"
    labels.write_text("\n".join(labels.read_text().splitlines()[:-1]) + "\n")
    with pytest.raises(InputError, match="the same persons with the same labels"):
        benchmark(features, out, f"copy={copy}")


def fewer_persons(folder: Path) -> None:
    rows = (folder / "manifest.csv").read_text().splitlines()
    (folder / "manifest.csv").write_text("\n".join(rows[:-1]) + "\n")


def other_actions(folder: Path) -> None:
    (folder / "actions.csv").write_text((folder / "actions.csv").read_text() + "one more\n")


@pytest.mark.parametrize(
    ("change", "what"), [(fewer_persons, "persons"), (other_actions, "labels, actions or folds")]
)
def test_features_of_something_else_are_refused(
    features: Path, tmp_path: Path, change: Callable[[Path], None], what: str
) -> None:
    other = shutil.copytree(features, tmp_path / "other")
    change(other)
    with pytest.raises(InputError) as caught:
        benchmark(features, tmp_path / "bench", f"other={other}")
    (problem,) = caught.value.problems
    assert (problem.file, problem.column, problem.value) == (other, "--also", f"other {what}")
    assert not (tmp_path / "bench" / "data.json").exists()


@pytest.mark.parametrize("names", [["a/b"], [".hidden"], ["a@b"], ["a", "a"], [""]])
def test_names_that_folders_can_not_have_are_refused(names: list[str]) -> None:
    with pytest.raises(InputError, match="a name of its own that a folder can have"):
        on_features([System("toy", "toy")], names)


def test_a_reading_goes_along_with_its_weights() -> None:
    systems = on_features([System("a", "toy"), System("b", "toy", (), "a")], ["true"])
    assert [(s.name, s.source, s.features) for s in systems] == [
        ("a", None, ""), ("b", "a", ""), ("a@true", None, "true"), ("b@true", "a@true", "true"),
    ]  # fmt: skip
