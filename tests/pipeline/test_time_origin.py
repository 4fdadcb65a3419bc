"""What time 0 is: of samples, of the plan's warnings and of imported annotations."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from rhas.extract.decode.index import MovieIndex
from rhas.extract.decode.indexing import build_index
from rhas.manifests.tables.labels import load_labels
from rhas.manifests.tables.manifest import load_manifest
from rhas.manifests.tables.vocabulary import load_vocabulary
from rhas.pipeline.cli import app

TRUTH = Path(__file__).parents[1] / "truth"
MOVIES = TRUTH / "movies"
SHOWN = json.loads((TRUTH / "shown.json").read_text())
ACTIONS = load_vocabulary(None).actions


def rhas(*arguments: object) -> tuple[str, str]:
    """What the command says on stdout, without its line breaks, and on stderr."""
    done = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return " ".join(done.stdout.split()), done.stderr


def index_of(name: str) -> MovieIndex:
    return build_index(str(MOVIES / name))


# --- samples


@pytest.mark.parametrize("fps", [None, 15.0, 2.0])
@pytest.mark.parametrize(
    ("name", "offset_s"),
    [("late_video.mp4", 1.2), ("h264_refresh_cut.ts", 0.6), ("starts_at_5000.ts", 0.0), ("h264_closed.mp4", 0.0)],
)  # fmt: skip
def test_samples_show_the_same_whatever_their_times_count_from(
    name: str, offset_s: float, fps: float | None
) -> None:
    index = index_of(name)
    own, players = index.samples(fps), index.samples(fps, "container")
    np.testing.assert_array_equal(own.source_frame, players.source_frame)
    np.testing.assert_allclose(players.time_s, own.time_s + offset_s, atol=1e-6)
    times = [time_s for time_s, _ in SHOWN[name]["frames"]] if fps is None else np.arange(len(own)) / fps
    np.testing.assert_allclose(own.time_s, times, atol=1e-3)


# --- the plan


def plan(
    folder: Path, persons: list[str], labels: list[str], *options: object, video: str = "fps_1.mp4"
) -> str:
    """What is said of a movie; `persons` and `labels` are rows behind the movie's columns, labels.csv beside them."""
    movies, labelled = folder / "movies.csv", folder / "labels.csv"
    rows = [f"m,{MOVIES / video},{person}" for person in persons]
    movies.write_text("\n".join(["movie_id,video,person_id,reference,start_s,end_s", *rows]))
    if labels:
        labelled.write_text(
            "\n".join(["movie_id,person_id,action,start_s,end_s", *(f"m,{row}" for row in labels)])
        )
    said, _ = rhas("plan", "--movies", movies, "--preset", "tiny-random", *options)
    return said


ACTION = ACTIONS[0]


def test_the_plan_notes_what_lies_behind_a_movies_end(tmp_path: Path) -> None:
    persons = ["p,the man,90,200", "q,the woman,96.5,120"]
    labels = [f"p,{ACTION},95,99", f"p,{ACTION},100,110", f"p,{ACTION},150,160", f"q,{ACTION},97,98"]
    said = plan(tmp_path, persons, labels)
    assert "m: person q is" in said and "from 96.5 s on, behind its end at 96.0 s" in said
    assert (
        "m: 3 labels lie behind its end at 96.0 s, the first at 97 s: was it cut, or are they frame" in said
    )
    assert "person p" not in said


def test_the_plan_is_silent_about_what_lies_within(tmp_path: Path) -> None:
    said = plan(tmp_path, ["p,the man,0,96", "q,the woman,,"], [f"p,{ACTION},0,3", f"q,{ACTION},95.9,200"])
    assert "end at" not in said and "labels lie" not in said


def test_the_plans_end_moves_with_the_origin(tmp_path: Path) -> None:
    """4 s of picture begin at 1.2 s of the container's clock: 4.5 s are behind the end of one and not of the other."""
    persons, labels = ["p,the man,4.5,6"], [f"p,{ACTION},4.6,5"]
    own = plan(tmp_path, persons, labels, video="late_video.mp4")
    assert "its picture begins 1.200 s after the container's clock" in own
    assert "from 4.5 s on, behind its end at 4.0 s" in own and "1 label lies behind" in own
    players = plan(tmp_path, persons, labels, "--time-origin", "container", video="late_video.mp4")
    assert "behind its end" not in players
    late = plan(tmp_path, ["p,the man,5.3,6"], [], "--time-origin", "container", video="late_video.mp4")
    assert "from 5.3 s on, behind its end at 5.2 s" in late


