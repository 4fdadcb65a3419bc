"""What an extraction left: everything in its shards, compared with another's, and what verification says."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from rhas.manifests.shards.format import SERIES
from rhas.manifests.shards.reader import FeaturesReader
from rhas.manifests.shards.verify import verify

# Workers may batch and thread differently: rounding in float32, stored as float16.
TOLERANCE = 2e-3
# What the command lines of an extraction's processes contain, Ray's actors or processes of their own.
WORKERS = {
    "model worker": "ModelWorker", "decoder": "DecodeWorker", "writer": "WriteWorker",
    "linker": "LinkWorker",
    "decoder's child": "rhas.extract.decode.child",
}  # fmt: skip


def problems(out: Path) -> list[str]:
    return [problem for check in verify(out) for problem in check.problems]


def series(out: Path) -> dict[tuple[str, str, str], np.ndarray]:
    """Everything that the shards hold, by movie, person and name."""
    found = {}
    for person in FeaturesReader(out).persons():
        for name in (*SERIES, "time_s", "source_frame"):
            found[person.movie_id, person.person_id, name] = np.array(
                getattr(person, name)[...], dtype=np.float64
            )
    return found


def assert_same(a: dict, b: dict, tolerance: float = TOLERANCE) -> None:
    assert a.keys() == b.keys()
    for key in a:
        np.testing.assert_allclose(a[key], b[key], atol=tolerance, equal_nan=True, err_msg=str(key))
