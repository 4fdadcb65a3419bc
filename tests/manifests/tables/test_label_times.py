"""Labels behind a movie's end, and frame numbers given for seconds."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np

from rhas.manifests.shards.reader import end_s
from rhas.manifests.tables.label_times import behind_the_end

HEADER = "movie_id,person_id,action,start_s,end_s"
ENDS = {"m1": 60.0, "m2": 20.0}


def _lines(path: Path, *rows: str) -> list[str]:
    path.write_text("\n".join([HEADER, *rows]) + "\n")
    return list(behind_the_end(path, ENDS))


def _in_frames(fps: float) -> list[str]:
    """Both movies in actions of some seconds, without a gap, in frame numbers."""
    rng, rows = random.Random(0), []
    for movie, length_s in ENDS.items():
        start = 0
        while start < length_s * fps:
            stop = min(start + round(rng.uniform(0.5, 3) * fps), round(length_s * fps))
            rows.append(f"{movie},p,running,{start},{stop}")
            start = stop
    return rows


def test_labels_in_place_say_nothing(tmp_path: Path) -> None:
    # The last ends with the movie, or a little later: annotators go by the container, which has more to say.
    assert (
        _lines(tmp_path / "l.csv", "m1,p,running,0,60.0", "m2,p,running,19.9,23", "m9,p,running,500,600")
        == []
    )


def test_labels_behind_the_end_are_counted_and_the_first_is_named(tmp_path: Path) -> None:
    rows = ["m1,p,running,0,5", "m2,p,running,20,21.5", "m2,q,running,7.5,9", "m1,p,running,400,401"]
    (line,) = _lines(tmp_path / "l.csv", *rows)
    assert line.startswith(f"{tmp_path / 'l.csv'}: 2 of 4 labels begin behind their movie's end, in 2 movies")
    assert "row 3: 20 to 21.5, and movie m2 ends at 20.0 s" in line and "frame numbers" not in line


def test_frame_numbers_are_recognized(tmp_path: Path) -> None:
    for fps in (15, 25, 30):
        (line,) = _lines(tmp_path / "l.csv", *_in_frames(fps))
        assert "look like frame numbers" in line and "row " in line and "movie m" in line
    # Two frames a second: half of the labels lie before the end, so that the movies may as well have been cut.
    (line,) = _lines(tmp_path / "l.csv", *_in_frames(2))
    assert "frame numbers" not in line and "begin behind" in line
    # Whole seconds of movies that were not cut.
    assert _lines(tmp_path / "l.csv", *_in_frames(1)) == []
    # The same numbers in seconds, with a fraction somewhere.
    assert "begin behind" in _lines(tmp_path / "l.csv", *_in_frames(25), "m1,p,walking,0.5,1")[0]


def test_a_movie_ends_with_its_last_sample() -> None:
    assert end_s(np.arange(30) / 15) == 2.0
    assert end_s(np.array([3.0])) == 4.0
