"""Weights that authors released as runs: their numbers come out of the run, by the command as by the program."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors import safe_open
from torch import Tensor
from training_folders import labelled_movie, write_training_folder
from typer.testing import CliRunner

import rhas
from rhas.manifests.common.errors import InputError
from rhas.manifests.shards.layout import FeaturesFolder
from rhas.manifests.tables.labels import Interval
from rhas.manifests.tables.vocabulary import Vocabulary, write_vocabulary
from rhas.pipeline.cli import app
from rhas.train.config import TrainConfig, load_config
from rhas.train.data.generators import Generators, generator_for
from rhas.train.evaluation.export import export_run
from rhas.train.fitting.importing import import_weights
from rhas.train.fitting.training import train
from rhas.train.metrics.choosing import ReadOutConfig
from rhas.train.runs.checkpoint import read_tensors

GOLDEN = Path(__file__).parents[4] / "shared" / "golden"
VOCABULARY = Vocabulary(("pour", "stir", "running", "walking", "cut"))
TABLE = "rel_pos_emb.weight[9000:10101]"


def golden(name: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    path = GOLDEN / f"{name}.safetensors"
    if not path.is_file():
        pytest.skip(f"{path} is not here")
    with safe_open(path, "pt") as file:
        return {key: file.get_tensor(key) for key in file.keys()}, json.loads(file.metadata()["json"])  # noqa: SIM118


def release(tensors: dict[str, Tensor], path: Path, under: str = "") -> Path:
    """The file as its authors would hand it out."""
    state = {k.removeprefix("param/"): x for k, x in tensors.items() if k.startswith("param/")}
    for name in [name for name in state if name.endswith(TABLE)]:
        table = torch.zeros(20_000, 1)
        table[9000:10101] = state.pop(name)
        state[name.replace(TABLE, "rel_pos_emb.weight")] = table
    torch.save({"epoch": 3, under: state} if under else state, path)
    return path


def diffusion_settings(meta: dict[str, Any]) -> dict[str, Any]:
    encoder, decoder, diffusion = meta["encoder"], meta["decoder"], meta["diffusion"]
    return {
        "link": "softmax",
        "encoder": {
            "layers": encoder["num_layers"], "width": encoder["num_f_maps"], "kernel": encoder["kernel_size"],
            "condition_layers": encoder["feature_layer_indices"],
        },
        "decoder": {
            "layers": decoder["num_layers"], "width": decoder["num_f_maps"], "kernel": decoder["kernel_size"],
            "time_width": decoder["time_emb_dim"],
        },
        "diffusion": {
            "steps": diffusion["timesteps"], "scale": diffusion["snr_scale"],
            "sampling_steps": diffusion["sampling_timesteps"], "eta": diffusion["ddim_sampling_eta"],
        },
    }  # fmt: skip


def ltcontext_settings(meta: dict[str, Any]) -> dict[str, Any]:
    given = meta["ltc"]
    network = {
        "stages": given["NUM_STAGES"], "layers": given["NUM_LAYERS"], "width": given["MODEL_DIM"],
        "window": given["WINDOWED_ATTN_W"], "long_term_step": given["LONG_TERM_ATTN_G"],
    }  # fmt: skip
    return {"link": "softmax", "network": network}


@pytest.mark.parametrize(
    ("model", "file", "out"),
    [
        ("actdiff", "diffact_eval", "out/ddim_probabilities"),
        ("actfusion", "actfusion_eval", "out/tas_probabilities"),
    ],
)
def test_diffusions_give_the_authors_numbers(model: str, file: str, out: str, tmp_path: Path) -> None:
    tensors, meta = golden(file)
    checkpoint = release(tensors, tmp_path / "release.model")
    config = TrainConfig(model=model, settings=diffusion_settings(meta))
    found = import_weights(checkpoint, tmp_path / "run", config, None, VOCABULARY, 12, "cpu")
    assert found.tau is None
    run = rhas.load_run(tmp_path / "run", "cpu")
    x, start = tensors["in/features"], tensors["in/ddim_start_noise"]
    mask = torch.ones(1, x.shape[2], dtype=torch.bool)
    generators = Generators([x.shape[2]], [generator_for("cpu", 0)])
    network: Any = getattr(run.model.eval(), model)
    expected = tensors[out]
    scores = network.sample(x, mask, generators, start)
    torch.testing.assert_close(scores, expected, rtol=0, atol=1e-4 * float(expected.abs().max()))
    predicted = run.predict(x[0].T.numpy())
    assert predicted.shape == (97, 5) and np.isfinite(predicted).all()


@pytest.mark.parametrize("under", ["", "model_state"])
def test_ltcontext_predicts_the_authors_numbers(under: str, tmp_path: Path) -> None:
    tensors, meta = golden("ltcontext_eval")
    checkpoint = release(tensors, tmp_path / "release.pyth", under)
    (tmp_path / "config.yaml").write_text(
        yaml.safe_dump({"model": "ltcontext", "settings": ltcontext_settings(meta)})
    )
    write_vocabulary(VOCABULARY, tmp_path / "actions.csv")
    command = ["import", "weights", checkpoint, "--config", tmp_path / "config.yaml", "--out", tmp_path / "run",
               "--actions", tmp_path / "actions.csv", "--feature-size", 12, "--device", "cpu"]  # fmt: skip
    done = CliRunner().invoke(app, [str(part) for part in command], catch_exceptions=False)
    assert done.exit_code == 0 and "τ: best class, not measured" in done.output
    expected = tensors["out/stage_logits"][-1, 0].softmax(0).T.numpy()
    scores = rhas.load_run(tmp_path / "run", "cpu").predict(tensors["in/features"][0].T.numpy())
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-4)


def test_fact_is_read_as_its_config_says(tmp_path: Path) -> None:
    """Frames and tokens by the authors' shares, also without data to choose others by."""
    tensors, meta = golden("fact_o2o")
    fact, first, later = (meta["config"][part] for part in ("FACT", "Bi", "Bu"))
    network = {
        "blocks": fact["block"], "tokens": fact["ntoken"], "width": first["hid_dim"], "frame_branch": first["f"],
        "frame_width": first["f_dim"], "frame_layers": [first["f_layers"], later["f_layers"]],
        "token_width": first["a_dim"], "token_layers": first["a_layers"], "heads": first["a_nhead"],
        "feedforward": first["a_ffdim"],
    }  # fmt: skip
    config = load_config("fact-gtea").replace(
        settings={"link": "softmax", "stream": "holistic", "network": network},
        readout=ReadOutConfig(heads=("tokens", "frames"), shares=(1 - fact["mwt"], fact["mwt"])),
    )
    found = import_weights(
        release(tensors, tmp_path / "x.net"), tmp_path / "run", config, None, VOCABULARY, 10, "cpu"
    )
    assert found.readout.shares == (0.7, 0.3)
    scores = rhas.load_run(tmp_path / "run", "cpu").predict(tensors["in/video1/features"].numpy())
    assert (scores.argmax(1) == tensors["out/video1/prediction"].numpy()).all()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """One of two actions in every frame, of a vocabulary of five; features of size 12."""
    movies = [labelled_movie(f"m{i}", 40 + i, feature_shape=(12,)) for i in range(5)]
    labels = (Interval("running", 0, 1.5), Interval("walking", 1.5, 60))
    folder = write_training_folder(
        tmp_path / "data", movies, {person.key: labels for movie in movies for person in movie.persons}
    )
    write_vocabulary(VOCABULARY, FeaturesFolder(folder.root).actions)
    return folder.root


