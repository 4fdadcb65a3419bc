"""Known boxes: between rows in proportion, nowhere else, and every bad cell is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rhas.manifests.common.errors import InputError
from rhas.manifests.tables.boxes import MAX_GAP_S, load_boxes

HEADER = "movie_id,person_id,time_s,x1,y1,x2,y2\n"


def load(folder: Path, *rows: str):
    path = folder / "boxes.csv"
    path.write_text(HEADER + "".join(f"{row}\n" for row in rows))
    return load_boxes(path)


def test_boxes_are_those_of_the_rows_and_between_them_in_proportion(tmp_path: Path) -> None:
    tracklet = load(tmp_path, "m,p,1,.2,.2,.4,.6", "m,p,0,0,0,.2,.2", "m,p,5,.5,.5,1,1", "m,q,0,0,0,1,1")[
        "m", "p"
    ]
    np.testing.assert_array_equal(tracklet.time_s, [0, 1, 5])
    found = tracklet.at(np.array([0, 0.25, 1 - 1e-9, 1, 1.2, 3, 5, 5.1]))
    np.testing.assert_allclose(
        found[:4], [[0, 0, 0.2, 0.2], [0.05, 0.05, 0.25, 0.3], [0.2, 0.2, 0.4, 0.6], [0.2, 0.2, 0.4, 0.6]], atol=1e-6
    )  # fmt: skip
    assert np.isnan(found[[4, 5, 7]]).all(), (
        f"no box further than {MAX_GAP_S} s from both sides, none beyond the end"
    )
    np.testing.assert_allclose(found[6], [0.5, 0.5, 1, 1])


def test_a_track_of_one_row_has_its_box_at_its_own_time_only(tmp_path: Path) -> None:
    found = load(tmp_path, "m,p,2,0,0,.5,.5")["m", "p"].at(np.array([1.9, 2, 2.1]))
    np.testing.assert_array_equal(np.isfinite(found).all(1), [False, True, False])


@pytest.mark.parametrize(
    ("row", "column", "said"),
    [
        ("m,p,0,.5,0,.5,1", "x2", "more than x1, 0.5"),
        ("m,p,0,0,.7,1,.2", "y2", "more than y1, 0.7"),
        ("m,p,0,0,0,1.5,1", "x2", "a share of the frame, from 0 to 1"),
        ("m,p,-1,0,0,1,1", "time_s", "a finite time in seconds, 0 or more"),
        ("m,p,3,0,0,1,1", "time_s", "one box for each moment"),
        ("m ,p,0,0,0,1,1", "movie_id", "an id: a text without"),
    ],
)
def test_bad_cells_are_named(tmp_path: Path, row: str, column: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        load(tmp_path, "m,p,3,0,0,1,1", row)
    (problem,) = caught.value.problems
    assert (problem.row, problem.column) == (3, column) and said in problem.expected


def test_trackers_may_say_which_track_and_how_sure(tmp_path: Path) -> None:
    path = tmp_path / "boxes.csv"
    rows = ["m,p,0,0,0,.2,.2,4,.5", "m,p,1,.2,.2,.4,.4,4,.9", "m,p,2,.5,.5,.7,.7,5,", "m,p,3,.5,.5,.7,.7,,1"]
    path.write_text("movie_id,person_id,time_s,x1,y1,x2,y2,track_id,score\n" + "\n".join(rows) + "\n")
    known = load_boxes(path)["m", "p"].known(np.array([0, 0.5, 1, 1.5, 2, 2.5, 3]))
    # Between boxes of two tracks nothing is known.
    np.testing.assert_allclose(known.score, [0.5, 0.7, 0.9, np.nan, 1, np.nan, 1], rtol=1e-6)
    assert known.track.tolist() == [4, 4, 4, -1, 5, -1, -1]
    assert known.exact.tolist() == [True, False, True, False, True, False, True]
    assert (np.isnan(known.box).all(1) == np.isnan(known.score)).all()


@pytest.mark.parametrize(
    ("cell", "column"), [("x,1", "track_id"), ("3000000000,1", "track_id"), ("1,1.5", "score")]
)
def test_odd_tracks_are_named(tmp_path: Path, cell: str, column: str) -> None:
    path = tmp_path / "boxes.csv"
    path.write_text(f"movie_id,person_id,time_s,x1,y1,x2,y2,track_id,score\nm,p,0,0,0,1,1,{cell}\n")
    with pytest.raises(InputError, match=column):
        load_boxes(path)
