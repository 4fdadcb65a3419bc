"""Parity with numbers that others' code computed: MS-TCN's evaluation, and the evaluator released with HopaDIFF."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from rhas.train.metrics import Video, evaluate, released_report
from rhas.train.metrics.compat import ReleasedScores
from rhas.train.metrics.top1 import Top1, Top1Scores

Golden = dict[str, np.ndarray]
VIDEOS, FRAMES, CLASSES = range(3), 120, 9
ALL_VALID = np.ones(FRAMES, dtype=bool)


def five(scores: Top1Scores | ReleasedScores) -> list[float]:
    first = scores.mof if isinstance(scores, Top1Scores) else scores.acc
    return [first, scores.edit, *scores.f1.values()]


@pytest.mark.parametrize("ends_early", [False, True])
def test_single_label_sequences_score_as_under_mstcn(golden: Golden, ends_early: bool) -> None:
    top1 = Top1(CLASSES, ends_early)
    for i in VIDEOS:
        sequences = golden[f"in/single_predictions_{i}"], golden[f"in/single_labels_{i}"]
        top1.add(*sequences, np.arange(FRAMES) == 0)
    # This case can't tell the two forms apart; `test_top1` does.
    assert five(top1.scores()) == pytest.approx(golden["out/mstcn"].tolist(), abs=1e-9)


@pytest.mark.parametrize("ours", ["top1", "chosen"])
def test_background_is_left_out_as_by_others(ours: str) -> None:
    """FACT's evaluation, which is MS-TCN's with and without class 0."""
    file = (Path(__file__).parents[3] / ".." / "shared" / "golden" / "fact_parts.safetensors").resolve()
    if not file.is_file():
        pytest.skip(f"{file} is not here")
    parts = load_file(file)
    one_hot = np.eye(
        1 + max(int(v.max()) for k, v in parts.items() if k.startswith("in/eval/")), dtype=np.float32
    )
    videos = []
    while (name := f"in/eval/video{len(videos)}") + "/truth" in parts:
        predicted, truth = one_hot[parts[f"{name}/prediction"]], one_hot[parts[f"{name}/truth"]] > 0
        videos.append(Video(predicted, truth, np.ones(len(truth), bool), name))
    found = getattr(evaluate(videos, None, background=[0]), ours)
    f1 = found.f1 if ours == "top1" else found.f1_micro
    without = found.without_background
    for kind, scores in (("with", (found.edit, f1)), ("without", (without.edit, without.f1_micro))):
        golden = [
            parts[f"out/eval/{kind}_background/{key}"].item()
            for key in ("Edit", "F1@0.10", "F1@0.25", "F1@0.50")
        ]
        assert [scores[0], *scores[1].values()] == pytest.approx(
            golden, abs=1e-3
        )  # they add a little below the line


def test_multi_label_metrics_agree_with_mstcn_on_single_labels(golden: Golden) -> None:
    one_hot = np.eye(CLASSES, dtype=np.float32)
    report = evaluate(
        [
            Video(
                one_hot[golden[f"in/single_predictions_{i}"]],
                one_hot[golden[f"in/single_labels_{i}"]] > 0,
                ALL_VALID,
                str(i),
            )
            for i in VIDEOS
        ],
        tau=0.5,
    )
    expected = pytest.approx(golden["out/mstcn"].tolist(), abs=1e-9)
    assert five(report.top1) == expected
    assert [report.chosen.exact, report.chosen.edit, *report.chosen.f1_micro.values()] == expected
    assert report.acc == report.chosen.jaccard == report.chosen.example_f1 == report.top1.mof


def test_released_evaluator(golden: Golden) -> None:
    videos = [
        Video(golden[f"in/scores_{i}"], golden[f"in/labels_{i}"] > 0, ALL_VALID, str(i)) for i in VIDEOS
    ]
    constant = int(golden["in/constant_class"][0])
    released = released_report(videos, constant, torch.Generator().manual_seed(0))
    assert five(released.model) == pytest.approx(golden["out/released_evaluator"].tolist(), abs=1e-9)
    # The noise itself doesn't matter, only that no two frames are alike.
    noisy = golden["out/released_evaluator_noisy_constant"].tolist()
    assert five(released.noisy_constant) == pytest.approx(noisy, abs=1e-9)


def test_what_the_released_evaluator_praises_scores_low(golden: Golden) -> None:
    """The noisy constant has F1@50 = 83 under the released evaluator."""
    constant = int(golden["in/constant_class"][0])
    scores = np.eye(CLASSES)[np.full(FRAMES, constant)]
    videos = [Video(scores, golden[f"in/labels_{i}"] > 0, ALL_VALID, str(i)) for i in VIDEOS]
    chosen = evaluate(videos, tau=0.5).chosen
    assert chosen.f1_macro[50] < 5
    assert chosen.f1_micro[50] < 20
