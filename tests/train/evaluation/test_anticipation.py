"""Anticipation with a run: both protocols measured, segments of the time ahead, and what is refused."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from toy_segmenter import toy_config, toy_features

from rhas.manifests.common.errors import InputError
from rhas.train.config import PostprocessConfig
from rhas.train.data import Batch, Sample, collate
from rhas.train.data.generators import Generators
from rhas.train.evaluation.anticipation import evaluate_anticipation
from rhas.train.fitting.training import train
from rhas.train.models.segmenter import Anticipator
from rhas.train.scoring.anticipation import anticipate_run, look_ahead

SETTINGS = {
    "encoder": {"layers": 2, "width": 8, "condition_layers": [0, 1]},
    "decoder": {"layers": 2, "width": 8, "time_width": 8},
    "diffusion": {"sampling_steps": 2},
}


FUTR = {
    "network": {
        "width": 8,
        "heads": 2,
        "encoder_layers": 1,
        "decoder_layers": 1,
        "queries": 4,
        "positions": 40,
    },
}


@pytest.fixture(scope="module", params=["actfusion", "futr"])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(features, run) of an ActFusion or a FUTR that sees every second frame."""
    root = tmp_path_factory.mktemp("made")
    toy_features(root / "features")
    config = toy_config(
        "data.sample_rate=2",
        "data.window=20",
        model=request.param,
        epochs=2,
        settings=SETTINGS if request.param == "actfusion" else FUTR,
    )
    train(root / "features", root / "run", config, "cpu")
    return root / "features", root / "run"


def test_both_protocols_and_the_baselines_are_measured(made: tuple[Path, Path]) -> None:
    result = evaluate_anticipation(made[1], "test", device="cpu")
    tables = result["mean over classes"]
    assert list(tables) == ["true length", "honest length", "constant", "last seen goes on"]
    for rows in tables.values():
        assert list(rows) == ["0.2", "0.3"] and list(rows["0.2"]) == ["0.1", "0.2", "0.3", "0.5"]
        assert all(value is None or 0 <= value <= 100 for row in rows.values() for value in row.values())
    # At α = .2 the honest length is the true one: 1 + 4 times what was seen.
    assert tables["true length"]["0.2"] == tables["honest length"]["0.2"]
    assert json.loads((made[1] / "anticipation.json").read_text()) == result
    assert "| honest length |" in (made[1] / "anticipation.md").read_text()
    assert evaluate_anticipation(made[1], "test", device="cpu") == result


def test_segments_lie_ahead(made: tuple[Path, Path], tmp_path: Path) -> None:
    segments = anticipate_run(made[1], made[0], tmp_path, 2.5, "cpu")
    with (tmp_path / "anticipated.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(segments) > 0
    ends = {"a": 4.0, "b": 3.0}  # of the first movie, whose 40 frames are .1 s each; b leaves at 3 s
    for segment in (segment for segment in segments if segment.movie_id == "m0"):
        end = ends[segment.person_id]
        assert end - 1e-6 <= segment.start_s < segment.end_s <= end + 2.5 + 1e-6


class _Echo(Anticipator):
    """Says of each frame ahead, in class 0, which the last shown frame was, and of shown ones which they are."""

    link = "softmax"

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.noise: list[float] = []

    def losses(self, batch: Batch, generators: Generators) -> dict[str, Tensor]:
        raise NotImplementedError

    def predict(self, batch: Batch, generators: Generators) -> Tensor:
        raise NotImplementedError

    def anticipate(self, batch: Batch, frames: Sequence[int], generators: Generators) -> Tensor:
        self.noise.append(float(generators.normal(1)[0, 0, 0]))
        seen_BFT = batch.holistic_BFT
        ahead = frames[0] - seen_BFT.shape[2]
        return torch.cat([seen_BFT, seen_BFT[:, :, -1:].expand(-1, -1, ahead)], dim=2)


def test_what_lies_ahead_is_the_mean_over_all_offsets_then_the_median() -> None:
    """Seven frames 0 … 6 shown at every third, of ten: worked out by hand."""
    frames_T = torch.arange(7.0)
    features_TF = torch.stack([frames_T, -frames_T], dim=1)
    labels_TC, all_T = torch.zeros(7, 2, dtype=torch.bool), torch.ones(7, dtype=torch.bool)
    batch = collate([Sample("v", features_TF, features_TF, all_T, all_T, labels_TC, all_T, None, None)])
    config = toy_config("data.sample_rate=3", "data.window=20")
    model = _Echo().eval()
    # Offset 0 shows 0, 3, 6; offset 1 shows 1, 4, then goes on with 4; offset 2 shows 2, 5, then 5. Ten frames
    # are four blocks, of which only offset 0 reaches the last.
    means = [(0 + 1 + 2) / 3, (3 + 4 + 5) / 3, (6 + 4 + 5) / 3, 6.0]
    found = look_ahead(model, batch, 7, 10, config)[:, 0]
    assert found.tolist() == pytest.approx([m for m in means for _ in range(3)][:10])
    assert len(model.noise) == 3 and len(set(model.noise)) == 1  # every offset from the same noise
    median = look_ahead(model, batch, 7, 10, config.replace(postprocess=PostprocessConfig(median=3)))[:, 0]
    assert median[::3].tolist() == pytest.approx([1.0, 4.0, 5.0, 6.0])
    assert look_ahead(model, batch, 2, 10, config)[:, 0].tolist() == pytest.approx([0.5] * 9 + [0.0])


def test_what_can_not_be_anticipated_is_refused(made: tuple[Path, Path], tmp_path: Path) -> None:
    features, run = made
    with pytest.raises(InputError, match="--anticipate: got 0: expected seconds above 0"):
        anticipate_run(run, features, tmp_path, 0, "cpu")
    with pytest.raises(InputError, match="--split"):
        evaluate_anticipation(run, "all", device="cpu")
    train(features, tmp_path / "toy", toy_config(epochs=1), "cpu")
    with pytest.raises(InputError, match="got 'toy': expected a run of a model that anticipates"):
        evaluate_anticipation(tmp_path / "toy", device="cpu")
