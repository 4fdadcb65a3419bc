"""The released evaluator: each of its habits, and against a slow form. `test_golden` has its own numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rhas.train.metrics import Video, released_report
from rhas.train.metrics.compat import ReleasedEvaluator, ReleasedScores
from rhas.train.metrics.segments import OVERLAPS


def starts_and_ends(rows: np.ndarray) -> list[tuple[int, int]]:
    starts = [i for i in range(len(rows)) if i == 0 or (rows[i] != rows[i - 1]).any()]
    return list(zip(starts, [*starts[1:], len(rows)], strict=True))


def slow(videos: list[Video]) -> list[float]:
    edit, correct, frames = 0.0, 0, 0
    counts = np.zeros((3, 3))  # tp, fp, fn at each overlap
    for v in videos:
        tops = v.scores.argmax(axis=1)
        correct += sum(v.labels[t, top] for t, top in enumerate(tops))
        frames += len(tops)
        p, y = starts_and_ends(v.scores), starts_and_ends(v.labels)
        table = np.zeros((len(p) + 1, len(y) + 1))
        table[:, 0], table[0] = np.arange(len(p) + 1), np.arange(len(y) + 1)
        overlap = np.zeros((len(p), len(y)))
        for i, (start, end) in enumerate(p):
            for j, (true_start, true_end) in enumerate(y):
                right = v.labels[true_start, tops[start]]
                common = abs(min(end, true_end) - max(start, true_start))
                overlap[i, j] = right * common / (max(end, true_end) - min(start, true_start))
                steps = table[i, j + 1] + 1, table[i + 1, j] + 1, table[i, j] + 1
                table[i + 1, j + 1] = table[i, j] if right else min(steps)
        edit += 100 * (1 - table[-1, -1] / max(table.shape[0] - 1, table.shape[1] - 1))
        for n, k in enumerate(OVERLAPS):
            enough = overlap.max(axis=1) >= k / 100
            hit = set(overlap.argmax(axis=1)[enough])
            counts[n] += enough.sum(), (~enough).sum(), len(y) - len(hit)
    f1 = []
    for tp, fp, fn in counts:
        precision, recall = tp / (tp + fp), tp / max(tp + fn, 1)
        f1.append(100 * 2 * precision * recall / (precision + recall) if tp else 0)
    return [100 * correct / frames, edit / 2, *f1]


def five(scores: ReleasedScores) -> list[float]:
    return [scores.acc, scores.edit, *scores.f1.values()]


@st.composite
def videos(draw: st.DrawFn) -> list[Video]:
    made = []
    for i in range(draw(st.integers(1, 3))):
        shape = draw(st.integers(1, 15)), 3
        changes = draw(hnp.arrays(bool, shape, elements=st.sampled_from([True, False, False])))
        scores = draw(hnp.arrays(float, shape, elements=st.integers(0, 3).map(float)))
        labels = np.logical_xor.accumulate(changes, axis=0)
        made.append(Video(scores, labels, np.ones(shape[0], dtype=bool), str(i)))
    return made


@settings(deadline=None)
@given(videos())
def test_agrees_with_the_slow_form(made: list[Video]) -> None:
    evaluator = ReleasedEvaluator()
    for video in made:
        evaluator.add(video)
    assert five(evaluator.scores()) == pytest.approx(slow(made))


def test_a_noisy_constant_passes_for_a_segmenter() -> None:
    """Why this evaluator stands beside a noisy constant, and never alone."""
    frequent, frames = 2, 400
    labels = np.zeros((frames, 8), dtype=bool)
    labels[:, frequent] = True
    labels[::40, 5] = True  # so that the truth has segments
    wrong = np.zeros((frames, 8))
    wrong[:, 0] = 1
    videos = [Video(wrong, labels, np.ones(frames, dtype=bool), "m1/p1")]
    released = released_report(videos, frequent, torch.Generator().manual_seed(0))
    assert released.model.f1[50] == 0
    assert released.noisy_constant.acc == 100
    assert released.noisy_constant.f1[50] > 90
    assert "not a measure" in str(released.to_dict()["note"])


def test_a_video_without_a_valid_frame_is_skipped() -> None:
    video = Video(np.ones((3, 2)), np.ones((3, 2), dtype=bool), np.ones(3, dtype=bool), "a")
    absent = Video(video.scores, video.labels, np.zeros(3, dtype=bool), "b")
    one, two = (released_report(v, 0, torch.Generator()).model for v in ([video], [video, absent]))
    assert one == two
