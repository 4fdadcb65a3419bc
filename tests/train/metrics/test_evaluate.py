"""The whole evaluation: what a perfect model gets, and what must not matter."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rhas.manifests.common.errors import InputError
from rhas.train.metrics import Report, Video, evaluate

CLASSES = 3
# Multiples of a power of 2, so that scores are exact; thresholds stand between them.
SCORES = st.integers(0, 32).map(lambda i: i / 32)
TAU = 0.35


@st.composite
def videos(draw: st.DrawFn) -> list[Video]:
    made = []
    for i in range(draw(st.integers(1, 3))):
        frames = draw(st.integers(0, 12))
        changes = draw(hnp.arrays(bool, (frames, CLASSES), elements=st.sampled_from([True, False, False])))
        labels = np.logical_xor.accumulate(changes, axis=0)
        scores = draw(hnp.arrays(np.float32, (frames, CLASSES), elements=SCORES))
        valid = draw(hnp.arrays(bool, frames, elements=st.sampled_from([True, True, True, False])))
        made.append(Video(scores, labels, valid, f"m{i}/p1"))
    return made


def numbers(data: object) -> Iterator[float]:
    """All metrics in a report's plain data; what is not measured is left out."""
    if isinstance(data, dict):
        for key, value in data.items():
            if key not in ("videos", "frames", "tau", "class", "true_segments", "predicted_segments"):
                yield from numbers(value)
    elif isinstance(data, list):
        for value in data:
            yield from numbers(value)
    elif isinstance(data, float):
        yield data


def same(a: Report, b: Report) -> bool:
    """Equal up to rounding, where NaN equals NaN."""
    return _flat(a.to_dict()) == pytest.approx(_flat(b.to_dict()))


def _flat(data: object, name: str = "") -> dict[str, object]:
    if isinstance(data, dict):
        return {k: v for key, value in data.items() for k, v in _flat(value, f"{name}.{key}").items()}
    if isinstance(data, list):
        return {k: v for i, value in enumerate(data) for k, v in _flat(value, f"{name}.{i}").items()}
    return {name: data}


@settings(deadline=None)
@given(videos())
def test_perfect_scores_get_100_everywhere(made: list[Video]) -> None:
    report = evaluate([replace(v, scores=v.labels.astype(float)) for v in made], TAU)
    assert list(numbers(report.to_dict())) == pytest.approx([100] * len(list(numbers(report.to_dict()))))


@settings(deadline=None)
@given(videos())
def test_every_metric_is_a_percentage(made: list[Video]) -> None:
    assert all(0 <= value <= 100 + 1e-9 for value in numbers(evaluate(made, TAU).to_dict()))


@settings(deadline=None)
@given(videos())
def test_the_order_of_videos_does_not_matter(made: list[Video]) -> None:
    assert same(evaluate(made, TAU), evaluate(reversed(made), TAU))


@settings(deadline=None)
@given(videos(), st.permutations(range(CLASSES)))
def test_the_order_of_classes_does_not_matter(made: list[Video], order: list[int]) -> None:
    permuted = [replace(v, scores=v.scores[:, order], labels=v.labels[:, order]) for v in made]
    a, b = evaluate(made, TAU), evaluate(permuted, TAU)
    # Not acc and top1: there the lowest index stands for equal scores and for several labels.
    b = replace(
        b, acc=a.acc, top1=a.top1, per_class=tuple(b.per_class[order.index(c)] for c in range(CLASSES))
    )
    b = replace(b, per_class=tuple(replace(row, index=c) for c, row in enumerate(b.per_class)))
    assert same(a, b)


@settings(deadline=None)
@given(videos(), st.data())
def test_frames_that_are_not_valid_do_not_matter(made: list[Video], data: st.DataObject) -> None:
    garbage = []
    for v in made:
        scores, labels = v.scores.copy(), v.labels.copy()
        scores[~v.valid] = data.draw(st.sampled_from([np.nan, np.inf, -7.0, 1.0]))
        labels[~v.valid] = data.draw(st.booleans())
        garbage.append(replace(v, scores=scores, labels=labels))
    assert same(evaluate(made, TAU), evaluate(garbage, TAU))


@settings(deadline=None)
@given(videos())
def test_half_is_what_a_threshold_of_half_gives(made: list[Video]) -> None:
    report, at_half = evaluate(made, TAU).to_dict(), evaluate(made, 0.5).to_dict()
    assert report["half"] == at_half["half"] == at_half["chosen"]


def test_a_video_without_a_valid_frame() -> None:
    absent = Video(np.full((5, 2), np.nan), np.ones((5, 2), dtype=bool), np.zeros(5, dtype=bool), "m1/p1")
    report = evaluate([absent], TAU)
    assert (report.videos, report.frames) == (1, 0)
    assert report.chosen.edit == report.top1.edit == 100  # two empty sequences
    measured = report.to_dict()
    assert measured["frame_mAP"] is None
    assert measured["acc"] is None
    assert set(numbers(measured)) == {100}


def test_nothing_to_evaluate_is_an_error() -> None:
    with pytest.raises(InputError, match="videos: got 0: expected at least one"):
        evaluate([], TAU)


def test_a_frame_at_the_threshold_is_predicted() -> None:
    """In the scores' own precision: .3 as float32 is above .3 as float64, .35 below."""
    for tau in (0.3, 0.35):
        scores = np.full((2, 1), tau, dtype=np.float32)
        video = Video(scores, np.ones((2, 1), dtype=bool), np.ones(2, dtype=bool), "a")
        assert evaluate([video], tau).chosen.exact == 100
        assert evaluate([video], np.float64(tau)).chosen.exact == 100


def test_plain_data_is_json_with_actions_by_name() -> None:
    labels = np.array([[1, 0], [1, 0]], dtype=bool)
    video = Video(labels * 0.4, labels, np.ones(2, dtype=bool), "a")
    data = json.loads(
        json.dumps(evaluate(iter([video]), TAU).to_dict(["walking", "talking"]), allow_nan=False)
    )
    assert data["chosen"]["f1_macro@50"] == 100
    assert data["half"]["f1_macro@50"] == 0
    assert data["per_class"][0] == {
        "class": "walking",
        "frames": 2,
        "true_segments": 1,
        "predicted_segments": 1,
        "ap": 100,
        "f1@10": 100,
        "f1@25": 100,
        "f1@50": 100,
    }
    assert data["per_class"][1]["ap"] is None
