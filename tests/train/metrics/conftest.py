"""Fixtures of the metrics' tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file


@pytest.fixture(scope="session")
def golden() -> dict[str, np.ndarray]:
    """Inputs, and what MS-TCN's and the released evaluator made of them; from outside the repository."""
    file = (Path(__file__).parents[3] / ".." / "shared" / "golden" / "metrics.safetensors").resolve()
    if not file.is_file():
        pytest.skip(f"{file} is not here")
    return load_file(file)