def test_the_plan_promises_the_samples_of_the_origin(tmp_path: Path) -> None:
    """[0, 2) holds samples at 0 to 1.8 by the first frame, and at 1.2 to 1.8 by the container's clock."""
    own = plan(tmp_path, ["p,the man,0,2"], [], "--fps", 5, video="late_video.mp4")
    players = plan(
        tmp_path, ["p,the man,0,2"], [], "--fps", 5, "--time-origin", "container", video="late_video.mp4"
    )
    assert "10 frames, 10 person-frames" in own
    assert "4 frames, 4 person-frames" in players


# --- annotations of uncut movies

BEND = "bend/bow (at the waist)"  # AVA's action 1


def ava(folder: Path, *options: object, seconds: tuple[int, ...] = (902, 903, 904, 930)) -> tuple[Path, str]:
    """Imports key frames of one person in a movie of 96 s; returns the folder and what is said on stderr."""
    (folder / "videos").mkdir()
    shutil.copy(MOVIES / "fps_1.mp4", folder / "videos" / "v.mp4")
    (folder / "ava.csv").write_text("".join(f"v,{second},0.1,0.1,0.5,0.9,1,0\n" for second in seconds))
    (folder / "references.csv").write_text("video_id,person_id,reference\nv,0,the man\n")
    _, warned = rhas("import", "ava", folder / "ava.csv", "--references", folder / "references.csv", "--videos",
                     folder / "videos", "--out", folder / "out", *options)  # fmt: skip
    return folder / "out", "".join(line for line in warned.splitlines(True) if not line.startswith("next: "))


def intervals_of(out: Path) -> list[tuple[str, float, float]]:
    with (out / "labels.csv").open() as table:
        return [(row["action"], float(row["start_s"]), float(row["end_s"])) for row in csv.DictReader(table)]


def test_an_offset_moves_annotations_to_the_time_of_a_cut_movie(tmp_path: Path) -> None:
    out, warned = ava(tmp_path, "--offset", 900)
    assert warned == ""
    assert intervals_of(out) == [(BEND, 1.5, 4.5), ("N/A", 4.5, 29.5), (BEND, 29.5, 30.5)]
    manifest = load_manifest(out / "manifest.csv")
    (person,) = manifest.persons
    assert (person.start_s, person.end_s) == (1.5, 30.5)
    assert load_labels(out / "labels.csv", load_vocabulary(out / "actions.csv"), manifest).count == 3
    said, _ = rhas("plan", "--movies", out / "manifest.csv", "--labels", out / "labels.csv", "--actions",
                   out / "actions.csv", "--preset", "tiny-random")  # fmt: skip
    assert "behind its end" not in said


def test_without_the_offset_a_cut_movie_is_warned_of(tmp_path: Path) -> None:
    out, warned = ava(tmp_path)
    assert intervals_of(out)[0] == (BEND, 901.5, 904.5)
    (line,) = warned.splitlines()
    assert line.startswith(f"warning: {tmp_path / 'videos' / 'v.mp4'}: ends at 96.0 s")
    assert "1 of 1 persons begin behind it, from 901.5 s on" in line and line.endswith("Then --offset 900")
    said, _ = rhas("plan", "--movies", out / "manifest.csv", "--labels", out / "labels.csv", "--actions",
                   out / "actions.csv", "--preset", "tiny-random")  # fmt: skip
    assert "from 901.5 s on, behind its end at 96.0 s" in said


def test_an_offset_that_is_too_small_is_warned_of_by_the_annotations_own_times(tmp_path: Path) -> None:
    _, warned = ava(tmp_path, "--offset", 500, seconds=(2000,))
    assert "from 1999.5 s on" in warned and "--offset 900" not in warned


def test_a_movie_that_is_long_enough_is_not_warned_of(tmp_path: Path) -> None:
    out, warned = ava(tmp_path, seconds=(2, 3, 90))
    assert warned == "" and intervals_of(out)[0] == (BEND, 1.5, 3.5)


def test_annotations_before_the_movies_begin_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        Exception, match="row 1, column timestamp: got '902': expected a time in seconds, from 903"
    ):
        ava(tmp_path, "--offset", 903)
    assert not (tmp_path / "out").exists()
