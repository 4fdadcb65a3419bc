"""Commands on a features folder that is in an object store: what they see and change is what is there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from object_store import BUCKET, ObjectStore, object_store
from toy_segmenter import toy_config, toy_features
from typer.testing import CliRunner

from rhas.manifests.common.locations import Remote
from rhas.manifests.shards.mirror import features_here
from rhas.pipeline.cli import app
from rhas.pipeline.stages.kinds import digest
from rhas.pipeline.stages.pipeline_file import load_pipeline
from rhas.train.fitting.training import train
from rhas.train.runs.run import load_run_data, open_run

FEATURES = f"s3://{BUCKET}/features"


@pytest.fixture(scope="module")
def store() -> Iterator[ObjectStore]:
    with object_store() as store:
        yield store


@pytest.fixture
def there(store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A labelled features folder, and the same in the store; the cache is the test's own."""
    monkeypatch.setenv("RHAS_CACHE", str(tmp_path / "cache"))
    folder = toy_features(tmp_path / "features")
    for path in folder.rglob("*"):
        if path.is_file():
            store.client.upload_file(str(path), BUCKET, f"features/{path.relative_to(folder)}")
    return folder


def run(*arguments: str) -> str:
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, f"{done.output}{done.exception!r}"
    return done.output


def test_it_is_looked_at_and_labelled(store: ObjectStore, there: Path, tmp_path: Path) -> None:
    assert "clean" in run("verify", FEATURES)
    assert "m3" in run("shards", FEATURES)
    before = digest(Remote(FEATURES))
    rows = (there / "labels.csv").read_text().splitlines(keepends=True)
    (tmp_path / "fewer.csv").write_text("".join(rows[:-1]))
    assert f"{len(rows) - 2} labelled intervals" in run(
        "labels", FEATURES, "--labels", str(tmp_path / "fewer.csv")
    )
    assert len(store.read("features/labels.csv").splitlines()) == len(rows) - 1
    assert before and digest(Remote(FEATURES)) not in (before, "")
    assert digest(Remote(f"s3://{BUCKET}/none")) == ""


def test_what_is_found_damaged_is_told_to_the_store(store: ObjectStore, there: Path) -> None:
    shard = (there / "shards" / "m0.h5").read_bytes()
    store.client.put_object(Bucket=BUCKET, Key="features/shards/m0.h5", Body=shard[:-100])
    (there / "finished.jsonl").write_text("")
    store.client.put_object(
        Bucket=BUCKET, Key="features/finished.jsonl", Body=b'{"movie_id": "m0", "shard": [1, 2]}'
    )
    done = CliRunner().invoke(app, ["verify", FEATURES])
    assert done.exit_code == 1 and "m0" in done.output


def test_a_run_remembers_the_address(store: ObjectStore, there: Path, tmp_path: Path) -> None:
    train(features_here(Remote(FEATURES)), tmp_path / "run", toy_config("epochs=1"), "cpu")
    assert json.loads((tmp_path / "run" / "data.json").read_text())["features"] == FEATURES
    shutil.rmtree(tmp_path / "cache")  # as on another machine
    dataset = load_run_data(open_run(tmp_path / "run"))
    assert dataset.splits["train"].windows


def test_a_pipeline_keeps_addresses(store: ObjectStore, tmp_path: Path) -> None:
    path = tmp_path / "night.yaml"
    path.write_text(
        f"stages:\n  extract: {{movies: m.csv, out: {FEATURES}}}\n  verify:\n  train: {{out: ~/runs/a}}\n"
    )
    extract, verify, training = load_pipeline(path).stages
    assert extract.options["out"] == FEATURES and extract.output == Remote(FEATURES)
    assert verify.inputs == {"features": Remote(FEATURES)} and verify.arguments == ("verify", FEATURES)
    assert training.inputs["shards"] == Remote(FEATURES)
    assert training.output == Path.home() / "runs" / "a"


@pytest.mark.parametrize("command", [["verify"], ["shards"], ["train", "--shards"]])
def test_what_has_no_listing_or_is_no_address_is_refused(command: list[str], there: Path) -> None:
    for address, told in (("https://host/features", "which have listings"), ("ftp://host/features", "s3://")):
        done = CliRunner().invoke(app, [*command, address])
        assert done.exit_code != 0 and told in f"{done.output}{done.exception}"
