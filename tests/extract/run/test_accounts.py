"""What a run keeps of failures: few writes of many, and tracebacks that a line can't hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from rhas.extract.decode.process import DecodeError
from rhas.extract.run import accounts
from rhas.extract.run.accounts import MAX_TRACEBACKS, Accounts
from rhas.extract.run.progress import Progress
from rhas.manifests.shards.failures import read_failures
from rhas.manifests.shards.layout import FeaturesFolder
from rhas.manifests.tables.manifest import Manifest, Movie


def test_tracebacks_of_workers_are_kept_where_the_reason_does_not_explain_itself(tmp_path: Path) -> None:
    books = Accounts(FeaturesFolder(tmp_path), Manifest(Path("m.csv"), ()))
    remote = RuntimeError("shapes differ")
    remote.add_note('\x1b[36mray::ModelWorker.encode()\x1b[39m\n  File "blip2.py", line 7, in see')
    books.keep_traceback("movie a, window 3, model", remote)
    books.keep_traceback("movie b", DecodeError("no such file"))
    for _ in range(MAX_TRACEBACKS):
        books.keep_traceback("movie c", ValueError("here"))
    text = (tmp_path / "tracebacks.txt").read_text()
    assert text.count("--- ") == MAX_TRACEBACKS and "movie b" not in text
    assert 'movie a, window 3, model\nray::ModelWorker.encode()\n  File "blip2.py", line 7, in see\n' in text
    assert "ValueError: here" in text


def test_many_failures_are_written_a_few_times_and_all_of_them_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once for each would take their square. On this clock a row takes as long as a movie."""
    clock, writing, count = 0.0, 0.0, 2000
    really = accounts.write_failures

    def write(path, failures):
        nonlocal clock, writing
        clock, writing = clock + len(failures), writing + len(failures)
        if len(failures) == count:
            really(path, failures)

    monkeypatch.setattr(accounts, "write_failures", write)
    monkeypatch.setattr(accounts.time, "monotonic", lambda: clock)
    movies = tuple(Movie(f"m{i}", Path("gone.mp4"), ()) for i in range(count))
    books, progress = Accounts(FeaturesFolder(tmp_path), Manifest(Path("m.csv"), movies)), Progress()
    for movie in movies:
        clock += 1
        progress.failed_movies[movie.movie_id] = ("probe", "no such file")
        books.update(movie.movie_id, None, progress)
    assert 0 < writing < 2 * count
    books.close(progress)
    assert len(read_failures(tmp_path / "failures.csv")) == count
