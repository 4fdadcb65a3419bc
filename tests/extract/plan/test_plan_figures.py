"""What a plan says of the models' arithmetic and of bytes, by the streams that are wanted."""

from __future__ import annotations

import numpy as np
import pytest
from numbered_movies import regular, write_movie

from rhas.extract.config import load_config
from rhas.extract.plan.plan import ENCODER_TFLOP, ROW_BYTES, _plan
from rhas.manifests.tables.manifest import Movie, Person


@pytest.mark.parametrize("streams", ["both", "holistic", "partial"])
def test_figures_follow_the_streams(tmp_path, streams):
    movie = write_movie(tmp_path / "a.mp4", regular(45))
    persons = (Person("a", "p", "the man"), Person("a", "q", "the woman", 0.5, 1.0))
    known = [
        "detector.implementation=boxes",
        "detector.weights=boxes.csv",
        "tracks.implementation=frames",
    ]  # which cost nothing
    config = load_config("clip", [f"encoder.streams={streams}", "decode.fps=10", *known])
    found = _plan(Movie("a", movie, persons), config, None)
    assert (found.frames, found.person_frames) == (15, 15 + 5)
    images = {"both": 15 + 20, "holistic": 15, "partial": 20}[streams]
    assert found.tflop == pytest.approx(images * ENCODER_TFLOP["clip"])
    each = {"both": 2, "holistic": 1, "partial": 1}[streams]
    assert found.bytes == 20 * (each * 512 * np.float16().nbytes + ROW_BYTES) + 16 * 15
