"""`rhas frames` as a user gives it: pictures by number, a table that accounts for each, and messages."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from rhas.extract.decode.indexing import build_index
from rhas.manifests.common.errors import RhasError
from rhas.pipeline.cli import app
from tests.truth import numbers

TRUTH = Path(__file__).parents[1] / "truth"
MOVIES = TRUTH / "movies"
SHOWN = json.loads((TRUTH / "shown.json").read_text())


@dataclass(frozen=True)
class Done:
    code: int
    said: str
    rows: list[dict[str, str]]
    numbers: list[int | None]  # of the pictures, in the order of their names
    names: list[str]

    def column(self, name: str) -> list[float]:
        return [float(row[name]) for row in self.rows]


def frames(movie: Path | str, out: Path, *options: object) -> Done:
    arguments = ["frames", MOVIES / movie, "--out", out, *options]
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if isinstance(done.exception, RhasError):  # main() prints it and exits so
        return Done(done.exception.exit_code, str(done.exception), [], [], [])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    pictures = sorted(out.glob("*.png"))
    seen = [numbers.read(np.asarray(Image.open(path))) for path in pictures]
    with (out / "frames.csv").open() as table:
        rows = list(csv.DictReader(table))
    return Done(done.exit_code, done.output + done.stderr, rows, seen, [path.name for path in pictures])


def shown_at(movie: str, times_s: Sequence[float]) -> list[int]:
    """What ffmpeg shows of a movie then: the last frame that isn't later, but for rounding."""
    starts = np.array([time_s for time_s, _ in SHOWN[movie]["frames"]])
    last = np.searchsorted(starts, np.array(times_s) + 1e-3, side="right") - 1
    return [SHOWN[movie]["frames"][at][1] for at in last]


def named(which: Sequence[int]) -> list[str]:
    return [f"{number:06d}.png" for number in which]


@pytest.mark.parametrize("movie", ["h264_open.mkv", "uneven.mp4"])
def test_samples_at_a_rate(movie: str, tmp_path: Path) -> None:
    done = frames(movie, tmp_path, "--fps", 15)
    count = len(done.rows)
    assert (done.code, list(done.rows[0])) == (0, ["index", "time_s", "stamp", "status", "reason"])
    assert [row["index"] for row in done.rows] == [str(number) for number in range(count)]
    np.testing.assert_allclose(done.column("time_s"), np.arange(count) / 15, atol=1e-6)
    last_s = SHOWN[movie]["frames"][-1][0]
    assert last_s - 1 / 15 < done.column("time_s")[-1] < last_s + 1 / 15
    assert done.names == named(range(count))
    assert done.numbers == shown_at(movie, done.column("time_s"))
    assert {(row["status"], row["reason"]) for row in done.rows} == {("shown", "")}
    assert f"{tmp_path}: {count} frames" in done.said


def test_every_frame_at_its_own_stamp(tmp_path: Path) -> None:
    done = frames("starts_at_12.mkv", tmp_path, "--fps", "native")
    times, shown = zip(*SHOWN["starts_at_12.mkv"]["frames"], strict=True)
    assert done.numbers == list(shown)
    np.testing.assert_allclose(done.column("time_s"), times, atol=1e-3)
    np.testing.assert_allclose(done.column("stamp"), np.array(times) + 12.4, atol=1e-3)


def test_moments_in_the_order_in_which_they_are_named(tmp_path: Path) -> None:
    at = [3.5, 0.0, 2.04, 2.04, 3.9999]
    done = frames("hevc_open.ts", tmp_path, "--at", ", ".join(map(str, at)))
    assert done.code == 0 and done.names == named(range(5))
    assert done.column("time_s") == at
    assert done.numbers == shown_at("hevc_open.ts", at) == [105, 0, 61, 61, 119]
    begins_s = build_index(str(MOVIES / "hevc_open.ts")).facts.container_start_s
    np.testing.assert_allclose(
        done.column("stamp"), begins_s + np.array([105, 0, 61, 61, 119]) / 30, atol=1e-4
    )


