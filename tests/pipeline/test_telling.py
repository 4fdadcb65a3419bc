"""What is said where: times where nobody watches, a log file with all of it, a quiet way; and what a doctor sees."""

from __future__ import annotations

import logging
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from rhas.extract.config import load_config
from rhas.extract.run.accounts import Summary
from rhas.extract.run.progress import Snapshot
from rhas.manifests.shards.failures import Failure, movie_failure
from rhas.manifests.shards.statistics import Tally
from rhas.manifests.shards.status import FrameStatus
from rhas.pipeline.cli import app
from rhas.pipeline.commands.anywhere import in_front
from rhas.pipeline.programs import doctor
from rhas.pipeline.views import telling
from rhas.pipeline.views.display import live, make_console, print_summary

TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    yield
    telling.set_up(0, None)


def progress_and_a_warning() -> None:
    with live(make_console()) as show:
        show(Snapshot(movies=3))
    logging.getLogger("rhas.extract").warning("a worker was lost")
    logging.getLogger("rhas.extract").info("a movie is done")


def test_lines_have_times_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    telling.set_up(0, None)
    progress_and_a_warning()
    said = capsys.readouterr()
    assert re.fullmatch(rf"{TIME}  movies 0/3 .*\n", said.out)
    assert re.fullmatch(rf"{TIME} WARNING rhas\.extract: a worker was lost\n", said.err)


def test_the_file_has_all_failures_of_an_extraction_and_the_terminal_the_first(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    failures = [movie_failure(f"m{number}", "probe", "no such file") for number in range(30)]
    failures.append(Failure("half", 3, 1.0, 2.0, "decode", "damaged movie data", 31))
    tally = Tally({FrameStatus.DETECTED: 44, FrameStatus.UNDECODABLE: 31})
    summary = Summary(31, 30, 0, tally, failures, {}, {"frames": 0}, 3, False)
    telling.set_up(0, tmp_path / "rhas.log")
    print_summary(make_console(), summary, "features")
    kept = [re.sub(f"^{TIME} ", "", line) for line in (tmp_path / "rhas.log").read_text().splitlines()]
    assert kept[0] == "INFO rhas.said: movies: 1 done (0 by earlier runs), 30 failed"
    assert "75 promised = 44 written + 0 person not found + 31 lost" in kept[1]
    assert [line for line in kept if "failed m" in line] == [
        f"WARNING rhas.said: failed m{number}, probe: no such file" for number in range(30)
    ]
    assert kept[-1] == "WARNING rhas.said: failed half window 3, decode (31 frames): damaged movie data"
    said = capsys.readouterr()
    assert said.out.count("failed m") == 10 and "… and 21 more in features/failures.csv" in said.out
    assert said.err == ""


def test_quiet_and_verbose_and_a_file_that_has_it_all(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    telling.set_up(-1, tmp_path / "logs" / "rhas.log")
    progress_and_a_warning()
    assert capsys.readouterr() == ("", "")
    kept = (tmp_path / "logs" / "rhas.log").read_text().splitlines()
    assert [re.sub(f"^{TIME} ", "", line).split(": ")[0] for line in kept] == [
        "INFO rhas.said", "WARNING rhas.extract", "INFO rhas.extract",
    ]  # fmt: skip
    telling.set_up(1, None)
    progress_and_a_warning()
    assert "a movie is done" in capsys.readouterr().err
    assert len((tmp_path / "logs" / "rhas.log").read_text().splitlines()) == 3


def test_the_options_stand_before_the_command(tmp_path: Path) -> None:
    manifest, log = tmp_path / "manifest.csv", tmp_path / "rhas.log"
    manifest.write_text("movie_id,video,person_id,reference\na,a.mp4,p,the man\n")
    done = CliRunner().invoke(app, ["-q", "--log-file", str(log), "plan", "--movies", str(manifest)])
    assert done.exit_code == 3 and done.stderr == "", "no hint"
    assert "INFO rhas.said: rhas " in log.read_text()


def test_the_options_stand_behind_it_as_well(tmp_path: Path) -> None:
    manifest, log = tmp_path / "manifest.csv", tmp_path / "rhas.log"
    manifest.write_text("movie_id,video,person_id,reference\na,a.mp4,p,the man\n")
    done = CliRunner().invoke(app, ["plan", "--movies", str(manifest), "-q", f"--log-file={log}"])
    assert done.exit_code == 3 and done.stderr == ""
    assert "INFO rhas.said: rhas " in log.read_text()


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("import mstcn a --out b -vv --log-file c", "-vv --log-file c import mstcn a --out b"),
        ("-v plan --movies m.csv -q", "-v -q plan --movies m.csv"),
        ("predict --run r --person -q --movie -v", "predict --run r --person -q --movie -v"),  # values
        ("predict --run=r --verbose --person x", "--verbose predict --run=r --person x"),
        ("extract --update -q", "-q extract --update"),
        ("config -- -q", "config -- -q"),
        ("config --log-file", "--log-file config"),
        ("nosuch -q", "-q nosuch"),
    ],
)
def test_what_is_moved_in_front_and_what_stays(given: str, meant: str) -> None:
    assert in_front(get_command(app), given.split()) == meant.split()


def test_warnings_are_in_the_log_file_too(tmp_path: Path) -> None:
    code = f"""
import warnings
from pathlib import Path
from rhas.pipeline.views.telling import set_up
set_up(0, None)
warnings.warn("first")
set_up(0, Path({str(tmp_path / "rhas.log")!r}))
warnings.warn("second")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "UserWarning: first" in done.stderr and "UserWarning: second" in done.stderr
    (line, *_) = (tmp_path / "rhas.log").read_text().splitlines()
    assert re.match(rf"{TIME} WARNING py\.warnings: .*UserWarning: second", line)


def test_a_doctor_says_what_stands_in_the_way(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    usage = SimpleNamespace(free=64 << 20, total=16 << 30)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path / ("deep" * 30)))
    config = load_config("mini", ["encoder.weights=./nowhere/there"])
    found = {
        finding.about: finding.problem for finding in doctor.examine(config, tmp_path / "new" / "features")
    }
    assert "--shm-size" in found["shared memory"] and "RAY_TMPDIR" in found["Ray's folder"]
    assert not found["decoding"] and not found["disk"]
    assert doctor.print_examination(config, tmp_path) == 1
    assert "✗" in capsys.readouterr().out
