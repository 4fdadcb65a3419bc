"""The single-label view against the usual definitions, written out slowly, and the flag for parity."""

from __future__ import annotations

from itertools import groupby

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rhas.train.metrics import Video, evaluate
from rhas.train.metrics.segments import OVERLAPS
from rhas.train.metrics.top1 import Top1, Top1Scores

CLASSES = 4
Sequences = list[tuple[int, int]]  # (predicted class, true class) of each frame


def sequence_of_runs() -> st.SearchStrategy[list[int]]:
    run = st.tuples(st.integers(0, CLASSES - 1), st.integers(1, 6))
    return st.lists(run, min_size=1, max_size=8).map(
        lambda rs: [c for c, length in rs for _ in range(length)]
    )


PAIRS = st.tuples(sequence_of_runs(), sequence_of_runs()).map(lambda two: list(zip(*two, strict=False)))


def segments(sequence: list[int], ends_early: bool) -> list[tuple[int, int, int]]:
    found, start = [], 0
    for c, frames in groupby(sequence):
        end = start + len(list(frames))
        found.append((c, start, end))
        start = end
    if ends_early:
        c, start, end = found[-1]
        found[-1] = c, start, end - 1
    return found


def textbook(videos: list[Sequences], ends_early: bool, background: int | None = None) -> Top1Scores:
    """Frames right; F1 by greedy matching of whole sequences of segments; Levenshtein on their classes."""
    frames = [frame for video in videos for frame in video]
    edits = []
    tp, total = dict.fromkeys(OVERLAPS, 0), 0
    for video in videos:
        p, y = (
            [s for s in segments([frame[side] for frame in video], ends_early) if s[0] != background]
            for side in (0, 1)
        )
        total += len(p) + len(y)
        for k in OVERLAPS:
            hit: set[int] = set()
            for c, start, end in p:
                best, best_iou = 0, 0.0
                for i, (true_c, true_start, true_end) in enumerate(y):
                    common = min(end, true_end) - max(start, true_start)
                    hull = max(end, true_end) - min(start, true_start)
                    if c == true_c and hull and common / hull > best_iou:
                        best, best_iou = i, common / hull
                if best_iou >= k / 100:
                    hit.add(best)
            tp[k] += len(hit)
        table = np.zeros((len(p) + 1, len(y) + 1))
        table[:, 0], table[0] = np.arange(len(p) + 1), np.arange(len(y) + 1)
        for i, (a, *_) in enumerate(p):
            for j, (b, *_) in enumerate(y):
                steps = table[i, j + 1] + 1, table[i + 1, j] + 1, table[i, j] + (a != b)
                table[i + 1, j + 1] = min(steps)
        edits.append(100 * (1 - table[-1, -1] / max(len(p), len(y), 1)))
    return Top1Scores(
        mof=100 * float(np.mean([p == y for p, y in frames])),
        f1={k: 200 * tp[k] / total if total else float("nan") for k in OVERLAPS},
        edit=float(np.mean(edits)),
    )


def same(a: Top1Scores, b: Top1Scores) -> bool:
    return (a.mof, a.edit, *a.f1.values()) == pytest.approx((b.mof, b.edit, *b.f1.values()))


@settings(deadline=None)
@given(st.lists(PAIRS, min_size=1, max_size=3), st.booleans())
def test_single_label_scores(videos: list[Sequences], ends_early: bool) -> None:
    top1 = Top1(CLASSES, ends_early)
    for video in videos:
        predicted, truth = np.array(video).T
        top1.add(predicted, truth, np.arange(len(video)) == 0)
    assert same(top1.scores(), textbook(videos, ends_early))


@settings(deadline=None)
@given(st.lists(PAIRS, min_size=1, max_size=3))
def test_multi_label_metrics_are_the_single_label_ones_on_one_label_a_frame(videos: list[Sequences]) -> None:
    made = []
    for video in videos:
        predicted, truth = np.eye(CLASSES)[np.array(video).T]
        made.append(Video(predicted, truth > 0, np.ones(len(video), dtype=bool), "a"))
    report = evaluate(made, tau=0.5)
    multi = Top1Scores(report.chosen.exact, report.chosen.f1_micro, report.chosen.edit)
    expected = textbook(videos, ends_early=False)
    assert same(multi, expected)
    assert same(report.top1, expected)


def test_the_flag_shortens_what_reaches_the_end() -> None:
    """A truth of 2 frames at the end of 20, predicted with 1 of them: IoU .5 as it is, none when cut short."""
    truth, predicted = np.zeros((2, 20), dtype=int)
    truth[18:], predicted[19:] = 1, 1
    f1 = {}
    for ends_early in (False, True):
        top1 = Top1(2, ends_early)
        top1.add(predicted, truth, np.arange(20) == 0)
        f1[ends_early] = top1.scores().f1[50]
    assert f1 == {False: 100, True: 50}


def test_the_lowest_index_stands_for_several_labels_and_frames_without_are_left_out() -> None:
    labels = np.array([[0, 1, 1], [0, 1, 1], [0, 0, 0], [0, 0, 1]], dtype=bool)
    scores = np.array([[0.0, 0.9, 0.8], [0.0, 0.8, 0.9], [0.9, 0.0, 0.0], [0.0, 0.0, 0.1]])
    report = evaluate([Video(scores, labels, np.ones(4, dtype=bool), "a")], tau=0.5)
    assert report.top1.mof == pytest.approx(100 * 2 / 3)
    assert report.acc == 100
    # The unlabelled frame breaks the predicted run of class 2 in two: [1], [2] | [2] against [1] | [2].
    assert report.top1.edit == pytest.approx(100 * (1 - 1 / 3))


@settings(deadline=None)
@given(st.lists(PAIRS, min_size=1, max_size=3))
def test_without_background_its_segments_count_on_neither_side(videos: list[Sequences]) -> None:
    """MS-TCN's way: the segments of background are dropped from both lists before they are matched or aligned."""
    scores = []
    for video in videos:
        predicted, truth = np.eye(CLASSES)[np.array(video).T]
        scores.append(Video(predicted, truth > 0, np.ones(len(video), dtype=bool), "a"))
    report = evaluate(scores, 0.5, background=[0])
    expected = textbook(videos, ends_early=False, background=0)
    for found in (report.chosen.without_background, report.top1.without_background):
        assert found is not None
        values = (found.edit, *found.f1_micro.values())
        assert values == pytest.approx((expected.edit, *expected.f1.values()), nan_ok=True)
    assert report.to_dict()["chosen"].keys() > evaluate(scores, 0.5).to_dict()["chosen"].keys()  # type: ignore[union-attr]
    assert report.chosen.f1_macro == evaluate(scores, 0.5).chosen.f1_macro
