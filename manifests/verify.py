"""Checks a features folder against its own promises: every checksum, every promised frame.

In: a features folder. Out: a tally per film and a list of everything that doesn't add up, each naming film,
window or person. Recorded losses are not errors; losses that nothing records are.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from manifests.errors import InputError, Problem
from manifests.failures import Failure, read_failures
from manifests.identity import movie_identity, window_id
from manifests.layout import FeaturesFolder
from manifests.manifest import Movie, load_manifest
from manifests.reader import Shard
from manifests.status import HAS_HOLISTIC, HAS_PARTIAL, FrameStatus
from manifests.tally import Tally


@dataclass(frozen=True)
class FilmCheck:
    """The outcome for one film. `tally` is None when it has no readable shard."""

    movie_id: str
    tally: Tally | None
    problems: list[str]
    failures: list[Failure]


def read_config(folder: FeaturesFolder) -> dict:
    """The folder's config.json. Raises InputError when it isn't one."""
    try:
        return json.loads(folder.config.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(Problem(folder.config, f"the record of an extraction ({error})")) from error


def verify(root: Path) -> Iterator[FilmCheck]:
    """Checks film after film, in the manifest's order, then shards that the manifest doesn't name."""
    folder = FeaturesFolder(root)
    extraction_id = read_config(folder)["extraction"]
    manifest = load_manifest(folder.manifest)
    recorded: dict[str, list[Failure]] = {}
    for failure in read_failures(folder.failures) if folder.failures.exists() else []:
        recorded.setdefault(failure.movie_id, []).append(failure)
    for movie in manifest.movies:
        yield _check_film(folder, movie, extraction_id, recorded.get(movie.movie_id, []))
    known = {movie.movie_id for movie in manifest.movies}
    for path in sorted(folder.shards.glob("*.h5")):
        if path.stem not in known and not path.name.startswith("."):
            yield FilmCheck(path.stem, None, [f"{path}: the manifest names no such film"], [])


def _check_film(
    folder: FeaturesFolder, movie: Movie, extraction_id: str, failures: list[Failure]
) -> FilmCheck:
    path = folder.shard(movie.movie_id)
    if not path.exists():
        parts = list(folder.parts(movie.movie_id).glob("*.h5"))
        if any(f.whole_film for f in failures):
            return FilmCheck(movie.movie_id, None, [], failures)
        state = f"unfinished, {len(parts)} windows in parts" if parts else "no shard and no recorded failure"
        return FilmCheck(movie.movie_id, None, [f"{movie.movie_id}: {state}"], failures)
    try:
        with Shard(path) as shard:
            problems = list(_shard_problems(shard, movie, extraction_id))
            tally = Tally.sum(Tally.of(shard.person(p).status) for p in shard.person_ids)
    except InputError as error:
        return FilmCheck(movie.movie_id, None, [str(error)], failures)
    except (OSError, KeyError, ValueError) as error:
        return FilmCheck(movie.movie_id, None, [f"{path}: damaged: {error}"], failures)
    recorded = sum(f.frames for f in failures)
    if recorded != tally.lost:
        problems.append(f"{path}: {tally.lost} frames lost, but failures.csv records {recorded}")
    return FilmCheck(movie.movie_id, tally, problems, failures)


def _shard_problems(shard: Shard, movie: Movie, extraction_id: str) -> Iterator[str]:
    identity = shard.json("identity")
    expected = movie_identity(extraction_id, identity["video"], movie.persons)
    if identity != expected:
        parts = [name for name in expected if identity.get(name) != expected[name]]
        yield f"{shard.path}: {' and '.join(parts)} differ from config.json and manifest.csv"
    time_s = shard.file["time_s"][...]
    source_frame = shard.file["source_frame"][...]
    if len(time_s) != len(source_frame) or (np.diff(time_s) <= 0).any() or (np.diff(source_frame) < 0).any():
        yield f"{shard.path}: time stamps or source frames are not in order"
    covered = np.zeros(len(time_s), dtype=bool)
    for row in shard.windows():
        start, stop = int(row["start"]), int(row["stop"])
        name = f"{shard.path}: window {row['index']} (samples {start} to {stop})"
        if covered[start:stop].any():
            yield f"{name} overlaps an earlier window"
        covered[start:stop] = True
        if row["id"] != window_id(identity, start, stop):
            yield f"{name} has the id of another window"
        try:
            if shard.window(row).digest() != row["digest"]:
                yield f"{name}: the checksum does not match the contents"
        except OSError as error:
            yield f"{name} can't be read: {error}"
    for person in movie.persons:
        if person.person_id in shard.person_ids:
            inside = (time_s >= person.start_s) & (time_s < person.end_s)
            if (inside & ~covered).any():
                yield f"{shard.path}: person {person.person_id}: {(inside & ~covered).sum()} frames are in no window"
            yield from _person_problems(shard, person.person_id, inside)


def _person_problems(shard: Shard, person_id: str, inside: np.ndarray) -> Iterator[str]:
    """Is a status recorded for exactly the promised frames, and are features there exactly when it says so?"""
    name = f"{shard.path}: person {person_id}"
    series = shard.person(person_id)
    if len(series.status) != len(inside) or ((series.status != FrameStatus.OUTSIDE) != inside).any():
        yield f"{name}: the status does not cover exactly the promised frames"
        return
    for stream, promising in (("holistic", HAS_HOLISTIC), ("partial", HAS_PARTIAL), ("box", HAS_PARTIAL)):
        data = getattr(series, stream)
        step = data.chunks[0] * 16
        for first in range(0, len(inside), step):
            rows = data[first : first + step].reshape(len(inside[first : first + step]), -1)
            there = np.isin(series.status[first : first + step], promising)
            if (np.isfinite(rows).all(axis=1) != there).any() or (
                np.isfinite(rows).any(axis=1) != there
            ).any():
                yield f"{name}: {stream} is not there exactly where the status says so"
                break
