"""Segments against a slow form that walks frames, classes and pairs one by one."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rhas.train.metrics.segments import OVERLAPS, SegmentCounts, runs

Masks = tuple[np.ndarray, np.ndarray, np.ndarray]  # predicted [N, C], truth [N, C], breaks [N]


@st.composite
def masks(draw: st.DrawFn, min_frames: int = 0) -> Masks:
    shape = draw(st.integers(min_frames, 30)), draw(st.integers(1, 4))
    # Few changes, so that runs have lengths.
    changes = hnp.arrays(bool, shape, elements=st.sampled_from([True, False, False, False]))
    predicted, truth = (np.logical_xor.accumulate(draw(changes), axis=0) for _ in range(2))
    breaks = draw(hnp.arrays(bool, shape[0], elements=st.sampled_from([True, False, False, False, False])))
    breaks[:1] = True
    return predicted, truth, breaks


def slow_runs(mask_N: np.ndarray, breaks_N: np.ndarray) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for n, on in enumerate(mask_N):
        if on and n and mask_N[n - 1] and not breaks_N[n]:
            found[-1] = found[-1][0], n + 1
        elif on:
            found.append((n, n + 1))
    return found


def slow_hits(predicted: list[tuple[int, int]], truth: list[tuple[int, int]], overlap: int) -> int:
    hit = [False] * len(truth)
    for start, end in predicted:
        ious = [(min(end, e) - max(start, s)) / (max(end, e) - min(start, s)) for s, e in truth]
        if ious and max(ious) >= overlap / 100:
            hit[ious.index(max(ious))] = True
    return sum(hit)


@given(masks())
def test_agrees_with_the_slow_form(case: Masks) -> None:
    predicted, truth, breaks = case
    counts = SegmentCounts.of(predicted, truth, breaks)
    f1 = counts.per_class()
    for c in range(truth.shape[1]):
        p, y = slow_runs(predicted[:, c], breaks), slow_runs(truth[:, c], breaks)
        assert (counts.predicted_C[c], counts.truth_C[c]) == (len(p), len(y))
        hits = [slow_hits(p, y, k) for k in OVERLAPS]
        assert counts.hits_KC[:, c].tolist() == hits
        for i, tp in enumerate(hits):
            fp, fn = len(p) - tp, len(y) - tp
            assert not (p or y) or np.isclose(f1[i, c], 100 * 2 * tp / (2 * tp + fp + fn))
            assert p or y or np.isnan(f1[i, c])


@given(masks())
def test_runs_are_the_frames_again(case: Masks) -> None:
    mask, _, breaks = case
    found = runs(mask, breaks)
    line = np.zeros(mask.size, dtype=bool)
    for start, end in zip(found.starts_R, found.ends_R, strict=True):
        line[start:end] = True
        assert not breaks[start % len(mask) + 1 : (end - 1) % len(mask) + 1].any()
    assert np.array_equal(line.reshape(mask.shape[::-1]).T, mask)


@given(masks())
def test_f1_is_a_percentage_and_falls_with_the_overlap_asked_for(case: Masks) -> None:
    counts = SegmentCounts.of(*case)
    for f1 in (counts.micro(), counts.macro()):
        values = list(f1.values())
        assert np.isnan(values).all() or 100 >= values[0] >= values[1] >= values[2] >= 0


@given(masks(min_frames=3), st.data())
def test_splitting_a_segment_that_a_truth_covers_never_raises_f1(case: Masks, data: st.DataObject) -> None:
    predicted, truth, breaks = case
    frames, classes = truth.shape
    c = data.draw(st.integers(0, classes - 1), label="class")
    start = data.draw(st.integers(0, frames - 3), label="start")
    end = data.draw(st.integers(start + 3, frames), label="end")
    truth[start:end, c] = True  # and perhaps more at both ends
    predicted[max(start - 1, 0) : end + 1, c] = False
    predicted[start:end, c] = True
    breaks[start + 1 : end] = False
    split = predicted.copy()
    split[data.draw(st.integers(start + 1, end - 2), label="at"), c] = False

    before, after = SegmentCounts.of(predicted, truth, breaks), SegmentCounts.of(split, truth, breaks)
    assert after.predicted_C[c] == before.predicted_C[c] + 1
    for k in OVERLAPS:
        assert after.micro()[k] < before.micro()[k] or after.micro()[k] == before.micro()[k] == 0
        assert after.macro()[k] <= before.macro()[k]


def test_splitting_a_segment_that_spans_two_truths_may_raise_f1() -> None:
    """Why the property above asks for cover: each half can then match a truth that the whole was too long for."""
    truth = np.array([1, 1, 1, 1, 0, 1, 1, 1, 1], dtype=bool)[:, None]
    start = np.arange(9) == 0
    assert SegmentCounts.of(np.ones_like(truth), truth, start).micro()[50] == 0
    assert SegmentCounts.of(truth, truth, start).micro()[50] == 100


def test_a_class_that_is_never_true_counts_in_micro_only() -> None:
    truth = np.array([[1, 0], [1, 0]], dtype=bool)
    counts = SegmentCounts.of(np.ones_like(truth), truth, np.array([True, False]))
    assert counts.macro()[50] == 100
    assert counts.micro()[50] == 100 * 2 / 3


def test_an_absence_breaks_segments_on_both_sides() -> None:
    together = np.ones((6, 1), dtype=bool)
    counts = SegmentCounts.of(together, together, np.array([1, 0, 0, 1, 0, 0], dtype=bool))
    assert counts.predicted_C.tolist() == counts.truth_C.tolist() == [2]
    assert counts.micro()[50] == 100
