"""`rhas ravar` as a user meets it: clips from labels and boxes, and all of it in a made world by one command."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from rhas.manifests.common.errors import InputError
from rhas.manifests.tables.clips import load_clips
from rhas.manifests.tables.vocabulary import load_vocabulary
from rhas.pipeline.cli import app


def rhas(*parts: object) -> str:
    done = CliRunner().invoke(app, [str(part) for part in parts], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def write_tables(folder: Path, movies: int) -> list[object]:
    """Somebody who sits for 4 s, waves as well in the second half, and is away for the last second; a box for 5 s."""
    manifest = ["movie_id,video,person_id,reference,start_s,end_s,split"]
    labels, boxes = ["movie_id,person_id,action,start_s,end_s"], ["movie_id,person_id,time_s,x1,y1,x2,y2"]
    for k in range(movies):
        manifest.append(f"m{k},m{k}.mp4,p,the man,,,")
        labels += [f"m{k},p,sit,0,4", f"m{k},p,wave,2,4", f"m{k},p,N/A,4,5"]
        boxes += [f"m{k},p,{second},0.1,0.2,{0.3 + 0.1 * second},0.9" for second in range(6)]
    for name, lines in (("manifest", manifest), ("labels", labels), ("boxes", boxes)):
        (folder / f"{name}.csv").write_text("\n".join(lines))
    (folder / "actions.csv").write_text("action\nsit\nwave\n")
    given = [f"--{name}" for name in ("movies", "labels", "boxes", "actions")]
    files = [folder / f"{name}.csv" for name in ("manifest", "labels", "boxes", "actions")]
    return [part for pair in zip(given, files, strict=True) for part in pair]


def test_clips_are_moments_at_which_somebody_does_something(tmp_path: Path) -> None:
    options = write_tables(tmp_path, 10)
    said = rhas("ravar", "clips", *options, "--out", tmp_path / "clips", "--every", 1.5)
    vocabulary = load_vocabulary(tmp_path / "clips" / "actions.csv")
    clips = load_clips(tmp_path / "clips" / "clips.csv", vocabulary)
    own = [(clip.time_s, clip.actions) for clip in clips if clip.movie_id == "m3"]
    assert own == [(0, ("sit",)), (1.5, ("sit",)), (3, ("sit", "wave"))]  # not at 4.5 s, away
    assert clips[1].box == pytest.approx((0.1, 0.2, 0.45, 0.9))  # between the boxes of two seconds
    sides = {clip.movie_id: clip.split for clip in clips}
    counts = {split: sum(side == split for side in sides.values()) for split in ("train", "val", "test")}
    assert counts == {"train": 6, "val": 2, "test": 2} and "30 clips (18 train, 6 val, 6 test)" in said
    again = rhas("ravar", "clips", *options, "--out", tmp_path / "again", "--every", 1.5)
    assert (tmp_path / "again" / "clips.csv").read_text() == (tmp_path / "clips" / "clips.csv").read_text()
    assert "30 clips" in again


def test_too_few_movies_are_refused(tmp_path: Path) -> None:
    options = write_tables(tmp_path, 2)
    with pytest.raises(InputError, match="got 'none in train': expected clips in each split"):
        rhas("ravar", "clips", *options, "--out", tmp_path / "clips")


def test_a_made_world_from_end_to_end(tmp_path: Path) -> None:
    command = ("ravar", "world", tmp_path / "out", "--movies", 5, "--seconds", 4, 5, "--systems", "location,refatomnet",
               "--set", "epochs=1", "--device", "cpu")  # fmt: skip
    said = rhas(*command)
    table = (tmp_path / "out" / "table" / "table.md").read_text()
    assert table in said
    rows = {line.split("|")[1].strip(): line for line in table.splitlines() if line.startswith("| ")}
    assert {"location", "refatomnet", "constant"} <= set(rows)
    stored = sorted((tmp_path / "out" / "tokens" / "movies").iterdir())
    stamps = [path.stat().st_mtime_ns for path in stored]
    assert len(stored) == 5 and rhas(*command).endswith(table + "\n")  # nothing is made again
    assert [path.stat().st_mtime_ns for path in stored] == stamps
    run = tmp_path / "out" / "table" / "runs" / "location-seed0"
    assert "| location |" in rhas("ravar", "eval", "--run", run, "--split", "val", "--device", "cpu")
