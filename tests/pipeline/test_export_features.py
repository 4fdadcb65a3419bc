"""`rhas export --features`: what others read of Parquet and tar files is what the shards hold, to the bit."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet
import pytest
import yaml
from feature_folders import FPS
from training_folders import labelled_movie, two_persons, write_training_folder
from typer.testing import CliRunner

from rhas.manifests.common.errors import InputError
from rhas.manifests.shards.failures import movie_failure, write_failures
from rhas.manifests.shards.reader import FeaturesReader
from rhas.manifests.tables.labels import load_labels
from rhas.manifests.tables.manifest import load_manifest
from rhas.pipeline.cli import app
from rhas.pipeline.programs import feature_files
from rhas.pipeline.programs.exporting import export_features

LOST = "m.lost"


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three movies, one of them with all tokens, one that could not be extracted; ids with dots."""
    root = tmp_path_factory.mktemp("export") / "features"
    movies = [
        labelled_movie("m.1", 40, persons=two_persons("m.1", ("train", "test"))),
        labelled_movie("m.2", 55, persons=two_persons("m.2", ("train", None))),
        labelled_movie(LOST, 30),
    ]
    folder = write_training_folder(root, movies)
    folder.shard(LOST).unlink()
    write_failures(folder.failures, [movie_failure(LOST, "decode", "no such movie")])
    return root


def rhas(*arguments: object) -> str:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_parquet(features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feature_files, "ROWS", 16)  # several groups of rows for a person
    said = rhas("export", "--features", features, "--out", tmp_path / "hub")
    assert (
        "2 movies, 4 persons, 135 frames as parquet" in said and f"1 movies have no features: {LOST}" in said
    )
    paths = {str(p.relative_to(tmp_path / "hub" / "data")) for p in (tmp_path / "hub").rglob("*.parquet")}
    assert paths == {"train/m.1.parquet", "test/m.1.parquet", "train/m.2.parquet", "all/m.2.parquet"}
    labels = load_labels(features / "labels.csv", None, None).intervals
    for series in FeaturesReader(features).persons():
        split = series.split or "all"
        table = parquet.read_table(tmp_path / "hub" / "data" / split / f"{series.movie_id}.parquet")
        rows = table.to_pydict()
        assert set(rows["person_id"]) == {series.person_id} and set(rows["reference"]) == {series.reference}
        for name in ("holistic", "partial", "box", "score", "sure"):
            expected = getattr(series, name)[...]
            there = np.isfinite(expected.reshape(len(expected), -1)).all(axis=1)
            assert [value is not None for value in rows[name]] == there.tolist()
            found = np.array([value for value in rows[name] if value is not None], expected.dtype)
            np.testing.assert_array_equal(found.reshape(expected[there].shape), expected[there])
        np.testing.assert_array_equal(rows["time_s"], series.time_s)
        own = labels[series.movie_id, series.person_id]
        for time_s, actions, absent in zip(rows["time_s"], rows["actions"], rows["absent"], strict=True):
            now = {i.action for i in own if i.start_s <= time_s < i.end_s}
            assert absent == ("N/A" in now) and (actions is None if absent else set(actions) == now)


def test_webdataset(features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feature_files, "ROWS", 16)
    rhas("export", "--features", features, "--out", tmp_path / "hub", "--format", "webdataset")
    paths = sorted((tmp_path / "hub" / "data").rglob("*.tar"))
    assert [str(p.relative_to(tmp_path / "hub" / "data")) for p in paths] == [
        "all/000000.tar", "test/000000.tar", "train/000000.tar",
    ]  # fmt: skip
    samples: dict[str, dict[str, bytes]] = {}
    for path in paths:
        with tarfile.open(path) as tar:
            for member in tar:
                key, _, name = member.name.partition(".")  # as WebDataset cuts names
                samples.setdefault(key, {})[name] = tar.extractfile(member).read()  # type: ignore[union-attr]
    reader = FeaturesReader(features)
    assert len(samples) == 4
    for sample in samples.values():
        about = json.loads(sample.pop("json"))
        series = reader.person(about["movie_id"], about["person_id"])
        assert about["reference"] == series.reference and about["labels"][0][0] == "running"
        for name, data in sample.items():
            found, expected = np.load(io.BytesIO(data)), getattr(series, name.removesuffix(".npy"))[...]
            assert (found.dtype, found.tobytes()) == (expected.dtype, expected.tobytes())


def test_a_new_tar_begins_where_one_is_full_and_tokens_keep_their_shape(tmp_path: Path) -> None:
    features = write_training_folder(tmp_path / "in", [labelled_movie("m", 20, (2, 3))]).root
    with (
        feature_files.TarFiles(tmp_path, tar_bytes=1) as tars,
        feature_files.ParquetFiles(tmp_path) as tables,
    ):
        reader = FeaturesReader(features)
        for person in load_manifest(reader.folder.manifest).persons:
            series = reader.person("m", person.person_id)
            record = feature_files.PersonRecord(person, "all", reader.folder.shard("m"), series, None, None)  # type: ignore[arg-type]
            tars.add(record)
            tables.add(record)
    assert sorted(p.name for p in tmp_path.rglob("*.tar")) == ["000000.tar", "000001.tar"]
    rows = parquet.read_table(tmp_path / "all" / "m.parquet").to_pydict()
    expected = np.concatenate([series.holistic[...] for series in reader.persons()])
    there = np.isfinite(expected).all(axis=(1, 2))
    found = np.array([value for value in rows["holistic"] if value is not None], np.float16)
    np.testing.assert_array_equal(found, expected[there])
    assert set(rows["actions"]) == {None}


def test_the_card_says_what_is_there_and_no_path_of_here(features: Path, tmp_path: Path) -> None:
    list(export_features(features, tmp_path / "hub", "parquet"))
    card = (tmp_path / "hub" / "README.md").read_text()
    front = yaml.safe_load(card.split("---")[1])
    splits = front["configs"][0]["data_files"]
    assert [(f["split"], len(list((tmp_path / "hub").glob(f["path"])))) for f in splits] == [
        ("all", 1), ("test", 1), ("train", 2),
    ]  # fmt: skip
    seconds = (40 + 55) / FPS
    assert (
        f"2 movies of {seconds / 3600:.2f} hours, 4 persons" in card and f"without features: {LOST}" in card
    )
    assert FeaturesReader(features).digest() in card and "window_frames: 8" in card and "d" * 64 in card
    for path in (tmp_path / "hub").glob("*.*"):
        assert "/movies" not in path.read_text()
    assert load_manifest(tmp_path / "hub" / "manifest.csv").movies[0].video.name == "m.1.mp4"
    with pytest.raises(InputError, match="a folder that is new or empty"):
        list(export_features(features, tmp_path / "hub", "parquet"))
    (tmp_path / "none").mkdir()
    with pytest.raises(InputError, match=r"config\.json is not there"):
        list(export_features(tmp_path / "none", tmp_path / "out", "parquet"))
