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


def assert_same(a: dict, b: dict, tolerance: float = TOLERANCE, ties: bool = False) -> None:
    """Every series is the other's.

    `ties`: but in a few frames, as random models have near ties among their queries, which other batches settle
    otherwise on some processors. Scores stay nearly the same, boxes needn't, and crops of a few pixels then show
    something else.
    """
    assert a.keys() == b.keys()
    for key in a:
        tied = _tied(a, b, key) if ties else np.zeros(len(a[key]), bool)
        assert tied.mean() <= 0.05, f"{key}: {tied.sum()} of {len(tied)} frames have another box"
        one, other = a[key][~tied], b[key][~tied]
        np.testing.assert_allclose(one, other, atol=tolerance, equal_nan=True, err_msg=str(key))


def _tied(a: dict, b: dict, key: tuple[str, str, str]) -> np.ndarray:
    """Frames of a person in which boxes differ by more than rounding, and scores by little."""
    box, score = ((*key[:2], name) for name in ("box", "score"))
    apart = ~np.isclose(a[box], b[box], rtol=0, atol=1e-5, equal_nan=True).all(1)
    return apart & (np.abs(a[score] - b[score]) < 1e-3)
