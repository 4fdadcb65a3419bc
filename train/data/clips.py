"""Who is in a features folder, when, and with which labels; all that makes the folder unfit, in one error.

In: a features folder as `rhas extract` leaves it. Out: `Contents`. Features themselves are not read: that takes
minutes, and `rhas verify` does it; `samples` checks those that it loads.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rhas.manifests.common.errors import InputError, Problem
from rhas.manifests.common.interruption import check
from rhas.manifests.common.locations import is_told_whole
from rhas.manifests.shards.identity import movie_identity
from rhas.manifests.shards.layout import FeaturesFolder
from rhas.manifests.shards.ranks import recorded_failures
from rhas.manifests.shards.reader import PersonSeries, Shard, end_s, reading
from rhas.manifests.shards.status import FrameStatus
from rhas.manifests.shards.verify import read_config
from rhas.manifests.tables.inputs import load_inputs
from rhas.manifests.tables.label_times import behind_the_end
from rhas.manifests.tables.labels import Labels
from rhas.manifests.tables.manifest import Manifest, Movie, Person
from rhas.manifests.tables.vocabulary import Vocabulary
from rhas.train.data.config import DataConfig
from rhas.train.data.windows import Clip


@dataclass(frozen=True)
class Contents:
    """Everyone who can be learnt from, and who or what was left out and why."""

    clips: tuple[Clip, ...]
    vocabulary: Vocabulary
    feature_size: int  # F
    tokens: int  # query tokens of a frame, if all are stored; else 1
    unlabelled: tuple[str, ...]  # movie/person
    lost_movies: tuple[str, ...]  # those that failures.csv says could not be extracted at all
    warnings: tuple[str, ...]  # of labels that no movie has the times of


@dataclass(frozen=True)
class _MovieShard:
    movie: Movie
    shard: Path
    fingerprint: str
    series: dict[str, PersonSeries]  # by person_id; only what is in memory may be used, the file is closed
    sizes: tuple[int, ...]  # of one frame's features: F, or 32 and F

    @property
    def time_s(self) -> NDArray[np.float64]:
        """[T] seconds of movie time, the same for all persons."""
        return next(iter(self.series.values())).time_s


def read_contents(root: Path, config: DataConfig) -> Contents:
    """Raises one InputError with all problems of the folder, each naming the file and what was expected."""
    folder = FeaturesFolder(root)
    record = read_config(folder)
    if not folder.labels.is_file():
        expected = "the labels (`rhas labels` puts them beside features that were extracted without)"
        raise InputError(Problem(folder.labels, expected))
    inputs = load_inputs(folder.manifest, folder.labels, folder.actions)
    assert inputs.labels is not None  # a path was given
    problems: list[Problem] = []
    lost = _lost_movies(folder, inputs.manifest)
    entries = [
        entry
        for movie in inputs.manifest.movies
        if movie.movie_id not in lost and (entry := _read_movie(folder, movie, record, problems)) is not None
    ]
    problems += _size_problems(entries, config.feature_size)
    problems += [*_token_problems(folder, entries, config)][:1]
    shown = _shown_movies(entries)
    clips = tuple(
        clip
        for entry in entries
        for clip in _clips(entry, shown[entry.movie.movie_id], inputs.labels, is_grounded(record))
    )
    unlabelled = tuple(clip.name for clip in clips if not clip.intervals)
    if unlabelled and config.unlabelled == "error":
        expected = (
            "labels for everyone who is in a movie (or --set data.unlabelled=skip, without these persons)"
        )
        problems.append(Problem(folder.labels, expected, value=f"none for {', '.join(unlabelled)}"))
    if not problems and not clips:
        problems.append(Problem(root, "at least one person with frames"))
    if problems:
        raise InputError(problems)
    return Contents(
        clips=tuple(clip for clip in clips if clip.intervals),
        vocabulary=inputs.vocabulary,
        feature_size=entries[0].sizes[-1],
        tokens=prod(entries[0].sizes[:-1]),
        unlabelled=unlabelled,
        lost_movies=lost,
        warnings=tuple(behind_the_end(folder.labels, {e.movie.movie_id: end_s(e.time_s) for e in entries})),
    )


def _lost_movies(folder: FeaturesFolder, manifest: Manifest) -> tuple[str, ...]:
    """Movies without a shard, and on record as such; without a record the extraction is unfinished."""
    recorded = {failure.movie_id for failure in recorded_failures(folder) if failure.whole_movie}
    return tuple(
        movie.movie_id
        for movie in manifest.movies
        if movie.movie_id in recorded and not folder.shard(movie.movie_id).exists()
    )


def _read_movie(
    folder: FeaturesFolder, movie: Movie, record: dict[str, Any], problems: list[Problem]
) -> _MovieShard | None:
    """What a movie's shard says of times and status; None, with the problems noted, when it won't do."""
    check()
    path = folder.shard(movie.movie_id)
    if not path.exists():
        problems.append(Problem(path, f"the shard of movie {movie.movie_id}: finish the extraction first"))
        return None
    try:
        with Shard(path) as shard, reading(path, "a feature shard"):
            identity = shard.json("identity")
            expected = movie_identity(record["extraction"], str(identity["video"]), movie.persons)
            others = [name for name in expected if identity.get(name) != expected[name]]
            others += [name for name in ("config", "models") if shard.json(name) != record[name]]
            if shard.movie_id != movie.movie_id:
                raise InputError(Problem(path, f"the shard of movie {movie.movie_id}", value=shard.movie_id))
            if others:
                wanted = "a shard that was extracted as config.json and manifest.csv say"
                raise InputError(Problem(path, wanted, value=f"another {', '.join(others)}"))
            series = {person.person_id: shard.person(person.person_id) for person in movie.persons}
            first = next(iter(series.values()))
            if not (np.diff(first.time_s) > 0).all():
                raise InputError(Problem(path, "times that rise from sample to sample"))
            sizes = {s.holistic.shape[1:] for s in series.values()}
            if len(sizes) > 1:
                raise InputError(Problem(path, "features of one size", value=sorted(sizes)))
            return _MovieShard(movie, path, str(identity["video"]), series, sizes.pop())
    except InputError as error:
        problems.extend(error.problems)
        return None


def _size_problems(entries: list[_MovieShard], expected: int | None) -> Iterator[Problem]:
    """Movies whose features or text embeddings are not of the size of the others', or of that expected."""
    for entry in entries:
        if expected is not None and entry.sizes[-1] != expected:
            yield Problem(entry.shard, f"features of size {expected}, as configured", value=entry.sizes[-1])
        elif expected is None and entry.sizes != entries[0].sizes:
            wanted = f"features of size {_times(entries[0].sizes)}, as in {entries[0].shard.name}"
            yield Problem(entry.shard, wanted, value=_times(entry.sizes))
    persons = [(entry, series) for entry in entries for series in entry.series.values()]
    for entry, series in persons:
        first_movie, first = persons[0]
        if _text_size(series) != _text_size(first):
            wanted = (
                f"{_text_size(first)}, as for {first.person_id} in {first_movie.shard.name}, "
                f"as size of the text embedding of person {series.person_id}"
            )
            yield Problem(entry.shard, wanted, value=_text_size(series))


