"""Long series: levels and tiles hold the least and the most of what they stand for; uncertain stretches are found."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from viewed import array, given

from rhas.manifests.shards.status import FrameStatus
from rhas.pipeline.viewer import tiles
from rhas.pipeline.viewer.chunks import times
from rhas.pipeline.viewer.doubt import WHO, doubted, stretches, uncertain
from rhas.pipeline.viewer.tiles import FACTOR, NONE, TILE, Curves, in_steps, levels, write_curves


@pytest.mark.parametrize("samples", [1, 5, TILE, TILE + 1, 5 * TILE * FACTOR + 7])
def test_every_level_has_the_least_and_the_most_of_its_samples(tmp_path: Path, samples: int) -> None:
    rng = np.random.default_rng(samples)
    scores = rng.integers(0, 255, (samples, 2)).astype(np.uint8)
    scores[samples // 3 : samples // 2] = NONE
    status = rng.integers(0, 8, samples).astype(np.uint8)
    write_curves(tmp_path, "movie/0", 7, Curves(status, None, scores, (3, 9)), samples)
    seen = 0
    for level in range(levels(samples)):
        size = FACTOR**level
        bins = -(-samples // size)
        for tile in range(-(-bins // TILE)):
            name, own = given(tmp_path / f"7-{level}-{tile}.js")
            assert name == f"movie/0/7-{level}-{tile}"
            kinds = array(own["status"], "u1")
            for column, key in enumerate(("3", "9")):
                if key not in own:  # nothing is known there
                    start = tile * TILE * size
                    assert (scores[start : start + TILE * size, column] == NONE).all()
                    continue
                row = array(own[key], "u1").reshape(-1, 1 if level == 0 else 2)
                for i in range(0, len(row), max(1, len(row) // 50)):
                    start = (tile * TILE + i) * size
                    part = scores[start : start + size, column]
                    part = part[part != NONE]
                    expected = [part.min(), part.max()] if len(part) else [NONE, NONE]
                    assert row[i].tolist() == (expected[:1] if level == 0 else expected)
                    counts = np.bincount(status[start : start + size], minlength=8)
                    assert counts[kinds[i]] == counts.max()
            seen += 1
    assert seen == len(list(tmp_path.iterdir()))
    assert not (tmp_path / f"7-{levels(samples) - 1}-1.js").exists()  # the last level is one file


def test_what_no_curve_would_show_is_only_named(tmp_path: Path) -> None:
    scores = np.zeros((100, 3), np.uint8)
    scores[50, 1] = 200
    scores[:, 2] = NONE
    write_curves(tmp_path, "movie/0", 0, Curves(None, None, scores, (0, 1, 2)), 100)
    _, tile = given(tmp_path / "0-0-0.js")
    assert tile.pop("low") == ["0"] and set(tile) == {"1"}


def test_steps_are_near_and_say_where_nothing_is() -> None:
    values = np.array([0, 0.001, 0.5, 0.9999, 1, np.nan])
    found = in_steps(values)
    np.testing.assert_allclose(found[:5] / 254, values[:5], atol=1 / 508)
    assert found[5] == NONE and in_steps(values, values > 0.7).tolist() == [NONE] * 3 + [254, 254, NONE]


def test_boxes_without_a_corner_are_none() -> None:
    box = np.array([[0, 0, 1, 1], [np.nan] * 4], np.float32)
    rows = tiles.box_rows(box, np.array([254, 255], np.uint8), np.array([1, 3], np.uint8))
    assert rows[0, :8].copy().view("<u2").tolist() == [0, 0, 65534, 65534]
    assert rows[1].tolist() == [255] * 9 + [3]


def test_regular_times_are_a_rate_to_the_bit() -> None:
    assert times(np.arange(1000) / 15.0) == {"count": 1000, "rate": 15.0}
    assert times(np.arange(1000) / 12.5) == {"count": 1000, "rate": 12.5}
    uneven = np.cumsum(np.random.default_rng(0).random(50))
    found = times(uneven)
    assert np.array_equal(array(found["at"], "<f8"), uneven)
    assert "at" in times(np.arange(10) / 15 + 0.5) and times(np.zeros(1))["count"] == 1


def test_scores_near_the_threshold_are_uncertain() -> None:
    scores = np.array([[0.0, 0.16, 0.2, 0.3, 0.38, 0.1, 1.0]], np.float32).T
    assert uncertain(scores, 0.2)[:, 0].tolist() == [False, True, True, True, True, False, False]
    one_label = np.array([[0.5, 0.45, 0.05], [0.9, 0.05, 0.05]], np.float32)
    assert uncertain(one_label, None).tolist() == [[True, False, False], [False] * 3]


def test_short_stretches_are_left_out() -> None:
    time_s = np.arange(20) / 10
    marks = np.zeros(20, bool)
    marks[[1, 2, 3, 4, 10, 11]] = True
    found = stretches({5: marks, WHO: ~marks}, time_s, time_s + 0.1)
    assert array(found["action"], "<u2").tolist() == [5, WHO, WHO]
    assert array(found["start"], "<f8").tolist() == [0.1, 0.5, 1.2]
    np.testing.assert_allclose(array(found["end"], "<f8"), [0.5, 1.0, 2.0])
    status = np.array([FrameStatus.DETECTED, FrameStatus.DOUBTFUL, FrameStatus.DETECTED], np.uint8)
    assert doubted(status, np.array([0.9, np.nan, 0.3], np.float32)).tolist() == [False, True, True]