def test_a_stretch_keeps_the_numbers_of_its_samples(tmp_path: Path) -> None:
    done = frames("fps_1.mp4", tmp_path, "--fps", 2, "--start", 70.5, "--end", 73)
    assert done.names == named([141, 142, 143, 144, 145])
    assert done.column("time_s") == [70.5, 71.0, 71.5, 72.0, 72.5]
    assert done.numbers == [70, 71, 71, 72, 72]
    assert frames("fps_1.mp4", tmp_path / "end", "--fps", 1, "--start", 94).numbers == [94, 95]
    assert frames("fps_1.mp4", tmp_path / "start", "--fps", 1, "--end", 1.5).numbers == [0, 1]


def test_times_may_count_from_the_containers_zero(tmp_path: Path) -> None:
    """The sound of this movie begins 1.2 s before its picture."""
    own = frames("late_video.mp4", tmp_path / "own", "--fps", 5)
    players = frames("late_video.mp4", tmp_path / "players", "--fps", 5, "--time-origin", "container")
    assert own.column("time_s")[0] == 0.0 and own.numbers == players.numbers
    np.testing.assert_allclose(players.column("time_s"), np.array(own.column("time_s")) + 1.2, atol=1e-6)
    assert players.column("stamp") == own.column("stamp")
    for options, moment, expected in (((), 2.0, 60), (("--time-origin", "container"), 2.0, 24)):
        assert frames("late_video.mp4", tmp_path / f"{expected}", "--at", moment, *options).numbers == [
            expected
        ]
    stretch = frames("late_video.mp4", tmp_path / "stretch", "--fps", 30, "--time-origin", "container",
                     "--start", 1.9999, "--end", 2.1)  # fmt: skip
    assert stretch.numbers == [24, 25, 26]
    refused = frames("late_video.mp4", tmp_path / "no", "--at", 1, "--time-origin", "container")
    assert refused.code == 2 and "from 1.200 to 5.200 s" in refused.said and not (tmp_path / "no").exists()


def test_without_deinterlacing_both_fields_are_in_a_picture(tmp_path: Path) -> None:
    first = frames("mbaff_fields.mp4", tmp_path / "first", "--fps", "native", "--end", 0.5)
    both = frames("mbaff_fields.mp4", tmp_path / "both", "--fps", "native", "--end", 0.5, "--set",
                  "decode.deinterlace=false")  # fmt: skip
    assert first.numbers == list(range(15))
    assert len(both.numbers) == 15 and None in both.numbers  # i and i + 1 at once, in alternate rows
    pictures = [np.asarray(Image.open(tmp_path / name / "000007.png")) for name in ("first", "both")]
    plain = np.asarray(numbers.draw(7, 192, 96)), np.asarray(numbers.draw(8, 192, 96))
    lines = [pictures[1][row::2].astype(int) - plain[row][row::2] for row in (0, 1)]
    assert np.abs(lines[0]).mean() < 12 and np.abs(lines[1]).mean() < 12
    assert "it is interlaced" in first.said


def test_pictures_are_as_large_as_the_models_see_them(tmp_path: Path) -> None:
    done = frames("turned_90.mp4", tmp_path, "--at", 1, "--set", "decode.short_side=48")
    assert Image.open(tmp_path / "000000.png").size == (48, 96) and done.numbers == [30]


def test_what_is_unusual_is_said_on_stderr(tmp_path: Path) -> None:
    arguments = ["frames", str(MOVIES / "joined.ts"), "--out", str(tmp_path), "--fps", "5"]
    done = CliRunner().invoke(app, arguments)
    note, following = done.stderr.splitlines()
    assert done.exit_code == 0 and following.startswith("next: rhas ")
    assert note.startswith("note: its clock starts again or jumps at 2.400 s")
    assert done.stdout == f"{tmp_path}: 24 frames\n"
    with (tmp_path / "frames.csv").open() as table:
        times = [float(row["time_s"]) for row in csv.DictReader(table)]
    seen = [numbers.read(np.asarray(Image.open(path))) for path in sorted(tmp_path.glob("*.png"))]
    assert seen == shown_at("joined.ts", times) and max(number or 0 for number in seen) > 500


