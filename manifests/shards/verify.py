"""Checks a features folder against its own promises: every checksum, every promised frame.

In: a features folder. Out: a tally per movie and a list of everything that doesn't add up, each naming movie,
window or person. Recorded losses are not errors; losses that nothing records are. A file that is damaged, in
whatever way, is a problem of its movie and never ends the check of the others. Mending is left to a rerun.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rhas.manifests.common.errors import InputError, Problem
from rhas.manifests.shards.failures import Failure, shard_failures
from rhas.manifests.shards.format import CHUNK_BYTES
from rhas.manifests.shards.identity import movie_identity, window_id
from rhas.manifests.shards.interpolated import NAME as INTERPOLATED
from rhas.manifests.shards.interpolated import every_of
from rhas.manifests.shards.interpolated import problems as interpolation_problems
from rhas.manifests.shards.layout import FeaturesFolder, people_beside, tracks_beside
from rhas.manifests.shards.people import people_problems, with_everybody
from rhas.manifests.shards.ranks import recorded_failures
from rhas.manifests.shards.reader import Shard, reading
from rhas.manifests.shards.statistics import Tally
from rhas.manifests.shards.status import HAS_BOX, STREAMS, FrameStatus, streams_of
from rhas.manifests.shards.tracks import MovieTracks
from rhas.manifests.tables.manifest import Movie, Person, load_manifest

CONFIG_KEYS = ("extraction", "format_version", "config", "models")


@dataclass(frozen=True)
class MovieCheck:
    """The outcome for one movie. `tally` is None when it has no readable shard."""

    movie_id: str
    tally: Tally | None
    problems: list[str]
    failures: list[Failure]


def read_config(folder: FeaturesFolder) -> dict[str, Any]:
    """The folder's config.json. Raises InputError when it isn't one."""
    try:
        record = json.loads(folder.config.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(Problem(folder.config, f"the record of an extraction ({error})")) from error
    lacking = [key for key in CONFIG_KEYS if not isinstance(record, dict) or key not in record]
    if lacking:
        raise InputError(
            Problem(folder.config, f"the record of an extraction; it lacks {', '.join(lacking)}")
        )
    return record


def verify(root: Path) -> Iterator[MovieCheck]:
    """Checks movie after movie, in the manifest's order, then what the manifest doesn't name."""
    folder = FeaturesFolder(root)
    config = read_config(folder)
    manifest = load_manifest(folder.manifest)
    recorded: dict[str, list[Failure]] = {}
    for failure in recorded_failures(folder):
        recorded.setdefault(failure.movie_id, []).append(failure)
    for movie in manifest.movies:
        yield _check_movie(folder, movie, config, recorded.pop(movie.movie_id, []))
    known = {folder.shard(movie.movie_id) for movie in manifest.movies}
    for path in sorted(folder.shards.glob("[!.]*.h5")):
        if path not in known:
            yield MovieCheck(path.stem, None, [f"{path}: the manifest names no such movie"], [])
    for movie_id, failures in recorded.items():
        problem = f"{folder.failures}: movie {movie_id}: the manifest names no such movie"
        yield MovieCheck(movie_id, None, [problem], failures)


def _check_movie(
    folder: FeaturesFolder, movie: Movie, config: dict[str, Any], failures: list[Failure]
) -> MovieCheck:
    path = folder.shard(movie.movie_id)
    if not path.exists():
        parts = list(folder.parts(movie.movie_id).glob("[!.]*.h5"))
        if any(f.whole_movie for f in failures):
            return MovieCheck(movie.movie_id, None, [], failures)
        state = f"unfinished, {len(parts)} windows in parts" if parts else "no shard and no recorded failure"
        return MovieCheck(movie.movie_id, None, [f"{movie.movie_id}: {state}"], failures)
    problems: list[str] = []
    tally = None
    try:
        with Shard(path) as shard, reading(path, "a feature shard"):
            for problem in shard_problems(shard, movie, config):
                problems.append(problem)  # one by one, to keep those found before the damage
            lost = shard_failures(shard)
            tally = Tally.sum(Tally.of(shard.person(p).status) for p in shard.person_ids)
    except InputError as error:
        return MovieCheck(movie.movie_id, None, [*problems, str(error)], failures)
    problems += _unrecorded(path, lost, [f for f in failures if not f.whole_movie])
    return MovieCheck(movie.movie_id, tally, problems, failures)


def _unrecorded(path: Path, lost: list[Failure], recorded: list[Failure]) -> Iterator[str]:
    for failure in lost:
        if failure not in recorded:
            yield f"{path}: {_described(failure)}, which failures.csv does not record"
    for failure in recorded:
        if failure not in lost:
            yield f"{path}: failures.csv records {_described(failure)}, of which the shard knows nothing"


def _described(failure: Failure) -> str:
    if failure.window == "":
        return f"failure ({failure.stage}: {failure.reason})"
    return f"window {failure.window}: {failure.frames} frames lost ({failure.stage}: {failure.reason})"


def shard_problems(shard: Shard, movie: Movie, config: dict[str, Any]) -> Iterator[str]:
    """All that is wrong with a shard by itself, read from end to end. Raises what reading a damaged one does."""
    if shard.movie_id != movie.movie_id:
        yield f"{shard.path}: it is the shard of movie {shard.movie_id!r}"
    identity = shard.json("identity")
    expected = movie_identity(config["extraction"], identity["video"], movie.persons)
    parts = [name for name in expected if identity.get(name) != expected[name]]
    parts += [name for name in ("config", "models") if shard.json(name) != config[name]]
    if parts:
        yield f"{shard.path}: {', '.join(parts)} differ from config.json and manifest.csv"
    time_s = shard.file["time_s"][...]
    source_frame = shard.file["source_frame"][...]
    in_order = (
        np.isfinite(time_s).all() and (np.diff(time_s) > 0).all() and (np.diff(source_frame) >= 0).all()
    )
    if len(time_s) != len(source_frame) or not in_order:
        yield f"{shard.path}: time stamps or source frames are not in order"
    covered = np.zeros(len(time_s), dtype=bool)
    window_frames = config["config"]["decode"]["window_frames"]
    for row in shard.windows():
        yield from _window_problems(shard, row, identity, covered)
        if row["index"] * window_frames != row["start"]:
            yield f"{shard.path}: window {row['index']} begins at sample {row['start']}, as none of this number does"
    yield from _tracks_problems(shard)
    for person_id in shard.person_ids:
        if person_id not in {p.person_id for p in movie.persons}:
            yield f"{shard.path}: person {person_id}: the manifest names no such person"
    encoder = config["config"].get("encoder")
    all_tokens = (
        isinstance(encoder, dict) and encoder.get("tokens") == "all"
    )  # what others computed says nothing
    promising = {**dict.fromkeys(STREAMS, ()), **streams_of(config["config"])}
    promising |= dict.fromkeys(("box", "score", "sure"), HAS_BOX)
    for person in movie.persons:
        yield from _person_problems(shard, person, time_s, covered, all_tokens, promising)
        yield from _interpolation_problems(shard, person, every_of(config["config"]))


def _window_problems(
    shard: Shard, row: dict[str, Any], identity: dict[str, Any], covered: NDArray[np.bool_]
) -> Iterator[str]:
    """Is the window what its row says? Marks its samples in `covered`."""
    start, stop = row["start"], row["stop"]
    name = f"{shard.path}: window {row['index']} (samples {start} to {stop})"
    if not 0 <= start < stop <= len(covered):
        yield f"{name} is not within the movie's {len(covered)} samples"
        return
    if covered[start:stop].any():
        yield f"{name} overlaps an earlier window"
    covered[start:stop] = True
    if row["id"] != window_id(identity, start, stop, row["tracks"]):
        yield f"{name} has the id of another window"
    try:
        shard.window(row)
    except InputError as error:
        yield str(error)


def _tracks_problems(shard: Shard) -> Iterator[str]:
    """Are boxes and statuses those of the movie's tracks, where the shard says that it was made from some?"""
    rows = [row for row in shard.windows() if row["tracks"]]
    if not rows:
        return
    path = tracks_beside(shard.path)
    try:
        tracks = MovieTracks.from_bytes(path.read_bytes())
    except FileNotFoundError:
        yield f"{path}: not there, though {shard.path.name} was made from these tracks; a rerun makes them again"
        return
    except (OSError, ValueError) as error:
        yield f"{path}: {error}; a rerun makes it again"
        return
    if tracks.identity != shard.json("identity"):
        yield f"{path}: tracks of another movie, or of other settings, weights or sentences"
        return
    if {len(own.status) for own in tracks.boxes.values()} != {len(shard.file["time_s"])}:
        yield f"{path}: tracks of a movie of another length"
        return
    if with_everybody(shard.json("config")):
        lost = {row["index"] for row in rows if not row["done"]}
        people = people_beside(shard.path)
        yield from people_problems(people, tracks.identity, tracks, tracks.window_frames, lost)
    config = shard.json("config")
    every = every_of(config)
    exact = (config.get("detector") or {}).get("refine") is not None
    for row in rows:
        start, stop = row["start"], row["stop"]
        name = f"{shard.path}: window {row['index']} (samples {start} to {stop})"
        if row["tracks"] != tracks.digest(start, stop, every):
            yield f"{name} was made from other tracks than those of {path}"
        elif row["done"] and not _as_tracked(shard, tracks, start, stop, exact):
            yield f"{name} has other boxes than those of {path}"


