"""Where stage 2 would wait for a GPU, and tensors on the wrong side: whole steps and predictions on a pretended one.

A step reads its losses once and the gradient's norm once, at its end; a prediction reads its scores. Everything else
stays on the device. `pytest -s` shows a table.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from every_model import KINDS, NoOptimiser, small_config, small_model
from made_batches import BATCH
from operations import Counts, table
from pretend_gpu import PretendGpu

from rhas.train.config import TrainConfig
from rhas.train.fitting.loop import train_step
from rhas.train.models.segmenter import Segmenter
from rhas.train.scoring.inference import _predict


@pytest.fixture(scope="module")
def told() -> Iterator[dict[str, Counts]]:
    """What was counted, shown at the end."""
    rows: dict[str, Counts] = {}
    yield rows
    if rows:
        print("\n" + table(rows))


def placed(case: str) -> tuple[PretendGpu, TrainConfig, Segmenter]:
    """The device, its counts at zero, and a model that is on it."""
    gpu, config = PretendGpu(), small_config(case)
    with gpu:
        model = small_model(config).to(gpu.device)
    gpu.counts.clear()
    return gpu, config, model


@pytest.mark.parametrize("case", KINDS)
def test_a_step_reads_its_losses_and_its_norm(case: str, told: dict[str, Counts]) -> None:
    gpu, config, model = placed(case)
    with gpu:
        found = train_step(model, NoOptimiser(), [gpu.batch(BATCH)], config, 0)  # type: ignore[arg-type]
    told[f"{case}: step"] = gpu.counts
    same = small_model(config)
    expected = train_step(same, NoOptimiser(), [BATCH], config, 0)  # type: ignore[arg-type]
    assert found[0] == pytest.approx(expected[0], rel=1e-4) and found[1] == pytest.approx(
        expected[1], rel=1e-4
    )
    assert not waits_inside(gpu.counts), f"{case} waits inside of the model:\n{gpu.counts.places()}"
    assert gpu.counts.synchronisations <= 2, f"{case} waits:\n{gpu.counts.places()}"


@pytest.mark.parametrize("case", KINDS)
def test_a_prediction_reads_its_scores(case: str, told: dict[str, Counts]) -> None:
    gpu, config, model = placed(case)
    model.eval()
    with gpu:
        found = _predict(model, gpu.batch(BATCH), config)
    told[f"{case}: prediction"] = gpu.counts
    torch.testing.assert_close(found, _predict(small_model(config).eval(), BATCH, config), rtol=0, atol=1e-4)
    assert not waits_inside(gpu.counts), f"{case} waits inside of the model:\n{gpu.counts.places()}"
    runs = config.data.sample_rate
    assert gpu.counts.reads.total() <= runs, f"{case} reads:\n{gpu.counts.places()}"


def waits_inside(counts: Counts) -> list[tuple[str, str]]:
    """Those in a model, or in what it draws."""
    outside = ("fitting/", "scoring/", "data/batches.py")
    return [(what, place) for what, place in counts.reads + counts.uploads if not place.startswith(outside)]
