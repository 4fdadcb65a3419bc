"""Features folders for tests: movies with several persons, random windows, and the files around the shards.

The folder is written as an extraction writes it, so that `verify` finds nothing wrong with it; a test then
damages what it is about.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np

from rhas.manifests.common.atomic import write_text_atomically
from rhas.manifests.shards.failures import Failure, shard_failures, write_failures
from rhas.manifests.shards.format import (
    FORMAT_VERSION,
    SERIES,
    MovieHeader,
    PersonRows,
    Window,
    empty_rows,
    write_part,
    write_shard,
)
from rhas.manifests.shards.identity import content_id, movie_identity
from rhas.manifests.shards.layout import FeaturesFolder
from rhas.manifests.shards.reader import Shard
from rhas.manifests.shards.snapshot import write_snapshot
from rhas.manifests.shards.status import HAS_BOX, HAS_HOLISTIC, HAS_PARTIAL, LOST, FrameStatus
from rhas.manifests.tables.inputs import Inputs
from rhas.manifests.tables.manifest import Manifest, Movie, Person
from rhas.manifests.tables.vocabulary import Vocabulary

FPS = 10.0
CONFIG = {"decode": {"fps": FPS, "window_frames": 8}, "precision": "float32"}
MODELS = {"detector": {"name": "d", "hash": "d" * 64}, "encoder": {"name": "e", "hash": "e" * 64}}
_IDENTITY = {"format_version": FORMAT_VERSION, "config": CONFIG, "models": MODELS}
EXTRACTION = content_id(_IDENTITY)


def make_persons(movie_id: str, samples: int) -> tuple[Person, ...]:
    """One to the end of the movie, one within it, one whose interval lies behind it."""
    return (
        Person(movie_id, "p1", "the man in red", 0.0, math.inf, "train"),
        Person(movie_id, "p2", "the wömán", samples / FPS * 0.4, samples / FPS * 0.7, "val"),
        Person(movie_id, "late", "the child", samples / FPS + 5, samples / FPS + 9),
    )


def make_movie(
    movie_id: str = "m1",
    samples: int = 40,
    window_frames: int = 8,
    feature_shape: tuple[int, ...] = (6,),
    persons: tuple[Person, ...] | None = None,
    video_id: str = "v",
    fps: float | None = FPS,
) -> MovieHeader:
    persons = make_persons(movie_id, samples) if persons is None else persons
    rng = np.random.default_rng(len(movie_id) + samples)
    return MovieHeader(
        movie_id=movie_id,
        video=f"/movies/{movie_id}.mp4",
        identity=movie_identity(EXTRACTION, video_id, persons),
        config=CONFIG,
        models=MODELS,
        versions={"h5py": h5py.__version__},
        source={
            "frames": 3 * samples,
            "height": 90,
            "width": 160,
            "decoded_height": 90,
            "decoded_width": 160,
        },
        fps=fps,
        window_frames=window_frames,
        time_s=np.arange(samples) / FPS,
        source_frame=np.arange(samples) * 3,
        persons=persons,
        feature_shape=feature_shape,
        text_embeddings={
            p.person_id: rng.standard_normal(4).astype(np.float32) for p in persons if p.person_id != "p2"
        },
    )


def make_rows(
    inside: np.ndarray, feature_shape: tuple[int, ...], rng: np.random.Generator, lossy: bool
) -> PersonRows:
    """Rows of random status within `inside`, and what that status promises. Without `lossy` nothing is lost."""
    known = [s for s in FrameStatus if s != FrameStatus.OUTSIDE and (lossy or s not in LOST)]
    rows = empty_rows(inside, feature_shape, FrameStatus.MISSING)
    rows.status[inside] = rng.choice(known, inside.sum())
    for name, having in (("holistic", HAS_HOLISTIC), ("partial", HAS_PARTIAL), ("box", HAS_BOX)):
        there = np.isin(rows.status, having)
        series = getattr(rows, name)
        series[there] = rng.random((there.sum(), *series.shape[1:]))
    boxed = np.isin(rows.status, HAS_BOX)
    rows.score[boxed], rows.sure[boxed] = rng.random((2, boxed.sum()))
    rows.candidates[boxed] = rng.integers(1, 900, boxed.sum())
    rows.track[boxed] = rng.integers(10, 19, boxed.sum())
    return rows


def make_window(header: MovieHeader, index: int, seed: int = 0, lossy: bool = False) -> Window:
    start, stop = header.bound(index)
    rng = np.random.default_rng([seed, index, zlib.crc32(str(header.identity.get("video")).encode())])
    rows = {
        p.person_id: make_rows(header.inside(p, start, stop), header.feature_shape, rng, lossy)
        for p in header.promised(start, stop)
    }
    lost = any(np.isin(r.status, LOST).any() for r in rows.values())
    return Window(
        header.movie_id, index, start, stop, header.window_id(index), rows,
        "decode" if lost else "", f"frame {start}: damaged, or “so”" if lost else "", seed,
    )  # fmt: skip


def make_windows(header: MovieHeader, seed: int = 0, lossy: bool = False) -> dict[int, Window]:
    return {index: make_window(header, index, seed, lossy) for index in header.planned()}


def expected_series(header: MovieHeader, windows: Mapping[int, Window], person: Person) -> PersonRows:
    """What a reader has to give for a whole movie [T, ...]."""
    whole = empty_rows(np.zeros(len(header.time_s), bool), header.feature_shape, FrameStatus.OUTSIDE)
    for window in windows.values():
        if person.person_id in window.persons:
            for name in SERIES:
                getattr(whole, name)[window.start : window.stop] = getattr(
                    window.persons[person.person_id], name
                )
    return whole


def same_rows(one: PersonRows, other: PersonRows) -> bool:
    """Equal in every bit, type and shape."""
    pairs = [(getattr(one, name), getattr(other, name)) for name in SERIES]
    return all(a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes() for a, b in pairs)


def same_window(one: Window, other: Window) -> bool:
    return (
        replace(one, persons={}) == replace(other, persons={})
        and one.persons.keys() == other.persons.keys()
        and all(same_rows(rows, other.persons[person_id]) for person_id, rows in one.persons.items())
    )


def manifest_of(movies: list[MovieHeader]) -> Manifest:
    return Manifest(Path("manifest.csv"), tuple(Movie(f.movie_id, Path(f.video), f.persons) for f in movies))


def write_folder(root: Path, movies: list[MovieHeader], seed: int = 0, lossy: bool = True) -> FeaturesFolder:
    """A complete folder: shards built from parts, and what an extraction writes beside them."""
    root.mkdir(parents=True, exist_ok=True)
    folder = FeaturesFolder(root)
    write_config(folder)
    write_snapshot(folder, Inputs(manifest_of(movies), None, Vocabulary(("running", "walking"))))
    for movie in movies:
        windows = make_windows(movie, seed, lossy)
        write_shard(folder, movie, windows.__getitem__)
    write_failures(folder.failures, failures_of(folder, movies))
    return folder


def write_parts(folder: FeaturesFolder, windows: Mapping[int, Window]) -> None:
    for window in windows.values():
        write_part(folder, window)


def write_config(folder: FeaturesFolder) -> None:
    record = {"extraction": EXTRACTION, **_IDENTITY, "feature_shape": [6], "versions": {}}
    write_text_atomically(folder.config, json.dumps(record))


def failures_of(folder: FeaturesFolder, movies: list[MovieHeader]) -> list[Failure]:
    found = []
    for movie in movies:
        with Shard(folder.shard(movie.movie_id)) as shard:
            found += shard_failures(shard)
    return found
