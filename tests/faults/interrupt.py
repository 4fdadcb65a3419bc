"""SIGINT and SIGTERM at drawn moments of extract, train, run and benchmark: none is lost, nothing is left running.

In: a folder to work in, how many moments for which command, a seed. Out: how many of them the command answered, and how
many came when it had just finished. What a signal meets is up to the machine; the moments are drawn. Two
commands run beside each other: most of their time is waiting.
"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from process_tree import assert_ended, process_tree
from tiny_config import TINY
from toy_segmenter import toy_features

from rhas.manifests.common.interruption import EXIT_INTERRUPTED
from rhas.pipeline.world.writing import World, write_world

PIPELINE = """
out: out
stages:
  extract: {movies: movies/manifest.csv, preset: tiny-random, fps: 12, workers: 1, decoders: 1}
  train: {config: CONFIG, split: random, window: 20, set: [epochs=2, "data.proportions=[2, 1, 1]"]}
""".replace("CONFIG", TINY)
COMMANDS = ("extract", "train", "train on two", "run", "benchmark")
SMALL = ("--config", TINY, "--split", "random", "--window", "10", "--set", "data.proportions=[2, 1, 1]")


@dataclass(frozen=True)
class Case:
    """A command, the seconds in which its signals come, and what it says when it has finished or was interrupted."""

    arguments: tuple[str, ...]
    within_s: float
    finished: str
    interrupted: str


def cases(folder: Path) -> dict[str, Case]:
    """By command; makes what they work on."""
    write_world(folder / "movies", World(movies=4, seed=7, shortest_s=4, longest_s=5))
    (folder / "night.yaml").write_text(PIPELINE)
    features = str(toy_features(folder / "features").absolute())
    movies = str(folder / "movies" / "manifest.csv")
    return {
        "extract": Case(
            ("extract", "--movies", movies, "--out", str(folder / "extracted"), "--preset", "tiny-random",
             "--workers", "1", "--decoders", "1"),
            10, "promised", "finished windows are kept",
        ),
        "train": Case(
            ("train", "--shards", features, "--out", str(folder / "trained"), *SMALL, "--set", "epochs=40"),
            6, "best validation", "the same command goes on from the last checkpoint",
        ),
        "train on two": Case(
            ("train", "--shards", features, "--out", str(folder / "ranks"), *SMALL, "--set", "epochs=20",
             "--workers", "2"),
            15, "best validation", "the same command goes on from the last checkpoint",
        ),
        "run": Case(("run", str(folder / "night.yaml")), 16, "train: done", "what is finished stays"),
        "benchmark": Case(
            ("benchmark", "--shards", features, "--out", str(folder / "bench"), "--models", "hopadiff,actdiff",
             *SMALL, "--seeds", "1", "--set", "epochs=20"),
            10, "| hopadiff", "the same command goes on from what is finished",
        ),
    }  # fmt: skip


def interrupt(folder: Path, moments: dict[str, int], seed: int) -> Counter[str]:
    """Interrupts each command so often, each time where the last one left it, and then lets it finish."""
    folder.mkdir(parents=True, exist_ok=True)
    known = cases(folder)
    with ThreadPoolExecutor(2) as threads:
        met = [
            threads.submit(_interrupt_often, name, known[name], count, random.Random(f"{seed} {name}"))
            for name, count in moments.items()
        ]
    return sum((each.result() for each in met), Counter[str]())


def _interrupt_often(name: str, case: Case, count: int, draw: random.Random) -> Counter[str]:
    met = Counter[str]()
    signals = [signal.SIGINT, signal.SIGTERM]
    draw.shuffle(signals)
    for number in range(count):
        met[_interrupted(name, case, signals[number % 2], draw.uniform(0, case.within_s))] += 1
    ended = subprocess.run(_order(case), capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, f"{name}: {ended.stdout}{ended.stderr}"
    return met


def _order(case: Case) -> list[str]:
    return [sys.executable, "-P", "-m", "rhas.pipeline.cli", *case.arguments]


def _interrupted(name: str, case: Case, sent: signal.Signals, after_s: float) -> str:
    """What the signal met; an AssertionError if it was lost, or something goes on without the command."""
    process = subprocess.Popen(_order(case), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    while process.poll() is None and not _handles(process.pid):
        time.sleep(0.01)
    until = time.monotonic() + after_s
    while process.poll() is None and time.monotonic() < until:
        time.sleep(0.01)
    process.send_signal(sent)
    tree = list(process_tree(process.pid))
    said, _ = process.communicate(timeout=90)
    what = f"{name}, {sent.name} after {after_s:.2f} s: exit code {process.returncode}\n{said}"
    assert_ended(tree, within_s=90)  # Ray's agents look only now and then whether their raylet is still there
    if process.returncode == 0:
        assert case.finished in said, what
        return "finished"
    assert process.returncode == EXIT_INTERRUPTED, what
    assert f"interrupted; {case.interrupted}" in said, what
    return "interrupted"


def _handles(pid: int) -> bool:
    """Whether the process handles signals itself already: before, it ends as any program does."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt:")).split()[1]
    return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)
