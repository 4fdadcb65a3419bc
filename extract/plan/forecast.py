"""How long an extraction will take on so many GPUs and cores, what limits it, and what to add.

Model workers and decoders work side by side, so the slower of the two sets the pace, unless there are so many that the
one driver, which hands out windows, is slower still. What a schedule loses on top is `SCHEDULED`. It and the driver's
time were measured with pretend GPUs (docs/run/scheduling.md).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rhas.extract.config import DECODERS_PER_GPU
from rhas.extract.plan.plan import MoviePlan
from rhas.manifests.common.errors import InputError, Problem

SCHEDULED = 0.95  # share of the ideal rate
DRIVER_S = 0.010  # of one core of the driver for a window, and as much of the writer beside it
Limit = Literal["GPUs", "cores", "driver"]


@dataclass(frozen=True)
class Forecast:
    """Seconds of a run on `gpus` GPUs and `cores` cores, of which `decoders` decode; more of `limit` make it faster."""

    gpus: int
    cores: int
    decoders: int
    models_s: float
    decoding_s: float
    driver_s: float

    @property
    def seconds(self) -> float:
        return max(self.models_s, self.decoding_s, self.driver_s) / SCHEDULED

    @property
    def limit(self) -> Limit:
        if self.driver_s > max(self.models_s, self.decoding_s):
            return "driver"
        return "GPUs" if self.models_s >= self.decoding_s else "cores"


def check(gpus: int, cores: int | None, tflops: float) -> None:
    """Raises InputError for what no extraction could have."""
    problems = []
    if gpus < 0:
        problems.append(Problem("--gpus", "0 or more", value=gpus))
    if cores is not None and cores < max(1, gpus + 1 if gpus else 1):
        expected = f"at least {gpus + 1}: one for each GPU and one that decodes" if gpus > 0 else "at least 1"
        problems.append(Problem("--cpus", expected, value=cores))
    if not 0 < tflops < math.inf:
        problems.append(Problem("--tflops", "more than 0 TFLOP/s", value=tflops))
    if problems:
        raise InputError(problems)


def forecast(
    movies: Sequence[MoviePlan], gpus: int, cores: int | None, tflops: float, window_frames: int = 256
) -> Forecast:
    """`tflops`: TFLOP/s that a GPU sustains. Without `cores`, as many as an extraction takes by itself."""
    cores = cores or (1 + DECODERS_PER_GPU) * gpus
    decoders = max(1, min(cores - gpus, DECODERS_PER_GPU * gpus))
    models_s = sum(movie.tflop for movie in movies) / (gpus * tflops)
    decoding_s = sum(movie.decode_core_s for movie in movies) / decoders
    driver_s = DRIVER_S * sum(math.ceil(movie.frames / window_frames) for movie in movies)
    return Forecast(gpus, cores, decoders, models_s, decoding_s, driver_s)


def cores_for(movies: Sequence[MoviePlan], gpus: int, tflops: float) -> int:
    """The fewest cores with which GPUs never wait: one for each model worker, and the decoders."""
    models_s = sum(movie.tflop for movie in movies) / (gpus * tflops)
    decode_core_s = sum(movie.decode_core_s for movie in movies)
    return gpus + max(1, math.ceil(decode_core_s / models_s)) if models_s else gpus + 1