def _as_tracked(shard: Shard, tracks: MovieTracks, start: int, stop: int, exact: bool) -> bool:
    """Whether everybody is where their track says, but for frames that were lost later.

    `exact`: boxes were made exact after tracking (`detector.refine`), and there is one, within the frame, where the
    track has one.
    """
    for person_id in shard.person_ids:
        series = shard.person(person_id)
        status = series.status[start:stop]
        if not status.any():
            continue
        if person_id not in tracks.boxes:
            return False
        own = tracks.boxes[person_id].part(start, stop).without(status == FrameStatus.UNDECODABLE)
        for name, array in vars(own).items():
            stored = getattr(series, name)[start:stop]
            if name == "box" and exact:
                array, stored = ~np.isnan(array).any(axis=1), _boxes(stored)
            if not np.array_equal(array, stored, equal_nan=array.dtype.kind == "f"):
                return False
    return True


def _boxes(box_n4: NDArray[np.float32]) -> NDArray[np.bool_]:
    """[n] which are boxes within the frame."""
    inside = (box_n4 >= 0) & (box_n4 <= 1)
    return np.asarray(inside.all(axis=1) & (box_n4[:, :2] <= box_n4[:, 2:]).all(axis=1))


def _person_problems(
    shard: Shard, person: Person, time_s: NDArray[np.float64], covered: NDArray[np.bool_], with_sentence: bool,
    promising: Mapping[str, Sequence[FrameStatus]],
) -> Iterator[str]:  # fmt: skip
    """Is a status recorded for exactly the promised frames, and are features there exactly when it says so?

    `with_sentence`: a vector of the sentence is promised as well. `promising`: by series, the statuses that do.
    """
    name = f"{shard.path}: person {person.person_id}"
    if person.person_id not in shard.person_ids:
        yield f"{name} is missing"
        return
    series = shard.person(person.person_id)
    if series.reference != person.reference:
        yield f"{name}: the reference differs from manifest.csv"
    if series.text_embedding is not None and not np.isfinite(series.text_embedding).all():
        yield f"{name}: the text embedding is not finite"
    if with_sentence and series.text_embedding is None:
        yield f"{name}: the text embedding is missing, which an extraction of all tokens has"
    inside = (time_s >= person.start_s) & (time_s < person.end_s)
    if (inside & ~covered).any():
        yield f"{name}: {(inside & ~covered).sum()} frames are in no window"
    if ((series.status != FrameStatus.OUTSIDE) != inside).any():
        yield f"{name}: the status does not cover exactly the promised frames"
    elif not np.isin(series.status, list(FrameStatus)).all():
        yield f"{name}: {series.status.max()} is no known status"
    else:
        for stream, statuses in promising.items():
            try:
                with reading(shard.path, f"{stream} of person {person.person_id}"):
                    there = _there(getattr(series, stream), np.isin(series.status, statuses))
            except InputError as error:
                yield str(error)
                continue
            if not there:
                where = "where the status says so" if statuses else "as encoder.streams says: not at all"
                yield f"{name}: {stream} is not there exactly {where}"