def test_with_features_it_is_measured_used_and_begun_with(data: Path, tmp_path: Path) -> None:
    tensors, meta = golden("ltcontext_eval")
    checkpoint = release(tensors, tmp_path / "release.pyth")
    config = tmp_path / "config.yaml"
    values = {"data": {"split": "random", "proportions": [6, 2, 2], "window": 40}, "epochs": 1, "batch": 4}
    config.write_text(yaml.safe_dump({"model": "ltcontext", "settings": ltcontext_settings(meta), **values}))
    run = tmp_path / "run"

    def rhas_command(*parts: object) -> str:
        done = CliRunner().invoke(app, [str(part) for part in parts], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.output

    said = rhas_command("import", "weights", checkpoint, "--config", config, "--out", run, "--shards", data)
    assert "validation macro F1@50" in said
    assert "## test: " in rhas_command("eval", "--run", run)
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["test"]["checkpoint"]["step"] == 0 and metrics["test"]["model"]["half"] is None
    rhas_command("predict", "--run", run, "--shards", data)
    assert (run / "predictions" / "segments.csv").is_file()
    rhas_command("predict", "--run", run, "--shards", data, "--set", "postprocess.median=5")
    assert (run / "predictions-postprocess.median=5" / "segments.csv").is_file()
    more = tmp_path / "more"
    said = rhas_command(
        "train", "--shards", data, "--out", more, "--config", config, "--init-from", run, "--device", "cpu"
    )
    assert f"begins with {run} (step 0)" in said.replace("\n", "")
    assert "validation macro F1@50" in said and ", loss " in said and ", mAP " in said and ", edit " in said
    first, imported = (read_tensors(path / "checkpoints" / "best.safetensors")[0] for path in (more, run))
    assert first.keys() == imported.keys()
    with pytest.raises(InputError, match="to train on with its weights, give another folder --init-from"):
        train(data, run, rhas.load_run(run, "cpu").config, "cpu")
    moved = data.rename(tmp_path / "moved")
    with pytest.raises(InputError, match=str(data)):
        rhas_command("eval", "--run", run)
    assert "## test: " in rhas_command("eval", "--run", run, "--shards", moved)


def test_what_does_not_fit_is_refused(data: Path, tmp_path: Path) -> None:
    tensors, meta = golden("ltcontext_eval")
    checkpoint = release(tensors, tmp_path / "release.pyth")
    config = TrainConfig(model="ltcontext", settings=ltcontext_settings(meta))
    out = tmp_path / "run"
    with pytest.raises(
        InputError, match=r"input_proj\.weight: got \(16, 12, 1\): expected shape \(16, 13, 1\)"
    ):
        import_weights(checkpoint, out, config, None, VOCABULARY, 13, "cpu")
    with pytest.raises(
        InputError, match="column model: got 'hopadiff': expected a model whose authors released"
    ):
        import_weights(checkpoint, out, TrainConfig(), None, VOCABULARY, 12, "cpu")
    assert not out.exists()
    import_weights(checkpoint, out, config, None, VOCABULARY, 12, "cpu")
    with pytest.raises(InputError, match="a folder that holds no run"):
        import_weights(checkpoint, out, config, None, VOCABULARY, 12, "cpu")
    runner = CliRunner()
    with pytest.raises(InputError, match="weights that were imported without them can only predict"):
        runner.invoke(app, ["eval", "--run", str(out)], catch_exceptions=False)
    (tmp_path / "movie.mp4").touch()
    movie = ["predict", "--run", str(out), "--movie", str(tmp_path / "movie.mp4"), "--person", "the man"]
    with pytest.raises(InputError, match="a run that knows how its features were extracted"):
        runner.invoke(app, movie, catch_exceptions=False)
    neither = ["import", "weights", str(checkpoint), "--config", "ltcontext", "--out", str(tmp_path / "x")]
    assert "give either --shards, or --actions and --feature-size" in runner.invoke(app, neither).output
    export_run(out, tmp_path / "exported")
    assert "It was not measured." in (tmp_path / "exported" / "README.md").read_text()
    assert json.loads((tmp_path / "exported" / "readout.json").read_text())["f1_macro_50"] is None
    done = runner.invoke(app, ["predict", "--run", str(out), "--shards", str(data)], catch_exceptions=False)
    assert done.exit_code == 0 and (out / "predictions" / "segments.csv").is_file()
