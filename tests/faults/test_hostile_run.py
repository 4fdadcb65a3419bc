"""One extraction over many hostile movies and a few healthy ones: all is accounted for, the healthy lose nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import odd_movies
import pytest
from hostile_movies import bases, damaged, write

import rhas.extract.run.run
from rhas.extract.config import RunOptions, load_config
from rhas.extract.run.accounts import EXIT_DONE, EXIT_SOME_FAILED, Summary
from rhas.extract.run.schedule import Scheduler
from rhas.manifests.shards.failures import read_failures
from rhas.manifests.shards.reader import FeaturesReader
from rhas.manifests.shards.statistics import Tally
from rhas.manifests.shards.status import FrameStatus
from rhas.manifests.shards.verify import verify
from rhas.manifests.tables.inputs import load_inputs

HEALTHY = ("behind.mp4", "h264.ts", "vp9.webm", "mpeg4.avi")
KINDS = (
    "cut off",
    "flipped in front",
    "flipped behind",
    "frame overwritten",
    "zeroed range",
    "middle cut out",
)


def run(movies: dict[str, Path], out: Path, fps: int = 3, **options: object) -> Summary:
    manifest = out.with_suffix(".csv")
    rows = [f'{name},"{path}",p,the tall person' for name, path in movies.items()]
    manifest.write_text("\n".join(["movie_id,video,person_id,reference", *rows]) + "\n")
    config = load_config(
        "tiny-random", [f"decode.fps={fps}", "decode.window_frames=16", "detector.follow_frames=2"]
    )
    values = {"batch": 8, "max_failure_rate": 1.0, "deadline_s": 3.0} | options
    return rhas.extract.run.run.extract(load_inputs(manifest), out, config, RunOptions(**values))  # type: ignore[arg-type]


def checked(out: Path) -> Tally:
    checks = list(verify(out))
    assert [problem for check in checks for problem in check.problems] == []
    return Tally.sum(check.tally for check in checks if check.tally)


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("healthy")
    bases(folder)
    return {f"healthy_{i}": folder / name for i, name in enumerate(HEALTHY)}


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One movie of each kind of damage in each container that has it, and whatever is no movie."""
    folder = tmp_path_factory.mktemp("hostile")
    paths = []
    for base in bases(folder):
        cases = list(damaged(base, folder / f"{base.name}_spoilt", seed=5))
        for kind in KINDS[len(paths) % 2 :: 2]:
            paths.append(next(case.path for case in cases if case.kind == kind))
    paths += odd_movies.refused(folder).values()
    paths += [path for path, _ in odd_movies.bombs(folder).values()]
    paths += [movie for name, (movie, _) in odd_movies.healthy(folder).items() if "claims" in name]
    return {f"hostile_{i:02d}": path for i, path in enumerate(paths)}


def test_hostile_movies_are_recorded_and_healthy_ones_lose_nothing(
    healthy: dict[str, Path], hostile: dict[str, Path], tmp_path: Path
) -> None:
    assert len(hostile) >= 40
    alone, together = tmp_path / "alone", tmp_path / "together"
    assert run(healthy, alone).exit_code == EXIT_DONE
    names = [*hostile, *healthy]
    np.random.default_rng(0).shuffle(names)
    summary = run({name: (hostile | healthy)[name] for name in names}, together)

    assert summary.exit_code == EXIT_SOME_FAILED
    tally = checked(together)
    assert tally == summary.tally
    failures = read_failures(together / "failures.csv")
    assert all(failure.reason.strip() for failure in failures)
    # Each movie has features, or a reason, or both; and a reason wherever a frame is lost.
    refused = {failure.movie_id for failure in failures if failure.whole_movie}
    reader = FeaturesReader(together)
    assert refused | set(reader.movie_ids) == set(names) and not refused & set(reader.movie_ids)
    lost = {
        p.movie_id
        for p in reader.persons()
        if np.isin(p.status, (FrameStatus.UNDECODABLE, FrameStatus.FAILED)).any()
    }
    assert lost | refused == {failure.movie_id for failure in failures} <= set(hostile)
    assert sum(failure.frames for failure in failures) == tally.lost
    assert len(refused) > 15 and len(lost) > 2

    undisturbed = FeaturesReader(alone)
    for name in healthy:
        ours, theirs = reader.person(name, "p"), undisturbed.person(name, "p")
        for series in ("time_s", "source_frame", "status", "box", "holistic", "partial"):
            a, b = (np.array(getattr(person, series)[...], np.float64) for person in (ours, theirs))
            np.testing.assert_allclose(a, b, atol=2e-3, equal_nan=True, err_msg=f"{name} {series}")


def test_a_movie_longer_than_the_memory_runs_within_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    movie = write(tmp_path / "long.mp4", "libx264", frames=300, size=(96, 192))
    most = []

    class Watched(Scheduler):
        def _read(self, decoder: object, job: object) -> None:  # type: ignore[override]
            super()._read(decoder, job)  # type: ignore[arg-type]
            most.append(self.bytes_in_flight)

    monkeypatch.setattr(rhas.extract.run.run, "Scheduler", Watched)
    memory = 2 << 20
    summary = run({"long": movie}, tmp_path / "f", fps=30, decoders=2, memory_bytes=memory)
    assert summary.exit_code == EXIT_DONE and summary.tally.written == 300
    frame_bytes = 96 * 192 * 3
    assert 300 * frame_bytes > 7 * memory
    assert 16 * frame_bytes < max(most) <= memory  # two windows fit, and were there at once
    assert checked(tmp_path / "f").written == 300
