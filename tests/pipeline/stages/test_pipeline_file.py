"""A pipeline's file: how stages find each other, and that every mistake is told before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from rhas.manifests.common.errors import InputError
from rhas.pipeline.cli import app
from rhas.pipeline.stages.kinds import KINDS
from rhas.pipeline.stages.options import options_of
from rhas.pipeline.stages.pipeline_file import load_pipeline


def load(folder: Path, text: str, address: str | None = None):
    (folder / "night.yaml").write_text(text)
    return load_pipeline(folder / "night.yaml", address)


def test_stages_read_what_the_nearest_one_before_them_wrote(tmp_path: Path) -> None:
    pipeline = load(
        tmp_path,
        """
out: out
stages:
  extract: {movies: movies/manifest.csv, gpus: 8, fps: 5, set: [detector.box_threshold=0.3], update: true}
  verify:
  small: {stage: train, config: small}
  big: {stage: train, config: paper, gpus: 2, shards: elsewhere}
  eval: {from: small}
  report:
""",
    )
    by_name = {stage.name: stage for stage in pipeline.stages}
    features, out = str(tmp_path / "out" / "extract"), tmp_path / "out"
    assert by_name["extract"].arguments == (
        "extract", "--movies", str(tmp_path / "movies" / "manifest.csv"), "--gpus", "8", "--fps", "5",
        "--set", "detector.box_threshold=0.3", "--update", "--out", features,
    )  # fmt: skip
    assert by_name["verify"].arguments == ("verify", features)
    assert by_name["small"].inputs == {"shards": Path(features)} and by_name["small"].output == out / "small"
    assert (
        by_name["big"].inputs == {"shards": tmp_path / "elsewhere"} and by_name["big"].resources == "2 GPUs"
    )
    assert by_name["eval"].inputs == {"run": out / "small"}
    assert by_name["eval"].output == out / "small" / "results.csv"
    assert by_name["report"].arguments == ("report", "--run", str(out / "big"), "--out", str(out / "report"))


def test_labels_beside_the_manifest_are_read_too_and_weights_are_found_from_the_file(tmp_path: Path) -> None:
    for name in ("labels.csv", "weights"):
        (tmp_path / name).mkdir()
    (tmp_path / "labels.csv").rmdir()
    (tmp_path / "labels.csv").touch()
    (stage,) = load(
        tmp_path, "stages: {extract: {movies: manifest.csv, detector: weights, encoder: a/b}}"
    ).stages
    assert stage.inputs["labels"] == tmp_path / "labels.csv" and "actions" not in stage.inputs
    assert stage.options["detector"] == str(tmp_path / "weights") and stage.options["encoder"] == "a/b"


def test_other_features_of_a_benchmark_are_found_from_the_file_and_read(tmp_path: Path) -> None:
    text = "stages: {benchmark: {shards: features, models: toy, also: [true=known, far=s3://b/f, nothing]}}"
    (stage,) = load(tmp_path, text).stages
    assert stage.options["also"] == [f"true={tmp_path}/known", "far=s3://b/f", "nothing"]
    assert stage.inputs["also true"] == tmp_path / "known" and str(stage.inputs["also far"]) == "s3://b/f"


def test_on_a_cluster_the_stages_that_spread_get_its_address(tmp_path: Path) -> None:
    text = "stages: {extract: {movies: m.csv}, train: , eval: }"
    extract, train, evaluate = load(tmp_path, text, "auto").stages
    assert extract.options["address"] == train.options["address"] == "auto"
    assert train.options["workers"] == 1, "on the cluster, not in the process of the driver"
    assert "address" not in evaluate.options
    assert all("address" not in stage.options for stage in load(tmp_path, text).stages)


def test_all_mistakes_are_told_at_once_by_stage_and_option(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        load(
            tmp_path,
            """
stage: 1
stages:
  extract: {movis: m.csv, gpus: two, set: a=b}
  trian: {}
  train: {shards: x, fold: true, update: 1}
  eval: {from: nobody}
  verify: [1]
  predict: {run: a, movie: b, stage: predict}
  more: {stage: extract}
  ../up: {stage: verify}
""",
        )
    said = {problem.column: problem.expected for problem in caught.value.problems}
    assert said["extract.movis"] == "an option of `rhas extract`; did you mean 'movies'?"
    assert (
        said["extract.gpus"] == "a whole number" and said["extract.set"] == "a list of texts, such as [a, b]"
    )
    assert "a stage of the kind extract, verify, train" in said["trian"]
    assert said["train.fold"] == "a whole number" and "an option of `rhas train`" in said["train.update"]
    assert said["eval.from"] == "the name of an earlier stage"
    assert said["verify"] == "a mapping of options"
    assert said["more.movies"] == "an option that `rhas extract` needs"
    assert said["../up"] == "a name that a folder can have"
    assert said["stage"] == "one of out, stages"
    assert all(problem.file == tmp_path / "night.yaml" for problem in caught.value.problems)


@pytest.mark.parametrize("text", ["", "[]", "stages:", "stages: {}", "a: [", "stages: 3"])
def test_what_is_no_pipeline_is_refused_by_name(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError, match=r"night\.yaml"):
        load(tmp_path, text)


@pytest.mark.parametrize("command", sorted(KINDS))
def test_options_are_those_of_the_command_line(command: str) -> None:
    shown = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "300", "TERM": "dumb"}).output
    for option in options_of(KINDS[command].command).values():
        assert (option.written or option.name.upper() or "").lower() in shown.lower(), option


def test_what_is_turned_off_is_written_so() -> None:
    option = options_of(KINDS["extract"].command)["speed_check"]
    assert list(option.arguments(False)) == ["--no-speed-check"] and list(option.arguments(True)) == [
        "--speed-check"
    ]
    assert list(options_of(KINDS["extract"].command)["update"].arguments(False)) == []
