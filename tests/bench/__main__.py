"""`make bench`: the project's claims about speed and memory, each as a ratio measured in one run.

    python -m tests.bench [NAME ...]     # all, or some of the functions registered below

Prints a table and writes bench/results.json. Models are full-size with random weights: what they cost does
not depend on what they have learned. Nothing here is asserted; the table shows the aim beside the result.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tests.bench.arithmetic import arithmetic
from tests.bench.decode import decode
from tests.bench.decode_size import decode_size
from tests.bench.gpus import scheduling
from tests.bench.gpus_virtual import in_virtual_time
from tests.bench.many_films import finished, many_small, one_huge
from tests.bench.noise import noise_movie
from tests.bench.peers import peers
from tests.bench.process_memory import peak_bytes
from tests.bench.samples import samples
from tests.bench.sparse_features import sparse_features
from tests.bench.tables import tables
from tests.bench.training import TRAINING_BENCHES

OUT = Path("bench")
RHAS = str(Path(sys.executable).with_name("rhas"))
FULL = ["detector.weights=random:full", "encoder.weights=random:full", "detector.box_threshold=0.0"]
SENTENCES = [
    "the man with the blue hat",
    "the woman in the red coat",
    "the tall person",
    "the child on the left",
]


def _models(preset: str, *settings: str):
    import torch

    from rhas.extract.config import load_config
    from rhas.extract.run.workers import ModelWorker
    from rhas.extract.weights.hardware import cpu_has_bfloat16

    torch.set_num_threads(1)  # as many as the workers of `rate` get; on busy machines more are slower
    config = load_config(preset, FULL + list(settings)).resolved(cpu_has_bfloat16())  # as an extraction's
    return ModelWorker(config, 4, "cpu").models


def _manifest(folder: Path, movies: list[Path], persons: int) -> Path:
    rows = ["movie_id,video,person_id,reference"]
    rows += [f"{movie.stem},{movie.name},p{i},{SENTENCES[i]}" for movie in movies for i in range(persons)]
    path = folder / "manifest.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


def one_pass() -> list[dict]:
    """Model seconds of four persons in one pass, over four runs of one person each. Full-size towers."""
    from rhas.extract.decode.process import Frames
    from rhas.extract.decode.windows import WindowFrames
    from rhas.manifests.tables.manifest import Person

    frames = 1
    pixels = np.random.default_rng(0).integers(0, 255, (frames, 480, 854, 3), dtype=np.uint8)
    window = WindowFrames(Frames(pixels, np.ones(frames, bool), "", False, 0), 0)
    persons = [Person("m", f"p{i}", sentence) for i, sentence in enumerate(SENTENCES)]
    inside = [np.ones(frames, bool)] * len(persons)
    seconds: dict[str, dict[str, float]] = {}
    for preset in ("clip", "blip2"):
        models = _models(preset)
        models.process(window, persons[:1], inside[:1])  # warm-up
        _, together = models.process(window, persons, inside)
        single = [models.process(window, [person], inside[:1])[1] for person in persons]
        seconds[preset] = {
            "ground_one_pass": together.ground_s, "encode_one_pass": together.encode_s,
            "ground_single": sum(t.ground_s for t in single), "encode_single": sum(t.encode_s for t in single),
        }  # fmt: skip
        if preset == "clip":
            joint = _models(preset, "detector.joint=true")
            joint.process(window, persons, inside)
            seconds[preset]["ground_joint"] = joint.process(window, persons, inside)[1].ground_s
        del models
    joint_s = seconds["clip"]["ground_joint"]
    rows = []
    for preset, s in seconds.items():
        alone = s["ground_single"] + s["encode_single"]
        rows.append({
            "what": f"four persons in one pass / four runs, {preset}, one fusion per person",
            "ratio": (s["ground_one_pass"] + s["encode_one_pass"]) / alone, "aim": "<= 0.40", **s,
        })  # fmt: skip
        rows.append({
            "what": f"the same with one caption for all persons (detector.joint), {preset}",
            "ratio": (joint_s + s["encode_one_pass"]) / alone, "aim": "<= 0.40",
        })  # fmt: skip
    return rows


def rate() -> list[dict]:
    """Extraction rate over the models' own rate when fed from memory: the same frames, the same models."""

    from rhas.extract.config import RunOptions, load_config
    from rhas.extract.decode.process import DecoderProcess
    from rhas.extract.decode.windows import WindowDecoder
    from rhas.extract.run.run import extract
    from rhas.manifests.tables.inputs import load_inputs

    settings = ["detector.short_side=320", "detector.long_side=568", "decode.window_frames=8", "decode.fps=5"]
    folder = OUT / "rate"
    shutil.rmtree(folder, ignore_errors=True)
    movie = noise_movie(folder / "movie.mp4", 12.8, 25, (480, 854))
    config = load_config("clip", FULL + settings)
    inputs = load_inputs(_manifest(folder, [movie], 1))
    summary = extract(inputs, folder / "features", config, RunOptions(cpus=1, batch=4))
    models = _models("clip", *settings)
    with DecoderProcess() as decoder:
        window = WindowDecoder(decoder, 0).read(movie, np.arange(0, 16) * 5, 0, 0, (480, 854))
    person, inside = inputs.manifest.persons[0], np.ones(16, bool)
    models.process(window, [person], [inside])
    clock = time.perf_counter()
    models.process(window, [person], [inside])
    alone = 16 / (time.perf_counter() - clock)
    in_run = summary.report["frames_per_s"]
    return [{
        "what": "extraction rate / models' rate from memory, full-size Swin-T and ViT-B/32 at 320x568",
        "ratio": in_run / alone, "aim": ">= 0.90", "frames_per_s": in_run, "frames_per_s_from_memory": alone,
        "own_report": summary.report["share_of_models_alone"],
    }]  # fmt: skip


