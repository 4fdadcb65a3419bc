"""What a plan says of GPUs and cores: the slower of models and decoders, and what would help."""

from __future__ import annotations

import pytest

from rhas.extract.plan.forecast import DRIVER_S, SCHEDULED, check, cores_for, forecast
from rhas.extract.plan.plan import MoviePlan
from rhas.manifests.common.errors import InputError

MOVIES = [
    MoviePlan("a", 1, tflop=4e5, decode_core_s=3000.0),
    MoviePlan("b", 1, tflop=4e5, decode_core_s=1000.0),
]


def test_the_slower_of_models_and_decoders_sets_the_pace() -> None:
    models = forecast(MOVIES, gpus=4, cores=40, tflops=200.0)
    assert (models.models_s, models.decoding_s, models.decoders, models.limit) == (
        1000.0,
        4000 / 12,
        12,
        "GPUs",
    )
    assert models.seconds == pytest.approx(1000 / SCHEDULED)
    decoding = forecast(MOVIES, gpus=4, cores=6, tflops=200.0)
    assert (decoding.decoders, decoding.decoding_s, decoding.limit) == (2, 2000.0, "cores")


def test_cores_that_are_enough_are_and_one_less_is_not() -> None:
    for gpus in (1, 3, 8):
        for tflops in (150.0, 400.0):
            enough = cores_for(MOVIES, gpus, tflops)
            with_them = sum(f.decode_core_s for f in MOVIES) / (enough - gpus)
            models_s = sum(f.tflop for f in MOVIES) / (gpus * tflops)
            assert with_them <= models_s
            if enough - gpus > 1:
                assert sum(f.decode_core_s for f in MOVIES) / (enough - gpus - 1) > models_s


def test_by_itself_an_extraction_has_three_decoders_a_gpu() -> None:
    alone = forecast(MOVIES, gpus=2, cores=None, tflops=200.0)
    assert (alone.cores, alone.decoders) == (8, 6)


def test_with_very_many_gpus_the_driver_is_the_limit() -> None:
    movies = [MoviePlan("a", 1, frames=256 * 1000, tflop=4e5, decode_core_s=3000.0)]
    some, many = (forecast(movies, gpus, None, 200.0) for gpus in (64, 512))
    assert some.limit == "GPUs" and many.limit == "driver"
    assert many.seconds == pytest.approx(1000 * DRIVER_S / SCHEDULED)


def test_what_no_extraction_could_have_is_refused_by_option() -> None:
    check(8, 9, 200.0)
    check(0, 1, 200.0)
    with pytest.raises(InputError, match=r"--cpus: got 8: expected at least 9: one for each GPU"):
        check(8, 8, 200.0)
    with pytest.raises(InputError, match=r"--gpus: got -1(.|\n)*--cpus: got 0(.|\n)*--tflops: got 0"):
        check(-1, 0, 0.0)
