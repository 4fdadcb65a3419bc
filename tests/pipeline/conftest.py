"""The demo, made once for all tests that look at what it leaves."""

from __future__ import annotations

from pathlib import Path

import pytest

from rhas.pipeline.programs.demo import Size, run_demo


@pytest.fixture(scope="session")
def made_demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("demo")
    assert run_demo(out, Size(movies=5, seconds=(8, 10), epochs=8)) == 0
    return out