def damaged(folder: Path) -> Path:
    """A copy in which the packet of frame 40 is gone; its group ends before 48."""
    index, data = build_index(str(MOVIES / "h264_closed.mp4")), (MOVIES / "h264_closed.mp4").read_bytes()
    pos, size = (int(places[index.row[40]]) for places in (index.pos, index.size))
    path = folder / "damaged.mp4"
    path.write_bytes(data[:pos] + b"\xff" * size + data[pos + size :])
    return path


def test_frames_that_cant_be_decoded_are_told_and_the_others_shown(tmp_path: Path) -> None:
    done = frames(damaged(tmp_path), tmp_path / "out", "--fps", 30)
    lost = [int(row["index"]) for row in done.rows if row["status"] == "undecodable"]
    assert done.code == 3 and f"{120 - len(lost)} frames, {len(lost)} could not be decoded" in done.said
    assert 40 in lost and set(lost) <= set(range(37, 48))
    assert all(bool(row["reason"]) == (row["status"] == "undecodable") for row in done.rows)
    assert "damaged movie data" in done.rows[40]["reason"]
    kept = [number for number in range(120) if number not in lost]
    assert done.names == named(kept) and done.numbers == kept


@pytest.mark.parametrize(
    ("options", "value", "expected"),
    [
        (["--at", "1", "--start", "0"], "--at: got '1'", "no --start and --end beside it"),
        (["--at", "1", "--end", "3"], "--at: got '1'", "no --start and --end beside it"),
        (["--at", "1,4.5,-0.2"], "--at: got '4.5, -0.2'", "times in the movie, from 0.000 to 4.000 s"),
        (["--at", "nan"], "--at: got 'nan'", "times in the movie, from 0.000 to 4.000 s"),
        (["--at", "1;2"], "--at: got '1;2'", "times in seconds with commas between, such as 12.4,13"),
        (["--at", "1,,2"], "--at: got '1,,2'", "times in seconds"),
        (["--at", ""], "--at: got ''", "times in seconds"),
        (["--start", "4"], "--start and --end: got '4.0 to None'", "times in the movie, from 0.000 to 3.933 s"),
        (["--start", "3", "--end", "2"], "got '3.0 to 2.0'", "times in the movie"),
        (["--fps", "0"], "decode.fps", "0"),
        (["--fps", "fast"], "decode.fps", "fast"),
        (["--time-origin", "players"], "decode.time_origin", "container"),
    ],
)  # fmt: skip
def test_what_is_no_time_of_the_movie_is_refused(
    options: list[str], value: str, expected: str, tmp_path: Path
) -> None:
    done = frames("h264_closed.mp4", tmp_path / "out", *options)
    assert done.code == 2 and value in done.said and expected in done.said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", ["text", "nothing", "missing", "folder"])
def test_what_is_no_movie_is_refused(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "movie.mp4"
    if kind == "folder":
        path.mkdir()
    elif kind != "missing":
        path.write_text("this is no movie\n" * 500 * (kind == "text"))
    done = frames(path, tmp_path / "out")
    assert done.code == 2 and f"{path}: expected a movie (" in done.said
    assert not (tmp_path / "out").exists()


def test_the_process_ends_with_these_codes(tmp_path: Path) -> None:
    def rhas(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "rhas.pipeline.cli", "frames", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    lost = rhas(damaged(tmp_path), "--out", tmp_path / "out")
    assert lost.returncode == 3 and "could not be decoded" in lost.stdout
    refused = rhas(damaged(tmp_path), "--out", tmp_path / "out", "--at", "9")
    assert refused.returncode == 2 and "Traceback" not in refused.stderr
    assert refused.stderr.startswith("error: --at: got '9': expected times in the movie")


def test_no_picture_of_an_earlier_call_stays(tmp_path: Path) -> None:
    for fps, count in (("30", 120), ("5", 20)):
        frames("h264_closed.mp4", tmp_path, "--fps", fps)
        assert len(list(tmp_path.glob("*.png"))) == count
