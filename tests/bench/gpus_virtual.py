"""Scheduling in virtual time: the real scheduler over 1 to 256 GPUs, and with 1 to 4 decoder cores for each.

Times of a window are those of `tests.bench.gpus`, and as long as 1080p movie takes in memory; what the driver and the
writer pay per window was measured there, with Ray (`rhas.extract.plan.forecast`). It takes seconds on any machine.

    python -m tests.bench gpus_virtual
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from rhas.extract.config import DECODERS_PER_GPU, RunOptions, default_memory_bytes, load_config
from rhas.extract.decode.index import MovieIndex
from rhas.extract.decode.sampling import Grid, sample
from rhas.extract.plan.forecast import DRIVER_S
from rhas.extract.run.jobs import ENCODING, MovieJob
from rhas.extract.run.progress import Progress
from rhas.extract.run.schedule import Scheduler
from rhas.extract.run.workers import ModelReport, ReadReport
from rhas.manifests.shards.format import MovieHeader
from rhas.manifests.tables.manifest import Movie, Person
from tests.bench.gpus import DECODING_S, MODELS_S, WINDOW
from tests.bench.virtual_pool import VirtualPool
from tests.helpers.made_index import made_index

WRITING_S = DRIVER_S  # as long: bench row gpus
RESULTS_A_WINDOW = 3  # read, encoded, written
WINDOWS, MOVIES = 100, 4  # for each GPU: 1.5 h of movie; a run of four minutes at the ideal rate


def in_virtual_time() -> list[dict]:
    """The share of the ideal rate that is reached: per number of GPUs, of decoders, with the memory of one GPU."""
    rows = [share(gpus) for gpus in (1, 2, 4, 8, 16, 32, 64, 128, 256)]
    rows += [share(8, decoders) for decoders in (1, 2, 4)]
    return [*rows, share(8, memory_bytes=default_memory_bytes(1))]


def share(gpus: int, decoders: int = DECODERS_PER_GPU, memory_bytes: int | None = None) -> dict:
    """`decoders`: for each GPU."""
    memory_bytes = memory_bytes or default_memory_bytes(gpus)
    options = RunOptions(gpus=gpus, memory_bytes=memory_bytes)
    pool = VirtualPool(
        [f"model {i}" for i in range(gpus)], [f"decoder {i}" for i in range(decoders * gpus)],
        seconds=_seconds, answer=_answer, driver_s=DRIVER_S / RESULTS_A_WINDOW,
    )  # fmt: skip
    movies = [
        Movie(f"f{i}", Path(f"f{i}.mp4"), (Person(f"f{i}", "p", "the man in the red shirt"),))
        for i in range(MOVIES * gpus)
    ]
    config = load_config("blip2")
    Scheduler(pool, config, options, Progress(), _open_movie).run(iter(movies))
    ideal_s = WINDOWS * MODELS_S
    kind = f"{gpus} GPUs" + (f", {decoders} decoders each" if decoders != DECODERS_PER_GPU else "")
    if memory_bytes != default_memory_bytes(gpus):
        kind += f", --memory {memory_bytes >> 30}"
    return {
        "what": f"{kind}: share of the ideal rate, in virtual time", "ratio": ideal_s / pool.now_s,
        "aim": ">= 0.95" if gpus <= 8 else ">= 0.90",
        "driver_busy": DRIVER_S * WINDOWS * gpus / pool.now_s, "writer_busy": pool.busy_s["writer"] / pool.now_s,
        "decoders_busy": DECODING_S * WINDOWS / decoders / pool.now_s,
    }  # fmt: skip


def _seconds(method: str, args: tuple[Any, ...]) -> float:
    whole = {"read": DECODING_S, "encode": MODELS_S, "write": WRITING_S}.get(method, 0.0)
    return whole * (args[0].stop - args[0].start) / WINDOW if method in ("read", "encode") else whole


def _answer(method: str, args: tuple[Any, ...]) -> Any:
    if method == "probe":
        index = made_index(WINDOW * WINDOWS // MOVIES, 15.0, 1080, 1920)
        return index, sample(index.start_s, index.end_s, 15.0)
    if method == "read":
        return ReadReport(WINDOW, WINDOW, "", False, DECODING_S)
    if method == "encode":
        return ModelReport(WINDOW, 0.0, 0.0, MODELS_S)
    if method == "seal":
        return 0.0, None
    return {} if method == "describe" else 0.0


def _open_movie(movie: Movie, index: MovieIndex, grid: Grid) -> MovieJob:
    header = MovieHeader(
        movie_id=movie.movie_id, video=str(movie.video), identity={"video": index.facts.digest}, config={}, models={},
        versions={}, source=asdict(index.facts), fps=15.0,
        window_frames=WINDOW, time_s=grid.time_s, source_frame=grid.source_frame, persons=movie.persons,
        feature_shape=(768,),
    )  # fmt: skip
    return MovieJob(header, set(header.planned()), ENCODING)
