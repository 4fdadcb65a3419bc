"""Stage 1 over many small films, one huge one, and very many that are finished: what each costs beside its models.

Films are made here, models are preset `tiny-random`'s. CPU seconds are those of each process of a run, from /proc,
told apart by what they do: the driver (the command's own process), decoders, models, the writer.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from rhas.manifests.shards.identity import movie_identity
from rhas.manifests.shards.layout import FeaturesFolder
from rhas.manifests.shards.ledger import Ledger
from rhas.manifests.tables.manifest import load_manifest
from tests.helpers.process_tree import command, process_tree

RHAS = str(Path(sys.executable).with_name("rhas"))
OUT = Path("bench") / "many-films"
SMALL, HUGE_H, FINISHED = 500, 10, 100_000
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_KINDS = {"DecodeWorker": "decoder", "ModelWorker": "models", "WriteWorker": "writer", "LinkWorker": "linker"}


@dataclass
class Spent:
    """What a run took: its wall seconds, CPU seconds by kind of process, and the highest memory in MiB by kind."""

    wall_s: float = 0.0
    cpu_s: dict[str, float] = field(default_factory=dict)
    peak_mib: dict[str, float] = field(default_factory=dict)


def spent(arguments: list[str], every_s: float = 0.1) -> Spent:
    """Runs `rhas` with arguments, looking at its processes so often; what they do after the last look isn't seen."""
    began = time.perf_counter()
    process = subprocess.Popen([RHAS, *arguments], stdout=subprocess.DEVNULL)
    cpu_s: dict[tuple[int, str], float] = {}
    peak: dict[str, float] = defaultdict(float)
    while process.poll() is None:
        memory: dict[str, float] = defaultdict(float)
        for pid in set(process_tree(process.pid)):
            kind = _kind(pid, process.pid)
            try:
                values = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            except OSError:  # it has ended
                continue
            cpu_s[pid, kind] = (int(values[11]) + int(values[12])) * _TICK_S
            memory[kind] += int(values[21]) * os.sysconf("SC_PAGE_SIZE") / 2**20
        for kind, mib in memory.items():
            peak[kind] = max(peak[kind], mib)
        time.sleep(every_s)
    if process.returncode:
        raise SystemExit(f"rhas {' '.join(arguments)} ended with {process.returncode}")
    by_kind: dict[str, float] = defaultdict(float)
    for (_, kind), seconds in cpu_s.items():
        by_kind[kind] += seconds
    return Spent(time.perf_counter() - began, dict(by_kind), dict(peak))


def _kind(pid: int, driver: int) -> str:
    if pid == driver:
        return "driver"
    line = command(pid)
    return next(
        (kind for name, kind in _KINDS.items() if name in line), "decoder"
    )  # whose children read films


def many_small() -> list[dict]:
    """Driver and writer milliseconds a film: 500 of a second each, less what one film of as many samples takes."""
    films = {"small": (SMALL, 1), "one": (1, SMALL)}
    runs = {}
    for name, (count, seconds) in films.items():
        folder = OUT / name
        shutil.rmtree(folder, ignore_errors=True)
        manifest = _films(folder, count, seconds, fps=5)
        runs[name] = spent(_extract(manifest, folder))
    small, one = runs["small"], runs["one"]
    each_ms = {
        kind: 1000 * (small.cpu_s.get(kind, 0) - one.cpu_s.get(kind, 0)) / SMALL
        for kind in ("driver", "decoder", "models", "writer")
    }
    rows = [
        {
            "what": f"{SMALL} films of 1 s / one film of {SMALL} s, wall", "ratio": small.wall_s / one.wall_s,
            "aim": "shown", **{f"{kind}_ms_a_film": ms for kind, ms in each_ms.items()},
        },
        {
            "what": "films/s that one writer keeps up with", "ratio": 1000 / max(each_ms["writer"], 1e-3),
            "aim": "shown", "driver_keeps_up_with": 1000 / max(each_ms["driver"], 1e-3),
        },
    ]  # fmt: skip
    return rows


