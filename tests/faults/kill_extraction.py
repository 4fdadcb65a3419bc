"""Extractions whose processes are killed at random moments, taken up again, and compared with an undisturbed one.

Generators are seeded; what a kill meets is up to the machine. In: a folder to work in. Out: how many kills of what.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from extractions import WORKERS, assert_same, problems, series
from numbered_movies import regular, write_movie
from process_tree import assert_ended, command, process_tree, processes

from rhas.extract.config import RunOptions, load_config
from rhas.extract.run.accounts import EXIT_DONE
from rhas.extract.run.run import extract
from rhas.manifests.shards.layout import FeaturesFolder
from rhas.manifests.tables.inputs import load_inputs

SETTINGS = ["decode.window_frames=8", "detector.follow_frames=2"]
# Two passes over each movie, and linking between them; not every sample is encoded.
TRACKED = [*SETTINGS, "tracks.implementation=builtin", "encoder.crop_every=3", "encoder.frame_every=2"]
FRAMES = {"a": 240, "b": 90}
SAMPLES = sum(frames // 2 for frames in FRAMES.values())  # at 15/s of 30/s


def write_movies(folder: Path) -> Path:
    """Two movies of three referred persons in all; returns the manifest."""
    folder.mkdir(parents=True)
    for name, frames in FRAMES.items():
        write_movie(folder / f"{name}.mp4", regular(frames))
    manifest = folder / "manifest.csv"
    manifest.write_text(
        "movie_id,video,person_id,reference\na,a.mp4,p,the tall person\na,a.mp4,q,the person on the left\n"
        "b,b.mp4,p,the person in the red shirt\n"
    )
    return manifest


@dataclass(frozen=True)
class Undisturbed:
    """What an extraction that nobody disturbs makes of a manifest with some settings."""

    manifest: Path
    settings: list[str]
    looked: int  # frames that the detector saw
    series: dict

    @classmethod
    def extracted(cls, manifest: Path, out: Path, settings: list[str]) -> Undisturbed:
        config = load_config("tiny-random", settings)
        summary = extract(load_inputs(manifest), out, config, RunOptions(batch=8))
        assert summary.exit_code == EXIT_DONE
        return cls(manifest, settings, summary.report["looked_frames"], series(out))


def kill_workers(undisturbed: Undisturbed, folder: Path, kills: int, seed: int) -> Counter[str]:
    """Kills workers of running extractions, of any kind; each extraction still does all of its work in one go."""
    drawn, met, rounds = random.Random(seed), Counter[str](), 0
    while sum(met.values()) < kills:
        out = folder / f"workers-{rounds}"
        rounds += 1
        # attempts of a window: kills never end. Rounds take turns with Ray and without it.
        options = RunOptions(batch=8, deadline_s=30, attempts=1000, ray=rounds % 2 == 0)
        config = load_config("tiny-random", undisturbed.settings)
        with _killing(drawn, met, kills):
            summary = extract(load_inputs(undisturbed.manifest), out, config, options)
        assert summary.exit_code == EXIT_DONE, summary.failures
        assert summary.report["frames"] == SAMPLES, "a window was finished twice"
        assert summary.report["looked_frames"] == undisturbed.looked, "a window was looked at twice"
        _assert_whole(out, undisturbed)
    met["extractions"] = rounds
    return met


def kill_drivers(undisturbed: Undisturbed, folder: Path, kills: int, seed: int) -> Counter[str]:
    """Kills `rhas extract` itself, and starts it again; nothing that was stored is computed again."""
    drawn, met, rounds, everyone = random.Random(seed), Counter[str](), 0, list[int]()
    seconds = 12.0  # about what one needs; the last one's, later
    while met["driver"] < kills:
        out = folder / f"drivers-{rounds}"
        rounds += 1
        while True:
            before = _stored(out)
            ray = ["--ray"] if drawn.random() < 0.5 else []
            process = subprocess.Popen(
                [*extract_command(undisturbed.manifest, out, undisturbed.settings), *ray],
                stdout=subprocess.DEVNULL,
            )
            clock = time.monotonic()
            last = met["driver"] >= kills
            if _ended_within(process, 600 if last else drawn.uniform(1, seconds)):
                assert process.returncode == EXIT_DONE
                seconds = time.monotonic() - clock
                break
            others = list(process_tree(process.pid))
            workers = [pid for pid in others if any(name in command(pid) for name in WORKERS.values())]
            process.kill()
            process.wait()
            assert_ended(workers)
            everyone += others
            met["driver"] += 1
            met[
                "driver, with windows stored"
                if _stored(out) or any(out.glob("shards/[!.]*"))
                else "driver, before any"
            ] += 1
            _assert_kept(before, out)
        _assert_whole(out, undisturbed)
    # Ray's own agents hold nothing, and take a minute to notice that their Ray is gone.
    assert_ended(everyone, within_s=90)
    met["extractions"] = rounds
    return met


def extract_command(manifest: Path, out: Path, settings: Sequence[str] = SETTINGS) -> list[str]:
    set_to = [argument for setting in settings for argument in ("--set", setting)]
    return [sys.executable, "-m", "rhas.pipeline.cli", "extract", "--movies", str(manifest), "--out", str(out),
            "--preset", "tiny-random", "--batch", "8", *set_to]  # fmt: skip


def _ended_within(process: subprocess.Popen[bytes], seconds: float) -> bool:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def _stored(out: Path) -> dict[tuple[str, str], int]:
    """Movies and windows (of both passes, where there are two), and tracks, that are safe on disk, with the time at
    which they were written."""
    files = [(path.parent.name, path) for path in out.glob("parts/*/[!.]*")]
    files += [(path.stem, path) for path in out.glob("tracks/[!.]*")]
    return {(movie, path.name): path.stat().st_mtime_ns for movie, path in files}


def _assert_kept(before: dict[tuple[str, str], int], out: Path) -> None:
    """What was stored is there as it was written then, or in its movie's shard, or tracks."""
    now, folder = _stored(out), FeaturesFolder(out)
    for (movie, name), written in before.items():
        seen = name.startswith("seen-") and folder.tracks(movie).exists()
        # Tracks are made once more where their maker was killed before it had cleared up what they were made of.
        made = folder.tracks(movie).name == name and folder.tracks(movie).exists()
        gone_into = seen or made or (folder.shard(movie).exists() and not name.endswith(".npz"))
        assert now.get((movie, name)) == written or gone_into, f"{movie} {name} was lost, or redone"


@contextmanager
def _killing(drawn: random.Random, met: Counter[str], kills: int) -> Iterator[None]:
    """Within it, workers below this process are killed, one after the other, until there were so many kills."""
    over = threading.Event()

    def kill_on() -> None:
        while sum(met.values()) < kills and not over.wait(drawn.uniform(0.1, 2.5)):
            kind = drawn.choice(list(WORKERS))
            if found := processes(WORKERS[kind]):
                os.kill(drawn.choice(sorted(found)), signal.SIGKILL)
                met[kind] += 1

    thread = threading.Thread(target=kill_on)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _assert_whole(out: Path, undisturbed: Undisturbed) -> None:
    """Exactly the frames, times, boxes and features of the undisturbed, and nothing besides."""
    assert problems(out) == []
    assert_same(undisturbed.series, series(out))
    assert not list(out.rglob("*.tmp")) and not (out / "parts").exists()
