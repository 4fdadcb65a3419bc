"""Scheduling over 1 to 64 GPUs: the real scheduler, Ray and writer; pretend GPUs, models and decoders that only wait.

Times of a window of 256 samples, and where they are from:

| what | seconds | source |
|---|---:|---|
| models, one person | 2.4 | 0.82 + 2 · 0.53 TFLOP a frame (`rhas.extract.plan.plan`) at 200 TFLOP/s |
| decoding | 4.8 | 410 frames of 1080p at 24 a second, 86 frames/s on one core (measured with decord) |

The share is that of the ideal rate, of as many model workers that never wait. Pretend nodes have eight GPUs each. All
processes share this machine's few cores, which a real cluster's don't: with many GPUs all times are longer, by the
scale that the table has (RHAS_BENCH_SCALE multiplies it), so that waiting is measured and not this machine. What the
driver and the writer take of a core is measured apart; `tests.bench.gpus_virtual` says what becomes of it.
"""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np

from rhas.extract.decode.index import MovieIndex
from rhas.extract.decode.process import Frames
from rhas.extract.decode.sampling import Grid, sample
from rhas.extract.decode.windows import WindowFrames
from rhas.extract.run.workers import DecodeWorker, ModelReport, ModelWorker, ReadReport, WindowTask
from rhas.manifests.shards.format import Window, empty_rows
from rhas.manifests.shards.status import FrameStatus
from tests.helpers.made_index import made_index

MODELS_S, DECODING_S, WINDOW = 2.4, 4.8, 256
NODE_GPUS, NODE_CPUS = 8, 32
WINDOWS_PER_GPU = 16
FEATURES = (768,)
# Nobody's weights are read, and who is where is not asked before.
SETTINGS = ("detector.weights=random:full", "encoder.weights=random:full", "tracks.implementation=frames")
OUT = Path("bench") / "gpus"
GPUS_AT_FULL_SPEED = 16  # of two cores
SCALE = "RHAS_BENCH_SCALE"


def scale() -> float:
    """Asked when it is needed: the workers' processes get it with their environment."""
    return float(os.environ.get(SCALE, "1"))


class PretendDecoder(DecodeWorker):
    """Takes as long as decoding does; its frames are too small to be a burden."""

    def probe(self, movie_id: str, video: Path) -> tuple[MovieIndex, Grid]:
        index = made_index(int(video.read_text()), 15.0, 16, 16)
        return index, sample(index.start_s, index.end_s, 15.0)

    def read(self, task: WindowTask) -> tuple[ReadReport, WindowFrames]:
        time.sleep(scale() * DECODING_S * (task.stop - task.start) / WINDOW)
        count = len(task.source_frame)
        frames = Frames(np.zeros((count, 16, 16, 3), np.uint8), np.ones(count, bool), "", False, 0)
        return ReadReport(count, count, "", False, 0.0), WindowFrames(frames, task.lead)


class PretendModels(ModelWorker):
    """Takes as long as the models do; its features are as many as theirs."""

    def describe(self) -> dict[str, Any]:
        return {"models": {"detector": {}, "encoder": {}}, "feature_shape": list(FEATURES), "versions": {}}

    def prepare(self, sentences: Any) -> dict[str, Any]:
        return {}

    def speed_alone(self) -> None:
        """Nothing to compare with."""

    def encode(self, task: WindowTask, read: ReadReport, frames: WindowFrames) -> tuple[ModelReport, Window]:
        seconds = scale() * MODELS_S * (task.stop - task.start) / WINDOW
        time.sleep(seconds)
        persons = {}
        for person, inside in zip(task.persons, task.inside, strict=True):
            rows = empty_rows(inside[task.lead :], FEATURES, FrameStatus.DETECTED)
            rows.holistic[:], rows.partial[:], rows.box[:], rows.score[:] = 1, 1, (0, 0, 1, 1), 1
            persons[person.person_id] = rows
        window = Window(task.movie_id, task.index, task.start, task.stop, task.window_id, persons)
        return ModelReport(task.stop - task.start, seconds, 0.0, seconds), window


def scheduling(counts: tuple[int, ...] = (1, 8, 64)) -> list[dict]:
    """The share of the ideal rate that is reached, per number of GPUs."""
    return [_measure(count) for count in counts]


def _measure(gpus: int) -> dict:
    import ray
    from ray.cluster_utils import Cluster

    from rhas.extract.config import RunOptions, load_config
    from rhas.extract.run import ray_pool as ray_stage
    from rhas.extract.run.run import extract
    from rhas.manifests.tables.inputs import load_inputs

    folder = OUT / str(gpus)
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "movies").mkdir(parents=True)
    movies, windows = 2 * gpus, WINDOWS_PER_GPU * gpus
    rows = ["movie_id,video,person_id,reference"]
    for number in range(movies):
        (folder / "movies" / f"{number}.movie").write_text(str(windows // movies * WINDOW))
        rows.append(f"f{number},movies/{number}.movie,p,the man in the red shirt")
    (folder / "manifest.csv").write_text("\n".join(rows))
    nodes = [min(NODE_GPUS, gpus - first) for first in range(0, gpus, NODE_GPUS)]
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    before, scale_before = (ray_stage.DecodeWorker, ray_stage.ModelWorker), os.environ.get(SCALE)
    os.environ[SCALE] = str(scale() * max(1, gpus / GPUS_AT_FULL_SPEED))
    began_s: list[float] = []
    try:
        for count in nodes:
            cluster.add_node(num_gpus=count, num_cpus=4 * count, object_store_memory=200 << 20)
        ray.init(address=cluster.address, log_to_driver=False)
        ray_stage.DecodeWorker, ray_stage.ModelWorker = PretendDecoder, PretendModels  # type: ignore[misc]
        options = RunOptions(gpus=gpus)
        clock = time.process_time()

        def listen(now: Any) -> None:
            if not began_s:
                began_s.append(time.process_time() - clock)

        summary = extract(
            load_inputs(folder / "manifest.csv"),
            folder / "features",
            load_config("blip2", SETTINGS),
            options,
            listen,
        )
        driver_s = time.process_time() - clock - began_s[0]
    finally:
        ray_stage.DecodeWorker, ray_stage.ModelWorker = before  # type: ignore[misc]
        ray.shutdown()
        cluster.shutdown()
        slower = scale()
        os.environ.pop(SCALE) if scale_before is None else os.environ.update({SCALE: scale_before})
    report = summary.report
    # What is ideal begins when the first windows are read: nothing can be encoded before.
    seconds = report["elapsed_s"] - slower * DECODING_S
    ideal_s = slower * MODELS_S * windows / gpus
    shutil.rmtree(folder)
    return {
        "what": f"rate of {gpus} pretend GPUs / their ideal rate", "ratio": ideal_s / seconds,
        "aim": ">= 0.95" if gpus <= 8 else ">= 0.90", "seconds": report["elapsed_s"], "scale": slower,
        "driver_ms_a_window": 1000 * driver_s / windows,
        "writer_ms_a_window": 1000 * report["stage_s"]["write"] / windows,
    }  # fmt: skip
