"""`rhas import` as a user meets it: what it writes, verifies and says, and how it refuses."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
from made_datasets import write_mstcn, write_pickles, write_rhas133

from rhas.manifests.tables.manifest import load_manifest


def rhas(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "rhas.pipeline.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_mstcn(tmp_path: Path) -> None:
    write_mstcn(tmp_path / "in", {"a": [0, 1, 1], "b": [2, 2], "c": [1]}, extra={"a": 1})
    done = rhas("import", "mstcn", tmp_path / "in", "--out", tmp_path / "out", "--fps", 30, "--tolerance", 1)
    assert done.returncode == 0, done.stderr
    assert "3 movies (0 were there already), 4 intervals, 1 folds, 1 movies cut" in done.stdout
    verified = rhas("verify", tmp_path / "out")
    assert verified.returncode == 0 and "clean: every checksum holds" in verified.stdout
    assert rhas("shards", tmp_path / "out").returncode == 0
    drawn = rhas("look", tmp_path / "out", "--movie", "a", "--out", tmp_path / "a.png")
    assert drawn.returncode == 0 and (tmp_path / "a.png").stat().st_size > 10_000, drawn.stderr
    again = rhas("import", "mstcn", tmp_path / "in", "--out", tmp_path / "out", "--fps", 30, "--tolerance", 1)
    assert "(3 were there already)" in again.stdout
    np.save(tmp_path / "in" / "features" / "c.npy", np.full((6, 1), np.inf, np.float32))
    (tmp_path / "in" / "mapping.txt").write_text("0 background\n1 cut tomato\n2 add_oil\n")
    refused = rhas("import", "mstcn", tmp_path / "in", "--out", tmp_path / "new")
    assert (refused.returncode, "Traceback" in refused.stderr) == (2, False)
    assert (
        "features/c.npy: got 'others in frame 0, counted from 0': expected finite features" in refused.stderr
    )


def test_rhas133(tmp_path: Path) -> None:
    write_rhas133(tmp_path / "in", "a", [[[0], [1, 2]]], folder="x", without_partial=[0])
    write_rhas133(tmp_path / "in", "b", [[[3]]], [["Heat/1"]], folder="x", first=1)
    options = ("--split-name", "a=train", "--split-name", "b=test", "--holistic", "holistic/x",
               "--partial", "partial/x", "--numbering", "through", "--tokens", "all", "--fps", 25)  # fmt: skip
    done = rhas("import", "rhas133", tmp_path / "in", "--out", tmp_path / "out", *options)
    assert done.returncode == 0, done.stderr
    assert "2 movies (0 were there already), 4 intervals, 1 without partial features" in done.stdout
    verified = rhas("verify", tmp_path / "out")
    assert verified.returncode == 0 and "clean: every checksum holds" in verified.stdout
    movies = load_manifest(tmp_path / "out" / "manifest.csv").movies
    assert [(m.movie_id, m.video.name, m.persons[0].split) for m in movies] == [
        ("a_0", "0_blip_feat.npy", "train"),
        ("b_1", "Heat", "test"),
    ]
    write_pickles(tmp_path / "in", "a", [[[0], len]], [[0, 1]], ["a"])
    refused = rhas("import", "rhas133", tmp_path / "in", "--out", tmp_path / "new", *options)
    assert (refused.returncode, "Traceback" in refused.stderr) == (2, False)
    assert "actions_a_rhas.pkl: got 'global builtins.len'" in refused.stderr
    assert not (tmp_path / "new").exists()


def test_labels_behind_the_end_are_told_of_by_labels_and_verify(tmp_path: Path) -> None:
    write_mstcn(tmp_path / "in", {"a": [0, 1, 1] * 10, "b": [2, 2] * 15, "c": [1] * 30})
    assert rhas("import", "mstcn", tmp_path / "in", "--out", tmp_path / "out").returncode == 0
    assert "warning" not in rhas("verify", tmp_path / "out").stdout
    # Each video is 2 s long: its frames counted are no seconds.
    own = tmp_path / "own.csv"
    rows = [f"{name},actor,add_oil,{start},{start + 5}" for name in "abc" for start in range(0, 30, 5)]
    own.write_text("movie_id,person_id,action,start_s,end_s\n" + "\n".join(rows) + "\n")
    done = rhas("labels", tmp_path / "out", "--labels", own)
    assert done.returncode == 0, done.stderr
    assert (
        f"warning: {own}: 18 of 18 labels end behind" in done.stderr
        and "look like frame numbers" in done.stderr
    )
    assert "row 2: 0 to 5, and movie a ends at 2.0 s" in done.stderr
    verified = rhas("verify", tmp_path / "out")
    assert verified.returncode == 0
    assert "labels.csv: 18 of 18 labels end behind their movie's end" in verified.stdout
