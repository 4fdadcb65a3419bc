"""The command line as a user meets it: help, messages, exit codes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from numbered_movies import regular, write_movie
from typer.testing import CliRunner

from rhas.pipeline.cli import app

RHAS = [sys.executable, "-m", "rhas.pipeline.cli"]


def rhas(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*RHAS, *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False
    )


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys, rhas.pipeline.cli\n"
        "heavy = {'torch', 'ray', 'transformers', 'decord', 'av', 'h5py', 'numpy', 'pandas', 'matplotlib'}\n"
        "heavy |= {'pydantic', 'yaml'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        == "[]\n"
    )


def all_commands(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield words
    for name, other in getattr(command, "commands", {}).items():
        yield from all_commands(other, (*words, name))


COMMANDS = list(all_commands(typer.main.get_command(app)))


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_says_all_of_every_option(words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    # What looks like markup is taken for it, and left out.
    monkeypatch.setattr("typer.rich_utils.MAX_WIDTH", 400)
    command = typer.main.get_command(app)
    for word in words:
        command = command.commands[word]
    shown = CliRunner().invoke(app, [*words, "--help"])
    assert shown.exit_code == 0
    text = " ".join(shown.stdout.replace("│", " ").split())
    for option in command.params:
        for said in (getattr(option, "help", None), getattr(option, "show_default", None)):
            if isinstance(said, str):
                assert " ".join(said.split()) in text, option.name
    if words == ("extract",):
        assert "[default: (features for manifest.csv, features-NAME for NAME.csv" in text
    if words == ():
        assert all(f" {name} " in text for name in command.commands)


def test_all_problems_of_a_manifest_are_told_at_once(tmp_path: Path) -> None:
    manifest = tmp_path / "m.csv"
    manifest.write_text(
        "movie_id,video,person_id,reference,start_s\n up,a.mp4,p,the man,\nb,b.mp4,p,the man,soon\n"
    )
    done = rhas("extract", "--movies", manifest, "--out", tmp_path / "f", "--preset", "tiny-random")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    for part in ("row 2, column movie_id: got ' up'", "row 3, column start_s: got 'soon'"):
        assert part in done.stderr
    assert not (tmp_path / "f").exists()


def test_of_many_problems_the_first_are_told_and_the_others_counted(tmp_path: Path) -> None:
    manifest = tmp_path / "m.csv"
    manifest.write_text("movie_id,video,person_id,reference\n" + "m,,p,\n" * 1000)
    lines = rhas("plan", "--movies", manifest).stderr.splitlines()
    assert len(lines) == 51 and all(line.startswith(f"error: {manifest}, row ") for line in lines[:50])
    assert lines[50] == f"error: and {3 * 1000 - 1 - 50} more problems"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--preset", "clipp"], "expected one of blip2, clip, mini, tiny-random or a YAML file"),
        (["--set", "decode.fpz=3"], "column decode.fpz"),
        (["--fps", "fast"], "decode.fps"),
    ],
)
def test_wrong_settings_are_refused(tmp_path: Path, arguments: list[str], message: str) -> None:
    manifest = tmp_path / "m.csv"
    manifest.write_text("movie_id,video,person_id,reference\na,a.mp4,p,the man\n")
    done = rhas("extract", "--movies", manifest, "--out", tmp_path / "f", *arguments)
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)
    assert message in done.stderr


@pytest.mark.parametrize("command", [["verify"], ["shards"], ["look", "--movie", "a"]])
def test_a_folder_without_features_is_named(tmp_path: Path, command: list[str]) -> None:
    done = rhas(command[0], tmp_path, *command[1:])
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)
    assert str(tmp_path) in done.stderr


def test_import_ava_writes_manifest_and_labels(tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    (tmp_path / "ava.csv").write_text("movie,902,0.1,0.1,0.5,0.9,12,3\nmovie,903,0.1,0.1,0.5,0.9,12,3\n")
    (tmp_path / "refs.csv").write_text("video_id,person_id,reference\nmovie,3,the man with the blue hat\n")
    done = rhas("import", "ava", tmp_path / "ava.csv", "--references", tmp_path / "refs.csv",
                "--videos", tmp_path / "videos", "--out", tmp_path / "out")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "1 movies, 1 persons, 1 intervals" in done.stdout
    assert "movie,3,stand,901.5,903.5" in (tmp_path / "out" / "labels.csv").read_text()
    assert "12,stand" in (tmp_path / "out" / "actions.csv").read_text()


def test_plan_lists_movies_and_bad_files(tmp_path: Path) -> None:
    write_movie(tmp_path / "a.mp4", regular(60))
    manifest = tmp_path / "m.csv"
    manifest.write_text(
        "movie_id,video,person_id,reference,start_s,end_s\n"
        "a,a.mp4,p,the man,,\na,a.mp4,q,the woman,1,\nb,b.mp4,p,the man,,\n"
    )
    done = rhas("plan", "--movies", manifest, "--gpus", "8")
    assert done.returncode == 3, done.stderr
    # 2 s at 15 samples a second; q from 1 s on.
    assert "2 movies, 1 unreadable" in done.stdout and "30 frames, 45 person-frames" in done.stdout
    assert "no such file" in done.stdout
