"""Where stage 2 would wait for a GPU, and tensors on the wrong side: whole steps and predictions on a pretended one.

A step reads its losses once and the gradient's norm once, at its end; a prediction reads its scores. Everything else
stays on the device, but for what `STATED` says. `pytest -s` shows a table.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest
import torch
from every_model import KINDS, NoOptimiser, small_config, small_model
from made_batches import BATCH, batch_of
from operations import Counts, table
from pretend_gpu import PretendGpu

from rhas.train.config import TrainConfig
from rhas.train.fitting.loop import train_step
from rhas.train.models.segmenter import Segmenter
from rhas.train.scoring.inference import _predict

# What a model has to know on the CPU in the midst of a step, and in which file it asks. FACT: labels and costs, which
# are matched there; how many segments a video's frames are cut into.
LABELS, COSTS, CUTS = (f"models/fact/{file}.py" for file in ("truth", "matching", "cuts"))
STATED = {"fact without cuts": {LABELS: 1, COSTS: 1}}


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
    stated = STATED.get(case, {})
    assert waits_inside(gpu.counts) == stated, f"{case} waits inside of the model:\n{gpu.counts.places()}"
    assert gpu.counts.synchronisations <= 2 + sum(stated.values()), f"{case} waits:\n{gpu.counts.places()}"


@pytest.mark.parametrize("case", KINDS)
def test_a_prediction_reads_its_scores(case: str, told: dict[str, Counts]) -> None:
    gpu, config, model = placed(case)
    model.eval()
    with gpu:
        found = _predict(model, gpu.batch(BATCH), config)
    told[f"{case}: prediction"] = gpu.counts
    torch.testing.assert_close(found, _predict(small_model(config).eval(), BATCH, config), rtol=0, atol=1e-4)
    assert waits_inside(gpu.counts) == {}, f"{case} waits inside of the model:\n{gpu.counts.places()}"
    runs = config.data.sample_rate
    assert gpu.counts.reads.total() <= runs, f"{case} reads:\n{gpu.counts.places()}"


def test_cuts_are_waited_for_once_for_each_video() -> None:
    gpu, config, model = placed("fact")
    batch = batch_of(1)
    with gpu:
        train_step(model, NoOptimiser(), [gpu.batch(batch)], config, 0)  # type: ignore[arg-type]
    assert waits_inside(gpu.counts) == {LABELS: 1, COSTS: 1, CUTS: 1}, gpu.counts.places()
    gpu.counts.clear()
    with gpu:
        found = _predict(model.eval(), gpu.batch(batch), config)
    assert waits_inside(gpu.counts) == {CUTS: 1}, gpu.counts.places()
    torch.testing.assert_close(found, _predict(small_model(config).eval(), batch, config), rtol=0, atol=1e-4)


def waits_inside(counts: Counts) -> dict[str, int]:
    """How often a model, or what it draws, waits, by file."""
    outside = ("fitting/", "scoring/", "data/batches.py")
    inside: Counter[str] = Counter()
    for (_, place), times in (counts.reads + counts.uploads).items():
        if not place.startswith(outside):
            inside[place.rpartition(":")[0]] += times
    return dict(inside)
