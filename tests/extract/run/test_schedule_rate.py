"""The scheduler in virtual time: how near it comes to the rate of models that never wait."""

from __future__ import annotations

from rhas.extract.config import RunOptions, default_memory_bytes
from tests.bench.gpus_virtual import share


def test_as_it_comes_eight_gpus_hardly_ever_wait() -> None:
    assert share(8)["ratio"] >= 0.95


def test_decoders_that_are_just_enough_are_never_held_up() -> None:
    """Two decode in 4.8 s what the models take 4.8 s for."""
    assert share(8, decoders=2)["ratio"] >= 0.95
    assert share(8, decoders=1)["ratio"] < 0.55


def test_memory_grows_with_gpus_because_they_would_wait_without() -> None:
    assert default_memory_bytes(0) == default_memory_bytes(1) == RunOptions().memory_bytes
    assert default_memory_bytes(8) == 48 << 30
    assert share(8, memory_bytes=default_memory_bytes(1))["ratio"] < 0.6
