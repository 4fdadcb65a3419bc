"""A run in a program of one's own, and exported: the same scores to the bit, on a machine without the features."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from toy_segmenter import toy_config, toy_features

import rhas
from rhas.manifests.common.errors import InputError
from rhas.manifests.tables.vocabulary import load_vocabulary
from rhas.train.evaluation.evaluation import evaluate_run
from rhas.train.evaluation.export import export_run
from rhas.train.fitting.training import train
from rhas.train.runs.checkpoint import read_tensors
from rhas.train.scoring.prediction import predict_run

SETTINGS = {
    "encoder": {"layers": 2, "width": 8, "condition_layers": [0, 1]},
    "decoder": {"layers": 2, "width": 8, "time_width": 8},
    "hp_xlstm": {"heads": 2},
    "diffusion": {"sampling_steps": 3},
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(features, run)."""
    root = tmp_path_factory.mktemp("made")
    config = toy_config("data.window=16", "epochs=1", model="hopadiff", settings=SETTINGS)
    train(toy_features(root / "features"), root / "run", config, "cpu")
    return root / "features", root / "run"


def arrays(features: Path, person: str) -> tuple[np.ndarray, np.ndarray]:
    series = rhas.read_features(features).person("m1", person)
    return series.holistic[:], series.partial[:]


def test_arrays_get_the_scores_of_predict(made: tuple[Path, Path], tmp_path: Path) -> None:
    """Windows, missing features and noise are those of the person in the features folder."""
    predict_run(made[1], made[0], tmp_path / "out", device="cpu")
    expected = read_tensors(tmp_path / "out" / "scores" / "m1" / "a.safetensors")[0]["scores"].numpy()
    run = rhas.load_run(made[1], "cpu")
    holistic, partial = arrays(made[0], "a")
    assert np.isnan(partial).any()  # frames in which the person was not found
    # Up to rounding: there, others are in the batch, and sums run over their padding.
    assert np.allclose(run.predict(holistic, partial, "m1/a"), expected, rtol=0, atol=1e-5)
    assert not np.allclose(run.predict(holistic, partial, "m1/b"), expected, rtol=0, atol=1e-3)  # other noise
    assert not np.allclose(run.predict(holistic, None, "m1/a"), expected, rtol=0, atol=1e-3)
    assert run.actions == ("running", "walking") and run.config.model == "hopadiff"
    assert run.metrics["val"]["model"]["videos"] > 0 and expected.shape == (len(holistic), 2)


def test_arrays_that_do_not_fit_are_named(made: tuple[Path, Path]) -> None:
    run = rhas.load_run(made[1], "cpu")
    good = np.zeros((5, 6))
    gap, half = good.copy(), good.copy()
    gap[2], half[3, 1] = np.nan, np.inf
    with pytest.raises(InputError, match=r"holistic: got \(5, 7\): expected the shape \[frames, 6\]"):
        run.predict(np.zeros((5, 7)))
    with pytest.raises(InputError, match=r"partial: got \(4, 6\): expected the shape of holistic, \(5, 6\)"):
        run.predict(good, good[:4])
    with pytest.raises(
        InputError, match="partial: got 'one in frame 2': expected no feature of the person where"
    ):
        run.predict(gap, good)
    with pytest.raises(InputError, match="first in frame 3"):
        run.predict(half)
    with pytest.raises(InputError, match="at least one frame"):
        run.predict(good[:0])


def test_an_export_scores_as_the_run_does_where_there_is_nothing_else(
    made: tuple[Path, Path], tmp_path: Path
) -> None:
    run = shutil.copytree(made[1], tmp_path / "run")
    evaluate_run(run, "test", made[0], "cpu")
    export_run(run, tmp_path / "out")
    holistic, partial = arrays(made[0], "a")
    np.savez(tmp_path / "arrays.npz", holistic=holistic, partial=partial)
    expected = rhas.load_run(run, "cpu").predict(holistic, partial)
    shutil.rmtree(run)
    away = shutil.copytree(tmp_path / "out", tmp_path / "elsewhere" / "model")
    code = (
        "import sys, numpy, rhas\n"
        "given, run = numpy.load(sys.argv[1]), rhas.load_run(sys.argv[2], 'cpu')\n"
        "numpy.save(sys.argv[3], run.predict(given['holistic'], given['partial']))\n"
    )
    arguments = [tmp_path / "arrays.npz", away, tmp_path / "scores.npy"]
    subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        check=True,
        cwd=tmp_path,
        env=dict(os.environ),
        timeout=120,
    )
    assert np.array_equal(np.load(tmp_path / "scores.npy"), expected)


def test_what_an_export_holds(made: tuple[Path, Path], tmp_path: Path) -> None:
    run = shutil.copytree(made[1], tmp_path / "run")
    export_run(run, tmp_path / "unmeasured")
    assert "these numbers flatter" in (tmp_path / "unmeasured" / "README.md").read_text()
    measured = evaluate_run(run, "test", made[0], "cpu")
    out = tmp_path / "out"
    export_run(run, out)
    export_run(run, out)  # again, with what is new
    assert sorted(path.name for path in out.iterdir()) == [
        "README.md", "actions.csv", "config.yaml", "data.json", "metrics.json", "model.safetensors", "readout.json",
        "results.csv", "results.md",
    ]  # fmt: skip
    assert str(made[0].parent) not in "".join(
        p.read_text() for p in out.iterdir() if p.suffix != ".safetensors"
    )
    assert load_vocabulary(out / "actions.csv").actions == ("running", "walking")
    readout = json.loads((out / "readout.json").read_text())
    assert readout["readout"]["tau"] == rhas.load_run(run, "cpu").validation.tau
    card = (out / "README.md").read_text()
    front, _, body = card.removeprefix("---\n").partition("---\n")
    assert yaml.safe_load(front)["tags"][-1] == "hopadiff"
    row = next(line for line in body.splitlines() if line.startswith("| model |"))
    assert f"{measured['model']['chosen']['f1_macro@50']:.1f}" in row
    assert "| constant |" in body and "| prior |" in body and "features of size 6" in body.lower()
    assert 'rhas.load_run("out")' in body
    segments = predict_run(out, made[0], tmp_path / "from_export", device="cpu")
    assert segments == predict_run(run, made[0], tmp_path / "from_run", device="cpu")
    with pytest.raises(InputError, match="a run that was trained here"):
        train(made[0], out, rhas.load_run(run, "cpu").config, "cpu")


def test_what_can_not_be_exported_is_named(made: tuple[Path, Path], tmp_path: Path) -> None:
    run = shutil.copytree(made[1], tmp_path / "run")
    with pytest.raises(InputError, match=r"--out: got .* expected a folder that holds no run"):
        export_run(run, run)
    with pytest.raises(InputError, match="the folder of a run"):
        export_run(tmp_path, tmp_path / "out")
    (run / "checkpoints" / "best.safetensors").unlink()
    with pytest.raises(InputError, match="a run has one after its first validation"):
        export_run(run, tmp_path / "out")
    export_run(made[1], tmp_path / "out")
    with pytest.raises(InputError):  # its features are elsewhere
        evaluate_run(tmp_path / "out", "test", device="cpu")
