"""What `rhas plan` says of time, where it isn't told by the models' arithmetic."""

from __future__ import annotations

import pytest

from rhas.extract.config import load_config
from rhas.extract.plan.plan import MoviePlan
from rhas.pipeline.views.plan_table import print_plan


@pytest.mark.parametrize(
    ("preset", "gpus", "said"),
    [
        ("mini", 0, "time: about 0:00:30 (20 frames/s of the small models on each of 2 cores, assumed)"),
        ("mini", 1, "time: unknown for small models; give --like"),
        ("tiny-random", 0, "time: unknown for small models; give --like"),
        ("clip", 0, "time: about 1:23:20 (1000 TFLOP on 2 cores at 0.1, assumed"),
    ],
)
def test_time_is_that_of_the_presets_models(
    capsys: pytest.CaptureFixture[str], preset: str, gpus: int, said: str
) -> None:
    movie = MoviePlan("m", 1, frames=1200, tflop=1000.0)
    assert print_plan([movie], load_config(preset), gpus, None, 200.0, 2) == 0
    assert said in capsys.readouterr().out