def memory() -> list[dict]:
    """Peak memory of extracting a 20-minute movie over that of a 2-minute movie, everything that runs included."""

    peaks = {}
    for minutes in (2, 20):
        folder = OUT / f"memory-{minutes}"
        shutil.rmtree(folder, ignore_errors=True)
        movie = noise_movie(folder / "movie.mp4", minutes * 60, 15, (96, 160))
        command = [RHAS, "extract", "--movies", str(_manifest(folder, [movie], 1)), "--out", str(folder / "features"),
                   "--preset", "tiny-random", "--memory", "0.02"]  # fmt: skip
        code, peaks[minutes] = peak_bytes(command)
        if code:
            raise SystemExit(f"{' '.join(command)} ended with {code}")
    return [{
        "what": "peak memory of a 20-minute movie / of a 2-minute movie",
        "ratio": peaks[20] / peaks[2], "aim": "<= 1.1",
        "MiB_20_minutes": peaks[20] / 2**20, "MiB_2_minutes": peaks[2] / 2**20,
    }]  # fmt: skip


def world() -> list[dict]:
    """How fast movies of the made world are made, drawn and coded, on one core."""
    from rhas.pipeline.world.writing import World, write_world

    shutil.rmtree(OUT / "world", ignore_errors=True)
    frames: list[int] = []
    began = time.perf_counter()
    write_world(OUT / "world", World(movies=6), made=frames.append)
    rate = sum(frames) / (time.perf_counter() - began)
    return [
        {"what": "frames/s of made movies, of 300", "ratio": rate / 300, "aim": ">= 1", "frames_per_s": rate}
    ]


BENCHES: dict[str, Callable[[], list[dict]]] = {
    "memory": memory,
    "rate": rate,
    "one_pass": one_pass,
    "world": world,
    "tables": tables,
    "samples": samples,
    "decode": decode,
    "decode_size": decode_size,
    "many_small": many_small,
    "one_huge": one_huge,
    "finished": finished,
    "sparse_features": sparse_features,
    "arithmetic": arithmetic,
    "gpus": scheduling,
    "peers": peers,
    "gpus_virtual": in_virtual_time,
    **TRAINING_BENCHES,
}


def main() -> None:
    from rich.console import Console
    from rich.table import Table

    OUT.mkdir(exist_ok=True)
    results = OUT / "results.json"
    known = json.loads(results.read_text()) if results.exists() else {}
    for name in sys.argv[1:] or BENCHES:
        clock = time.perf_counter()
        known[name] = BENCHES[name]()
        print(f"{name}: {time.perf_counter() - clock:.0f} s", flush=True)
        results.write_text(json.dumps(known, indent=2) + "\n")
    table = Table("what", "ratio", "aim", "measured")
    for rows in known.values():
        for row in rows:
            details = ", ".join(
                f"{k} {v:.2f}" for k, v in row.items() if k not in ("what", "ratio", "aim") and v is not None
            )
            table.add_row(row["what"], f"{row['ratio']:.2f}", row["aim"], details)
    Console(width=None if sys.stdout.isatty() else 160).print(table)


if __name__ == "__main__":
    main()
