"""Features with predictions beside them, as `rhas predict` leaves those, for tests of `rhas view`."""

from __future__ import annotations

import base64
import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from feature_folders import make_movie
from training_folders import VOCABULARY, two_persons, write_training_folder

from rhas.manifests.common.names import file_name
from rhas.manifests.shards.format import MovieHeader
from rhas.manifests.tables.csvfile import write_rows
from rhas.manifests.tables.labels import Interval
from rhas.train.metrics.segments import runs_of
from rhas.train.runs.checkpoint import write_tensors
from rhas.train.scoring.prediction import COLUMNS
from rhas.train.scoring.timeline import frame_ends

MOVIES = Path(__file__).parents[1] / "truth" / "movies"
TAU = 0.5


def numbered_movie(movie_id: str, video: str = "sound.mp4", samples: int = 40) -> MovieHeader:
    """Ten samples a second of a movie of tests/truth, with two persons, a and b."""
    header = make_movie(movie_id, samples, persons=two_persons(movie_id), video_id=movie_id)
    return dataclasses.replace(header, video=str(MOVIES / video))


def write_viewed(
    root: Path, movies: Sequence[MovieHeader], labels: Mapping[tuple[str, str], tuple[Interval, ...]],
    scores: Mapping[tuple[str, str], np.ndarray],
) -> tuple[Path, Path]:  # fmt: skip
    """A features folder, and a folder of predictions: scores [T, 2] over all samples of whom they are given for."""
    features = write_training_folder(root / "features", movies, labels).root
    rows = []
    for movie in movies:
        for person in movie.persons:
            if person.key not in scores:
                continue
            inside = movie.inside(person, 0, len(movie.time_s))
            own, time_s = scores[person.key][inside].astype(np.float32), movie.time_s[inside]
            tensors = {
                "scores": torch.from_numpy(own),
                "time_s": torch.from_numpy(np.ascontiguousarray(time_s)),
                "promised": torch.ones(len(own), dtype=torch.bool),
            }
            path = root / "predictions" / "scores" / file_name(movie.movie_id)
            path.mkdir(parents=True, exist_ok=True)
            record = {"actions": list(VOCABULARY.actions), "tau": TAU}
            write_tensors(path / f"{file_name(person.person_id)}.safetensors", tensors, record)
            ends_s = frame_ends(time_s)
            for c, action in enumerate(VOCABULARY.actions):
                for start, stop in runs_of(own[:, c] >= TAU):
                    mean = float(own[start:stop, c].mean())
                    rows.append((*person.key, action, float(time_s[start]), float(ends_s[stop - 1]), mean))
    (root / "predictions").mkdir(exist_ok=True)
    write_rows(root / "predictions" / "segments.csv", COLUMNS, rows)
    return features, root / "predictions"


def given(path: Path) -> tuple[str, Any]:
    """Name and value of a file of data, as the page gets them."""
    text = path.read_text(encoding="ascii")
    assert text.startswith("rhas.give(") and text.endswith(");\n") and "\n" not in text[:-1]
    name, value = json.loads(f"[{text[len('rhas.give(') : -3]}]")
    return name, value


def array(text: str, kind: str) -> np.ndarray:
    """Numbers of base64."""
    return np.frombuffer(base64.b64decode(text, validate=True), kind)


def intervals(columns: dict[str, str], actions: Sequence[str]) -> list[Interval]:
    """A person's intervals."""
    places, starts, ends = (
        array(columns[name], kind) for name, kind in (("action", "<u2"), ("start", "<f8"), ("end", "<f8"))
    )
    return [
        Interval(actions[a], s, e) for a, s, e in zip(places, starts.tolist(), ends.tolist(), strict=True)
    ]
