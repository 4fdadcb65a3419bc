"""What several writers of one folder say, and what is made of it: each movie's word is that of who had it last."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from feature_folders import make_movie, manifest_of, write_folder

from rhas.manifests.common.errors import InputError
from rhas.manifests.common.lock import locked
from rhas.manifests.shards.failures import movie_failure, read_failures, write_failures
from rhas.manifests.shards.layout import FeaturesFolder
from rhas.manifests.shards.ledger import Finished, Ledger
from rhas.manifests.shards.ranks import (
    Rank,
    RankFolder,
    among_its_own,
    merge,
    merged_report,
    recorded_failures,
    take_over,
    take_share,
)
from rhas.manifests.shards.verify import verify

MOVIES = [make_movie(name, samples=16) for name in ("a", "b", "c")]


@pytest.fixture
def whole(tmp_path: Path) -> FeaturesFolder:
    return write_folder(tmp_path / "out", MOVIES)


def rank(whole: FeaturesFolder, number: int, of: int) -> RankFolder:
    folder = RankFolder(whole.root, rank=Rank(number, of))
    folder.own.mkdir(parents=True, exist_ok=True)
    return folder


def reasons(whole: FeaturesFolder) -> dict[str, str]:
    return {f.movie_id: f.reason for f in recorded_failures(whole) if f.whole_movie}


def say(folder: RankFolder, movies: list[str], reason: str) -> None:
    take_share(folder, movies)
    write_failures(folder.failures, [movie_failure(movie, "probe", reason) for movie in movies if reason])


def problems(whole: FeaturesFolder) -> list[str]:
    return [problem for check in verify(whole.root) for problem in check.problems]


def test_who_had_a_movie_last_says_what_failed(whole: FeaturesFolder) -> None:
    assert problems(whole) == []
    for movie in ("a", "b", "c"):
        whole.shard(movie).unlink()
    write_failures(whole.failures, [movie_failure(m, "probe", "before") for m in ("a", "b")])
    assert reasons(whole) == {"a": "before", "b": "before"}
    say(rank(whole, 0, 2), ["a", "c"], "first")
    assert reasons(whole) == {"a": "first", "b": "before", "c": "first"}
    say(rank(whole, 1, 2), ["b"], "first")
    say(rank(whole, 0, 3), ["a"], "")  # with another number of ranks it went well
    say(rank(whole, 2, 3), ["b"], "second")
    assert reasons(whole) == {"b": "second", "c": "first"}
    say(rank(whole, 0, 2), ["b", "c"], "third")  # the same name, other movies
    assert reasons(whole) == {"b": "third", "c": "third"}
    assert problems(whole) == ["a: no shard and no recorded failure"]


def test_all_that_ranks_say_is_merged_and_taken_over(whole: FeaturesFolder) -> None:
    before = read_failures(whole.failures)
    lost = {name: [f for f in before if f.movie_id == name] for name in "abc"}
    for number, names in enumerate((["c", "a"], ["b"])):
        folder = rank(whole, number, 2)
        take_share(folder, names)
        write_failures(folder.failures, [f for name in names for f in lost[name]])
        report = {"frames": 10, "elapsed_s": 5.0 + number, "frames_per_s": 2.0, "workers": {"models": 1}}
        folder.report.write_text(json.dumps(report))
        ledger = Ledger(folder)
        for name in names:
            ledger.add(Finished.of(whole.shard(name)))
    write_failures(whole.failures, [])
    merge(rank(whole, 0, 2), manifest_of(MOVIES))
    assert read_failures(whole.failures) == before and problems(whole) == []
    report = json.loads(whole.report.read_text())
    assert (report["ranks"], report["frames"], report["elapsed_s"], report["frames_per_s"]) == (
        2,
        20,
        6.0,
        4.0,
    )
    assert all(Ledger(whole).known(name) for name in "abc")
    take_over(whole)
    assert not list(whole.ranks.rglob("share.json"))
    assert sorted(read_failures(whole.failures), key=str) == sorted(before, key=str)
    assert all(Ledger(whole).known(name) for name in "abc")


def test_what_is_found_damaged_is_so_for_everyone(whole: FeaturesFolder) -> None:
    first, second = rank(whole, 0, 2), rank(whole, 1, 2)
    Ledger(first).add(Finished.of(whole.shard("a")))
    Ledger(second).add(Finished.of(whole.shard("a")))
    assert Ledger(whole).known("a")
    Ledger(whole).strike_out(["a"])
    assert not any(Ledger(folder).known("a") for folder in (whole, first, second))


def test_a_share_that_cant_be_read_is_told(whole: FeaturesFolder) -> None:
    folder = rank(whole, 0, 2)
    (folder.own / "share.json").write_text("{}")
    with pytest.raises(InputError, match=r"share\.json.*the share of a rank"):
        recorded_failures(whole)


HOLD = """
import sys
from pathlib import Path
from rhas.manifests.common.lock import locked
with locked(Path(sys.argv[1])):
    print(flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def other(whole: FeaturesFolder) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is rank 1 of 2."""
    command = [sys.executable, "-c", HOLD, str(rank(whole, 1, 2).lock)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"\n"
        yield process
        process.kill()


def test_ranks_share_a_folder_with_ranks_of_their_number_alone(
    whole: FeaturesFolder, other: subprocess.Popen[bytes]
) -> None:
    def begin(folder: FeaturesFolder) -> None:
        with locked(folder.lock), among_its_own(folder):
            pass

    begin(rank(whole, 0, 2))
    for folder in (whole, rank(whole, 0, 3)):
        with pytest.raises(InputError, match=rf"process {other.pid}.*one and the same number"):
            begin(folder)
    with pytest.raises(InputError, match=rf"process {other.pid}.*no other run"):
        begin(rank(whole, 1, 2))
    other.kill()
    other.wait()
    begin(whole)
    with locked(whole.lock), pytest.raises(InputError, match=f"process {os.getpid()}"):
        begin(rank(whole, 0, 2))


def test_a_report_of_none_and_of_ranks_without_a_measure() -> None:
    assert merged_report([])["frames"] == 0
    merged = merged_report([
        {"frames": 6, "frames_per_s": 3.0, "stage_s": {"encode": 2.0}, "models_alone_frames_per_s": 4.0},
        {"frames": 2, "frames_per_s": 1.0, "stage_s": {"encode": 1.0, "write": 0.5}, "models_alone_frames_per_s": None},
    ])  # fmt: skip
    assert (merged["stage_s"], merged["limiting_stage"]) == ({"encode": 3.0, "write": 0.5}, "encode")
    assert merged["share_of_models_alone"] is None