def _interpolation_problems(shard: Shard, person: Person, every: tuple[int, int]) -> Iterator[str]:
    if person.person_id not in shard.person_ids:
        return
    name, series = f"{shard.path}: person {person.person_id}", shard.person(person.person_id)
    if (series.interpolated is not None) != (max(every) > 1):
        yield f"{name}: {INTERPOLATED} is there just where the extraction's config interpolates features"
    elif series.interpolated is not None:
        with reading(shard.path, f"{INTERPOLATED} of person {person.person_id}"):
            said, track = series.interpolated[...], series.track[...]
        for problem in interpolation_problems(said, series.status, track, every):
            yield f"{name}: {problem}"


def _there(data: Any, promised: NDArray[np.bool_]) -> bool:
    """Whether rows [T, ...] are finite where promised and NaN elsewhere; reads a few chunks at a time."""
    row_bytes = math.prod(data.shape[1:]) * data.dtype.itemsize
    step = data.chunks[0] * max(1, 16 * CHUNK_BYTES // max(1, row_bytes * data.chunks[0]))
    for first in range(0, len(promised), step):
        there = promised[first : first + step]
        finite = np.isfinite(data[first : first + step].reshape(len(there), -1))
        if not (np.array_equal(finite.all(axis=1), there) and np.array_equal(finite.any(axis=1), there)):
            return False
    return True
