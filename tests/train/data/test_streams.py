"""Features of one stream only: what a shard says of them, who learns from them, and who is refused."""

from __future__ import annotations

from pathlib import Path

import feature_folders
import h5py
import numpy as np
import pytest
import torch
from training_folders import labelled_movie, write_training_folder

import rhas
from rhas.manifests.common.errors import InputError
from rhas.manifests.shards.reader import FeaturesReader
from rhas.manifests.shards.status import HAS_HOLISTIC, HAS_PARTIAL, FrameStatus, streams_of
from rhas.manifests.shards.verify import verify
from rhas.train.config import TrainConfig
from rhas.train.data import DataConfig, load_dataset
from rhas.train.fitting.training import train
from rhas.train.models.streams import streams_taken
from rhas.train.runs.run import open_run
from rhas.train.scoring.prediction import read_clips

SMALL = {"width": 8, "prediction_layers": 2, "refinement_layers": 2, "refinements": 1}
OTHER = {"holistic": "partial", "partial": "holistic"}


@pytest.fixture(params=OTHER)
def stream(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def root(stream: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Six movies with two persons each, of whom there is one stream."""
    made = feature_folders.make_rows

    def rows(*arguments):
        found = made(*arguments)
        getattr(found, OTHER[stream])[...] = np.nan
        return found

    config = {**feature_folders.CONFIG, "encoder": {"streams": stream}}
    monkeypatch.setattr(feature_folders, "CONFIG", config)
    monkeypatch.setitem(feature_folders._IDENTITY, "config", config)
    monkeypatch.setattr(feature_folders, "make_rows", rows)
    return write_training_folder(tmp_path / "features", [labelled_movie(f"m{i}") for i in range(6)]).root


def problems(root: Path) -> list[str]:
    return [problem for check in verify(root) for problem in check.problems]


def config(model: str, **settings: object) -> TrainConfig:
    data = {"split": "random", "proportions": [6, 2, 2], "window": 16}
    return TrainConfig.model_validate(
        {"model": model, "settings": settings, "epochs": 1, "batch": 4, "data": data, "precision": "float32"}
    )


@pytest.mark.parametrize(
    ("said", "there"),
    [
        ({"encoder": {"streams": "partial"}}, {"partial": HAS_PARTIAL}),
        ({"encoder": {"streams": "holistic"}}, {"holistic": HAS_HOLISTIC}),
        *((said, {"holistic": HAS_HOLISTIC, "partial": HAS_PARTIAL})
          for said in ({"encoder": {"streams": "both"}}, {"encoder": {}}, {}, None, {"encoder": {"streams": []}})),
    ],
)  # fmt: skip
def test_what_a_config_asks_for(said: object, there: dict[str, tuple[FrameStatus, ...]]) -> None:
    assert streams_of(said) == there


def test_a_shard_says_so_and_holds_nothing_else(root: Path, stream: str) -> None:
    assert problems(root) == []
    with FeaturesReader(root).shard("m0") as shard:
        assert shard.person("a").streams == (stream,)
    with h5py.File(root / "shards" / "m0.h5", "r+") as file:  # what nobody asked for
        assert file[f"persons/a/{OTHER[stream]}"].id.get_storage_size() == 0
        file[f"persons/a/{OTHER[stream]}"][0] = 1.0
    found = problems(root)
    assert any(f"person a: {OTHER[stream]} is not there exactly as encoder.streams says" in p for p in found)


def test_samples_say_that_the_other_stream_is_not_there(root: Path, stream: str) -> None:
    splits = load_dataset(root, DataConfig(window=16, split="random")).splits
    for sample in (sample for split in splits.values() for sample in split):
        assert not getattr(sample, f"has_{OTHER[stream]}").any()
        assert getattr(sample, OTHER[stream]).shape == getattr(sample, stream).shape
        there = getattr(sample, f"has_{stream}")
        assert (getattr(sample, stream)[there] != 0).any(1).all() or not there.any()
    boxed = DataConfig.model_validate({"window": 16, "split": "random", "boxes": {"channels": True}})
    both = zip(load_dataset(root, boxed).splits["train"], splits["train"], strict=True)
    assert any((one.holistic[:, other.holistic.shape[1] :] != 0).any() for one, other in both)  # boxes stay


def test_a_model_of_that_stream_learns_and_one_of_the_other_is_refused(
    root: Path, stream: str, tmp_path: Path
) -> None:
    train(root, tmp_path / "run", config("mstcn", stream=stream, network=SMALL), "cpu")
    run = open_run(tmp_path / "run", "cpu")
    assert len(read_clips(run, root)) == 12
    loaded, features = rhas.load_run(tmp_path / "run", "cpu"), np.random.default_rng(0).normal(size=(20, 6))
    given = {stream: features, OTHER[stream]: np.full_like(features, np.nan)}
    scores = loaded.predict(**given)
    assert np.isfinite(scores).all() and not np.array_equal(
        scores, loaded.predict(**{**given, stream: -features})
    )
    other = config("mstcn", stream=OTHER[stream], network=SMALL)
    with pytest.raises(InputError) as caught:
        train(root, tmp_path / "other", other, "cpu")
    said = str(caught.value)
    assert (
        f"encoder.streams: got '{stream}': expected {OTHER[stream]} features, which model mstcn reads" in said
    )
    assert f"--set settings.stream={stream}, or extract with --set encoder.streams=both" in said
    assert not (tmp_path / "other").exists()
    with pytest.raises(
        InputError, match=f"expected {OTHER[stream]} features, which model hopadiff reads"
    ) as caught:
        train(root, tmp_path / "hopadiff", config("hopadiff"), "cpu")
    assert ("settings.partial_branch=false" in str(caught.value)) == (stream == "holistic")
    assert streams_taken(torch.nn.Linear(2, 2)) == {"holistic", "partial"}  # who knows what it reads


def test_features_without_the_runs_stream_are_refused_for_prediction(
    root: Path, stream: str, tmp_path: Path
) -> None:
    train(root, tmp_path / "run", config("mstcn", stream=stream, network=SMALL), "cpu")
    swapped = (root / "config.json").read_text().replace(f'"{stream}"', f'"{OTHER[stream]}"')
    (root / "config.json").write_text(swapped)
    with pytest.raises(InputError, match=f"config.json.*got '{OTHER[stream]}': expected {stream} features"):
        read_clips(open_run(tmp_path / "run", "cpu"), root)
