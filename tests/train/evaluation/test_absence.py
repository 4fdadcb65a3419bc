"""Absence counted: what it is, and what false actions of absent people cost, by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rhas.manifests.shards.status import FrameStatus
from rhas.manifests.tables.labels import Interval
from rhas.manifests.tables.vocabulary import ABSENT, Vocabulary
from rhas.train.data.windows import Clip
from rhas.train.evaluation.absence import absence
from rhas.train.scoring.inference import Series
from rhas.train.scoring.prediction import segments_of

FPS = 5.0
FOUND, GONE, WEAK = FrameStatus.DETECTED, FrameStatus.MISSING, FrameStatus.DOUBTFUL
VOCABULARY = Vocabulary(("sit", "wave"))


def series(
    status: list[int], intervals: list[tuple[str, float, float]], sits: list[int], grounded: bool = True
) -> Series:
    frames = len(status)
    scores = np.zeros((frames, 2), np.float32)
    scores[sits, 0] = 0.9
    clip = Clip(
        movie_id="m", person_id="p", reference="", split=None, movie="m", shard=Path("m.h5"), first=0,
        time_s=np.arange(frames) / FPS, status=np.array(status, np.uint8), grounded=grounded,
        intervals=[Interval(action, start, end) for action, start, end in intervals],
    )  # fmt: skip
    return Series(clip, scores, np.ones(frames, bool))


def test_who_is_not_found_for_a_second_is_absent() -> None:
    status = [GONE] * 2 + [FOUND] * 3 + [GONE] * 4 + [FOUND] + [GONE, WEAK] * 3 + [FOUND] + [GONE]
    absent = series(status, [], []).absent
    expected = [
        0,
        1,
        *range(10, 16),
        17,
    ]  # four frames of .2 s between two are .8 s, and at the ends nobody can tell
    assert np.flatnonzero(absent).tolist() == expected
    assert not series(status, [], [], grounded=False).absent.any()


def test_actions_of_absent_people_count() -> None:
    """Sits for ten frames, is away for ten; found in nine of those and in two of these; said to sit throughout."""
    status = [FOUND] * 9 + [GONE] * 9 + [FOUND] * 2
    someone = series(status, [("sit", 0.0, 2.0), (ABSENT, 2.0, 4.0)], list(range(20)))
    found = absence([someone], VOCABULARY, 0.5)
    assert found is not None and found["absent_frames"] == 10
    assert found["marked_absent"] == pytest.approx(80) and found["wrongly_marked_absent"] == pytest.approx(10)
    # Frames 0 to 8 and 18, 19 are said to be sat; true are 0 to 9. One segment of two is right: 9 of 10 frames.
    model = found["model"]["chosen"]
    assert model["f1_micro@50"] == pytest.approx(100 * 2 / 3)
    # Without marks one segment of twenty frames meets ten: an overlap of one half, as it happens.
    assert found["unmarked"]["chosen"]["subset_accuracy"] == pytest.approx(50)
    assert model["subset_accuracy"] == pytest.approx(100 * 17 / 20)


def test_absence_is_a_row_of_its_own_and_nothing_is_done_there() -> None:
    status = [FOUND] * 5 + [GONE] * 5 + [FOUND] * 5
    rows = list(segments_of(series(status, [], list(range(15))), 0.5, VOCABULARY.actions))
    assert [(row.action, row.start_s, row.end_s) for row in rows] == [
        ("sit", 0.0, 1.0), (ABSENT, 1.0, 2.0), ("sit", 2.0, 3.0),
    ]  # fmt: skip
    assert rows[1].score is None


def test_where_nobody_looked_or_each_frame_has_one_label_there_is_no_such_view() -> None:
    status = [FOUND] * 5 + [GONE] * 5
    assert absence([series(status, [], [], grounded=False)], VOCABULARY, 0.5) is None
    assert absence([series(status, [], [])], VOCABULARY, None) is None
