"""Tables of clips: what is written is read again, and what is wrong is named by row and column."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rhas.manifests.common.errors import InputError
from rhas.manifests.tables.clips import COLUMNS, Clip, load_clips, write_clips
from rhas.manifests.tables.vocabulary import Vocabulary

ACTIONS = ("sit", "talk to (e.g., self)", "wave")
HEADER = ",".join(COLUMNS)
ROW = ["m", "m.mp4", "p", "2.5", "the man", "train", "0.1", "0.2", "0.5", "0.6", "sit"]

_corner = st.floats(0, 0.4)
_clips = st.lists(
    st.builds(
        Clip,
        movie_id=st.sampled_from(["m", "-x", "é"]),
        video=st.just(Path("/movies/one.mp4")),
        person_id=st.sampled_from(["1", "p 2"]),
        time_s=st.floats(0, 1e6),
        reference=st.sampled_from(["the man", 'a "girl", left', "她"]),
        split=st.sampled_from(["train", "val", "test"]),
        box=st.tuples(_corner, _corner, st.floats(0.5, 1), st.floats(0.5, 1)),
        actions=st.permutations(ACTIONS).flatmap(lambda a: st.integers(1, 3).map(lambda n: tuple(a[:n]))),
    ),
    min_size=1, max_size=5, unique_by=lambda clip: (clip.movie_id, clip.person_id, clip.time_s),
)  # fmt: skip


@given(_clips)
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, clips: list[Clip]) -> None:
    path = tmp_path_factory.getbasetemp() / "clips.csv"
    write_clips(clips, path)
    assert load_clips(path, Vocabulary(ACTIONS)) == tuple(clips)


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        ("actions", "sit|run", "actions of actions.csv with | between; 'run' is none"),
        ("actions", "sit|sit", "each action once"),
        ("actions", "", "is none"),
        ("x2", "0.05", "more than 0.1"),
        ("y1", "1.2", "a share of the frame"),
        ("time_s", "-1", "a finite time in seconds"),
        ("split", "dev", "one of train, val, test"),
        ("reference", "", "a text that is not empty"),
    ],
)
def test_wrong_cells_are_named(tmp_path: Path, column: str, value: str, expected: str) -> None:
    row = [value if name == column else cell for name, cell in zip(COLUMNS, ROW, strict=True)]
    (tmp_path / "clips.csv").write_text(f"{HEADER}\n{','.join(row)}\n")
    with pytest.raises(InputError) as caught:
        load_clips(tmp_path / "clips.csv", Vocabulary(ACTIONS))
    (problem,) = caught.value.problems
    assert (problem.row, problem.column) == (2, column) and expected in problem.expected


def test_a_moment_comes_once_and_a_movie_has_one_video(tmp_path: Path) -> None:
    rows = [ROW, ROW, [*ROW[:1], "other.mp4", "q", *ROW[3:]]]
    (tmp_path / "clips.csv").write_text("\n".join([HEADER, *(",".join(row) for row in rows)]))
    with pytest.raises(InputError) as caught:
        load_clips(tmp_path / "clips.csv", Vocabulary(ACTIONS))
    assert [(p.row, p.column) for p in caught.value.problems] == [(3, "time_s"), (4, "video")]
