"""How long an extraction will take on so many GPUs and cores, what limits it, and what to add.

Model workers and decoders work side by side, so the slower of the two sets the pace; what a schedule loses on top is
`SCHEDULED`, measured with pretend GPUs (`make bench`, row gpus).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from extract.config import DECODERS_PER_GPU
from extract.plan import FilmPlan

SCHEDULED = 0.95  # share of the ideal rate
Limit = Literal["GPUs", "cores"]


@dataclass(frozen=True)
class Forecast:
    """Seconds of a run on `gpus` GPUs and `cores` cores, of which `decoders` decode; more of `limit` make it faster."""

    gpus: int
    cores: int
    decoders: int
    models_s: float
    decoding_s: float

    @property
    def seconds(self) -> float:
        return max(self.models_s, self.decoding_s) / SCHEDULED

    @property
    def limit(self) -> Limit:
        return "GPUs" if self.models_s >= self.decoding_s else "cores"


def forecast(films: Sequence[FilmPlan], gpus: int, cores: int | None, tflops: float) -> Forecast:
    """`tflops`: TFLOP/s that a GPU sustains. Without `cores`, as many as an extraction takes by itself."""
    cores = cores or (1 + DECODERS_PER_GPU) * gpus
    decoders = max(1, min(cores - gpus, DECODERS_PER_GPU * gpus))
    models_s = sum(film.tflop for film in films) / (gpus * tflops)
    return Forecast(gpus, cores, decoders, models_s, sum(film.decode_core_s for film in films) / decoders)


def cores_for(films: Sequence[FilmPlan], gpus: int, tflops: float) -> int:
    """The fewest cores with which GPUs never wait: one for each model worker, and the decoders."""
    models_s = sum(film.tflop for film in films) / (gpus * tflops)
    decode_core_s = sum(film.decode_core_s for film in films)
    return gpus + max(1, math.ceil(decode_core_s / models_s)) if models_s else gpus + 1