def _token_problems(
    folder: FeaturesFolder, entries: list[_MovieShard], config: DataConfig
) -> Iterator[Problem]:
    """What lacks of that which a model takes besides means: all query tokens, and the sentence's vector."""
    again = "extract with --set encoder.tokens=all"
    for entry in entries:
        if config.tokens == "all" and len(entry.sizes) == 1:
            expected = f"all query tokens of every frame, which the model takes: {again}"
            yield Problem(entry.shard, expected, value=f"one vector of {entry.sizes[-1]} a frame")
        for series in entry.series.values() if config.sentence else ():
            if series.text_embedding is None:
                expected = (
                    f"the sentence's vector of person {series.person_id}, which the model takes: {again}"
                )
                yield Problem(entry.shard, f"{expected}, or leave it out (settings.network.sentence=false)")
            elif series.text_embedding.shape != entry.sizes[-1:]:
                whose = f"the sentence's vector of person {series.person_id}"
                expected = f"{whose} to be of a token's size, {entry.sizes[-1]}"
                yield Problem(entry.shard, expected, value=_text_size(series))


def _times(sizes: tuple[int, ...]) -> str:
    return " × ".join(map(str, sizes))


def _text_size(series: PersonSeries) -> str:
    return "none" if series.text_embedding is None else _times(series.text_embedding.shape)


def _shown_movies(entries: Iterable[_MovieShard]) -> dict[str, str]:
    """Which movie each movie_id shows: the first movie_id with the same file, by its place or its contents."""
    shown: dict[str, str] = {}
    first: dict[str, str] = {}  # place or contents -> movie
    for entry in sorted(entries, key=lambda entry: entry.movie.movie_id):
        marks = [f"contents {entry.fingerprint}"]
        if is_told_whole(entry.movie.video):
            marks.append(f"place {entry.movie.video}")
        known = sorted({first[mark] for mark in marks if mark in first})
        shown[entry.movie.movie_id] = name = known[0] if known else entry.movie.movie_id
        first.update(dict.fromkeys(marks, name))
        if len(known) > 1:  # this one shows that two movies seen so far are the same
            shown = {movie_id: name if of in known else of for movie_id, of in shown.items()}
            first = {mark: name if of in known else of for mark, of in first.items()}
    return shown


def is_grounded(record: Mapping[str, Any]) -> bool:
    """Whether an extraction, by its config.json, looked for persons; what others computed doesn't say."""
    return "detector" in record["config"]


def _clips(entry: _MovieShard, shown: str, labels: Labels, grounded: bool) -> Iterator[Clip]:
    for person in entry.movie.persons:
        promised = np.flatnonzero(entry.series[person.person_id].status != FrameStatus.OUTSIDE)
        if promised.size:  # the interval of a person may lie behind the movie's end
            bounds = int(promised[0]), int(promised[-1]) + 1
            yield _clip(entry, shown, labels, person, *bounds, grounded)


def _clip(
    entry: _MovieShard, shown: str, labels: Labels, person: Person, start: int, stop: int, grounded: bool
) -> Clip:
    series = entry.series[person.person_id]
    return Clip(
        movie_id=person.movie_id,
        person_id=person.person_id,
        reference=person.reference,
        split=person.split,
        movie=shown,
        shard=entry.shard,
        first=start,
        time_s=series.time_s[start:stop],
        status=series.status[start:stop],
        intervals=labels.intervals.get(person.key, ()),
        grounded=grounded,
    )