def one_huge() -> list[dict]:
    """Memory of a run over a film of ten hours over that of one of half an hour, and seconds a sample over it."""
    runs = {}
    for hours in (HUGE_H / 20, HUGE_H):
        folder = OUT / f"{hours} h"
        shutil.rmtree(folder, ignore_errors=True)
        manifest = _films(folder, 1, int(hours * 3600), fps=1)
        settings = ["--set", "decode.fps=1", "--set", "decode.window_frames=32", "--memory", "0.05"]
        runs[hours] = spent(_extract(manifest, folder, *settings))
    short, long = runs[HUGE_H / 20], runs[HUGE_H]
    rows = []
    for kind in ("driver", "decoder", "models", "writer"):
        rows.append({
            "what": f"{HUGE_H} hours / half an hour: memory of the {kind}",
            "ratio": long.peak_mib[kind] / short.peak_mib[kind], "aim": "<= 1.1", "MiB": long.peak_mib[kind],
        })  # fmt: skip
    cpu = [sum(run.cpu_s.values()) for run in (short, long)]
    rows.append({
        "what": f"CPU seconds a sample, {HUGE_H} hours / half an hour", "ratio": cpu[1] / cpu[0] / 20,
        "aim": "<= 1", **{f"{kind}_s": seconds for kind, seconds in long.cpu_s.items()},
    })  # fmt: skip
    return rows


def finished() -> list[dict]:
    """Seconds of a rerun where all of 100 000 films are finished: all files are there, of one film's contents."""
    folder = OUT / "finished"
    shutil.rmtree(folder, ignore_errors=True)
    manifest = _films(folder, 1, 1, fps=5)
    spent(_extract(manifest, folder))
    _multiply(folder, manifest, FINISHED)
    run = spent(_extract(manifest, folder))
    return [{
        "what": f"a rerun over {FINISHED} finished films, seconds of 60", "ratio": run.wall_s / 60, "aim": "<= 1",
        "driver_cpu_s": run.cpu_s["driver"], "driver_MiB": run.peak_mib["driver"],
    }]  # fmt: skip


def _extract(manifest: Path, folder: Path, *settings: str) -> list[str]:
    return ["extract", "--movies", str(manifest), "--out", str(folder / "features"),
            "--preset", "tiny-random", "--cpus", "1", *settings]  # fmt: skip


def _films(folder: Path, count: int, seconds: int, fps: int) -> Path:
    """Films of so many seconds, each under its own name and with its own first grey, and their manifest."""
    (folder / "films").mkdir(parents=True)
    rows = ["movie_id,video,person_id,reference"]
    for number in range(count):
        _film(folder / "films" / f"{number}.mp4", seconds, fps, number)
        rows.append(f"f{number},films/{number}.mp4,p,the man in the red shirt")
    path = folder / "manifest.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


def _film(path: Path, seconds: int, fps: int, seed: int) -> None:
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=fps)
        stream.height, stream.width, stream.pix_fmt = 96, 160, "yuv420p"
        stream.options = {"preset": "ultrafast", "crf": "32", "g": "30"}
        for number in range(seconds * fps):
            image = np.full((96, 160, 3), (seed + number) % 256, np.uint8)
            image[20:70, 40 + number % 60 : 70 + number % 60] = 255 - image[0, 0]
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def _multiply(folder: Path, manifest: Path, count: int) -> None:
    """Makes many finished films of the one that is there: hard links, a line of the ledger for each."""
    rows = [f"f{number},films/{number % 1000}.mp4,p,the man in the red shirt" for number in range(count)]
    manifest.write_text("\n".join(["movie_id,video,person_id,reference", *rows]) + "\n")
    for number in range(1, 1000):
        os.link(folder / "films" / "0.mp4", folder / "films" / f"{number}.mp4")
    features = FeaturesFolder(folder / "features")
    known = Ledger(features).known("f0")
    assert known is not None
    # File systems allow a file only so many links.
    source = features.shard("f0")
    lines = []
    config = json.loads(features.config.read_text())
    for number, movie in enumerate(load_manifest(manifest).movies):
        shard = features.shard(movie.movie_id)
        if number % 10_000 == 0 and number:
            shutil.copy2(source, shard)
            source = shard
        elif number:
            os.link(source, shard)
        identity = movie_identity(config["extraction"], known.identity["video"], movie.persons)
        lines.append(replace(known, movie_id=movie.movie_id, identity=identity).to_json())
    features.finished.write_text("\n".join(lines) + "\n")
