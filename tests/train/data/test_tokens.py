"""All query tokens of a frame, and the sentence's vector: what samples hold of them, and who is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file
from training_folders import labelled_movie, write_training_folder
from typer.testing import CliRunner

import rhas
from rhas.manifests.common.errors import InputError
from rhas.manifests.shards.reader import FeaturesReader
from rhas.manifests.shards.verify import verify
from rhas.pipeline.cli import app
from rhas.train.config import TrainConfig
from rhas.train.data import DataConfig, Sample, SampleSet, collate, load_dataset
from rhas.train.data.samples import fits_in_memory
from rhas.train.fitting.training import train
from rhas.train.runs.run import open_run
from rhas.train.runs.settings import with_model_settings

TOKENS, SIZE = 3, 4  # that of the sentences that the folders have
ALL = DataConfig(window=16, split="random", tokens="all", sentence=True)
SMALL: dict[str, Any] = {"network": {"agents": 2, "head": [8, 6]}}
TRAIN: dict[str, Any] = {
    "model": "refatomnet", "settings": SMALL, "epochs": 1, "batch": 4,
    "data": {"split": "random", "proportions": [6, 2, 2], "window": 16},
}  # fmt: skip


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Movies with two persons each. All have a sentence's vector."""
    movies = [labelled_movie(f"m{i}", feature_shape=(TOKENS, SIZE)) for i in range(6)]
    return write_training_folder(tmp_path / "features", movies).root


def all_samples(root: Path, config: DataConfig) -> Iterator[Sample]:
    splits: dict[str, SampleSet] = load_dataset(root, config).splits
    return (sample for split in splits.values() for sample in split)


def test_tokens_stand_one_after_the_other_and_the_sentence_once(root: Path) -> None:
    for sample in all_samples(root, ALL):
        movie_id, person_id, start = sample.name.split("/")
        series = FeaturesReader(root).person(movie_id, person_id)
        own = slice(int(start), int(start) + len(sample.valid))
        for stream in ("holistic", "partial"):
            features, mask = getattr(sample, stream), getattr(sample, f"has_{stream}").numpy()
            assert features.shape == (len(mask), TOKENS * SIZE)
            stored = getattr(series, stream)[own][mask].reshape(-1, TOKENS * SIZE)
            np.testing.assert_array_equal(features[mask], stored)
            assert not features[~mask].any()
        assert series.text_embedding is not None and sample.sentence is not None
        np.testing.assert_array_equal(sample.sentence, series.text_embedding)
    batch = collate([*all_samples(root, ALL)][:3])
    assert batch.sentence_BD is not None and batch.sentence_BD.shape == (3, SIZE)
    means = next(all_samples(root, ALL.replace(tokens="mean", sentence=False)))
    assert means.holistic.shape[1] == SIZE and means.sentence is None


def test_they_take_the_memory_that_they_take(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    windows = load_dataset(root, ALL).splits["train"].windows
    frames = 2 * sum(len(window.status) for window in windows)
    for size, means, bytes_each in ((SIZE * TOKENS, False, 2), (SIZE, True, 4)):
        needed = 4 * frames * size * bytes_each
        for available, fits in ((needed, True), (needed - 8, False)):
            monkeypatch.setattr("rhas.train.data.samples.available_bytes", lambda n=available: n)
            assert fits_in_memory(windows, size, means) is fits


def test_means_are_refused(tmp_path: Path) -> None:
    movies = [labelled_movie(f"m{i}", feature_shape=(SIZE,)) for i in range(2)]
    root = write_training_folder(tmp_path / "means", movies).root
    with pytest.raises(InputError) as caught:
        load_dataset(root, ALL)
    (problem,) = caught.value.problems  # not one for each movie
    assert problem.value == "one vector of 4 a frame" and str(problem.file).endswith("m0.h5")
    assert (
        "all query tokens of every frame, which the model takes: extract with --set encoder.tokens=all"
        in str(problem)
    )


def test_sentences_that_lack_or_are_of_another_size_are_refused(root: Path) -> None:
    for movie in range(6):
        for person in "ab":
            with h5py.File(root / "shards" / f"m{movie}.h5", "r+") as file:
                del file[f"persons/{person}/text_embedding"]
    with pytest.raises(
        InputError, match=r"the sentence's vector of person a.*settings\.network\.sentence=false"
    ):
        load_dataset(root, ALL)
    assert next(all_samples(root, ALL.replace(sentence=False))).sentence is None
    movies = [labelled_movie(f"m{i}", feature_shape=(TOKENS, SIZE + 1)) for i in range(2)]
    other = write_training_folder(root.parent / "other", movies).root
    with pytest.raises(
        InputError, match="got '4': expected the sentence's vector of person a to be of a token's"
    ):
        load_dataset(other, ALL)


def test_verification_misses_sentences_that_an_extraction_of_all_tokens_promises(root: Path) -> None:
    record = root / "config.json"
    assert not any(check.problems for check in verify(root))
    text = record.read_text()
    for tokens, missed in (("all", 1), ("mean", 0)):
        # As an extraction writes it, in both places.
        changed = _with_encoder(text, tokens)
        value = json.dumps(json.loads(changed)["config"]).encode()
        record.write_text(changed)
        for path in (root / "shards").glob("*.h5"):
            with h5py.File(path, "r+") as file:
                file.attrs.create("config", value, dtype=h5py.string_dtype("utf-8", len(value)))
                if path.stem == "m0" and "text_embedding" in file["persons/a"]:
                    del file["persons/a/text_embedding"]
        problems = [problem for check in verify(root) for problem in check.problems]
        assert len([p for p in problems if "the text embedding is missing" in p]) == missed


def _with_encoder(text: str, tokens: str) -> str:
    record = json.loads(text)
    record["config"]["encoder"] = {"kind": "blip2", "tokens": tokens}
    return json.dumps(record)


def test_a_model_sets_what_it_needs() -> None:
    needed = with_model_settings(TrainConfig(model="refatomnet")).data
    assert (needed.tokens, needed.sentence, needed.boxes.channels) == ("all", True, True)
    without = {"boxes": False, "network": {"sentence": False}}
    needed = with_model_settings(TrainConfig(model="refatomnet", settings=without)).data
    assert (needed.tokens, needed.sentence, needed.boxes.channels) == ("all", False, False)
    needed = with_model_settings(TrainConfig(model="hopadiff")).data
    assert (needed.tokens, needed.sentence, needed.boxes.channels) == ("mean", False, False)


def test_a_run_is_trained_measured_used_and_loaded(root: Path, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(TRAIN))
    run = tmp_path / "run"

    def rhas_command(*parts: object) -> str:
        done = CliRunner().invoke(app, [str(part) for part in parts], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.output

    rhas_command(
        "train", "--shards", root, "--out", run, "--config", tmp_path / "config.yaml", "--device", "cpu"
    )
    opened = open_run(run, "cpu")
    assert opened.data["tokens"] == TOKENS and opened.data["feature_size"] == SIZE
    assert opened.config.settings["tokens"] is None
    rhas_command(
        "train", "--shards", root, "--out", run, "--config", tmp_path / "config.yaml", "--device", "cpu"
    )
    assert "## test: " in rhas_command("eval", "--run", run, "--device", "cpu")
    rhas_command("predict", "--run", run, "--shards", root, "--device", "cpu")
    rhas_command("export", "--run", run, "--out", tmp_path / "model")
    card = (tmp_path / "model" / "README.md").read_text()
    assert (
        "run.predict(holistic, partial, boxes=boxes, sentence=sentence)  # arrays [T, 3, F], boxes [T, 5]"
        in card
    )
    loaded, series = rhas.load_run(run, "cpu"), FeaturesReader(root).person("m1", "a")
    boxes = np.concatenate([series.box[...], series.sure[...][:, None]], 1)
    rows = {"holistic": series.holistic[...], "partial": series.partial[...], "boxes": boxes}
    scores = loaded.predict(**rows, sentence=series.text_embedding, name="m1/a")
    stored = load_file(run / "predictions" / "scores" / "m1" / "a.safetensors")["scores"]
    torch.testing.assert_close(torch.from_numpy(scores), stored, rtol=0, atol=1e-5)
    with pytest.raises(InputError, match="the sentence's vector, 4 finite numbers"):
        loaded.predict(**rows)
    with pytest.raises(InputError, match=r"the shape \[frames, 3, 4\]"):
        loaded.predict(rows["holistic"].mean(1), boxes=boxes, sentence=series.text_embedding)
    means = [labelled_movie("x", feature_shape=(SIZE,))]
    other = write_training_folder(tmp_path / "means", means).root
    with pytest.raises(InputError, match="all 3 query tokens of every frame"):
        rhas_command("predict", "--run", run, "--shards", other, "--device", "cpu")


def test_another_number_of_tokens_than_the_features_have_is_refused(root: Path, tmp_path: Path) -> None:
    settings = {**TRAIN, "settings": {**SMALL, "tokens": 2}}
    config = TrainConfig(
        **{k: v for k, v in settings.items() if k != "data"}, data=DataConfig(**TRAIN["data"])
    )
    with pytest.raises(
        InputError, match=r"settings\.tokens: got 2: expected null, or 3, which the features have"
    ):
        train(root, tmp_path / "run", config, "cpu")
