"""Adds persons to a features folder: who they are is taken from everybody's tracks, and only their features are made.

In: a folder whose extraction kept everybody's tracks, and rows of persons (`rhas.manifests.tables.added`). Out: shards
in which they are too; all that was there stays, to the bit. The detector is asked nothing. Movies without new persons
aren't touched; a rerun goes on where this one ended.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rhas.extract.config import ExtractConfig, RunOptions, config_from_dict
from rhas.extract.decode.index import MovieIndex
from rhas.extract.decode.process import DecodeError
from rhas.extract.decode.sampling import Grid
from rhas.extract.run import run
from rhas.extract.run.accounts import Accounts, Summary
from rhas.extract.run.jobs import ADDING, MovieJob
from rhas.extract.run.pool import Pool, first_to_answer
from rhas.extract.run.progress import Progress, Snapshot
from rhas.extract.run.schedule import Scheduler, WriteFailed
from rhas.extract.tracks.added import Whose, with_added
from rhas.manifests.common.errors import InputError, Problem
from rhas.manifests.common.lock import locked
from rhas.manifests.shards.added import undone, write_tracks_part
from rhas.manifests.shards.identity import movie_identity
from rhas.manifests.shards.layout import FeaturesFolder
from rhas.manifests.shards.ledger import Finished
from rhas.manifests.shards.people import People, is_of, read_people, with_everybody
from rhas.manifests.shards.ranks import recorded_failures
from rhas.manifests.shards.reader import Shard
from rhas.manifests.shards.resume import FinishedWindows
from rhas.manifests.shards.tracks import MovieTracks, of_movie, read_tracks
from rhas.manifests.shards.verify import read_config
from rhas.manifests.tables.added import Added, load_added
from rhas.manifests.tables.manifest import Manifest, Movie, load_manifest, write_manifest

if TYPE_CHECKING:  # torch takes seconds to import
    from rhas.extract.encode.encoder import Encoder

SURE = 0.5  # from which a track is taken to be the person's, where none is named


@dataclass(frozen=True)
class Addition:
    """A movie with somebody new: what it has, and whose tracks are to be theirs."""

    movie: Movie  # with everybody
    new: tuple[str, ...]
    people: People
    tracks: MovieTracks  # as they are: of those who were there, or with the new ones already
    whose: Mapping[str, Whose]


def add(
    rows: Path,
    root: Path,
    options: RunOptions,
    callback: Callable[[Snapshot], None] | None = None,
) -> Summary:
    """Raises InputError when it must not begin, WriteFailed when it can't go on."""
    folder = FeaturesFolder(root)
    record = read_config(folder)
    config = config_from_dict(record["config"], folder.config)
    if not with_everybody(record["config"]):
        expected = "a folder that was begun with tracks.everybody, whose tracks are there to choose from"
        raise InputError(Problem(root, expected))
    with locked(folder.lock):
        added, manifest = load_added(rows, load_manifest(folder.manifest))
        run.remove_leftovers(folder, manifest)
        todo = [movie for movie in manifest.movies if movie.movie_id in added and not _done(folder, movie)]
        additions = _additions(folder, todo, added, record, rows)
        books = Accounts(folder, manifest)
        for movie in manifest.movies:
            with suppress(InputError):
                books.note(books.ledger.known(movie.movie_id) or Finished.of(folder.shard(movie.movie_id)))
        for failure in recorded_failures(folder):
            if failure.whole_movie:
                books.unreadable[failure.movie_id] = failure.stage, failure.reason

        def on_movie(movie_id: str, found: Finished | None) -> None:
            books.update(movie_id, found, progress)

        progress = Progress(callback=callback, on_movie=on_movie)
        now = progress.now
        now.movies, now.movies_failed = len(manifest.movies), len(books.unreadable)
        progress.failed_movies.update(books.unreadable)
        now.movies_done = now.movies_skipped = now.movies - len(todo) - now.movies_failed
        if todo:
            _work(folder, manifest, additions, record, config, options, books, progress)
        books.close(progress)
        return books.summary(progress, {"frames": 0} if todo else None, options.max_failure_rate)


def _work(
    folder: FeaturesFolder, manifest: Manifest, additions: Mapping[str, Addition], record: dict[str, Any],
    config: ExtractConfig, options: RunOptions, books: Accounts, progress: Progress,
) -> None:  # fmt: skip
    with run.pool_of(config, options, folder.root.absolute()) as pool:
        first, described = first_to_answer(pool, pool.models, "describe", options.patience_s)
        extraction = run.record_config(folder, config, described)
        embeddings = _embeddings(pool, first, manifest, additions)
        write_manifest(manifest, folder.manifest)

        def open_movie(movie: Movie, index: MovieIndex, grid: Grid) -> MovieJob:
            own = additions[movie.movie_id]
            books.video_keys[movie.movie_id] = index.key()
            header = run.movie_header(movie, index, grid, config, extraction, embeddings)
            with Shard(folder.shard(movie.movie_id)) as shard:
                _check_same(shard, header.identity["video"], grid)
                nothing = undone(shard)
                texts = {who: shard.person(who).text_embedding for who in shard.person_ids}
            own_texts = {who: text for who, text in texts.items() if text is not None}
            header = replace(
                header, other_columns=manifest.others, text_embeddings={**header.text_embeddings, **own_texts}
            )
            tracks = of_movie(own.tracks, header) or with_added(
                own.tracks, own.people, own.whose, header, config
            )
            write_tracks_part(folder, movie.movie_id, tracks)
            header = replace(header, tracks=tracks.digests())
            new = [person for person in movie.persons if person.person_id in own.new]
            there = {
                i for i in header.planned() if any(header.inside(p, *header.bound(i)).any() for p in new)
            }
            todo = there - FinishedWindows(folder, header).indices() - nothing.keys() - tracks.failed.keys()
            return MovieJob(header, todo, ADDING, tracks=tracks, new=own.new)

        progress.start()
        scheduler = Scheduler(pool, config, options, progress, open_movie, keep=books.keep_traceback)
        try:
            scheduler.run(own.movie for own in additions.values())
        except BaseException:
            with suppress(WriteFailed):  # what it ends with says more
                books.write(progress)
            raise
        progress.tick(force=True)


def _done(folder: FeaturesFolder, movie: Movie) -> bool:
    """Whether its shard has everybody."""
    with suppress(InputError), Shard(folder.shard(movie.movie_id)) as shard:
        identity = shard.json("identity")
        return identity == movie_identity(identity["extraction"], identity["video"], movie.persons)
    return False


def _additions(
    folder: FeaturesFolder,
    movies: Sequence[Movie],
    added: Mapping[str, list[Added]],
    record: dict[str, Any],
    rows: Path,
) -> dict[str, Addition]:
    """By movie. Raises InputError with all that can't be added."""
    problems: list[Problem] = []
    found = {}
    sureness = _Sureness(folder, record)
    for movie in movies:
        try:
            found[movie.movie_id] = _addition(folder, movie, added[movie.movie_id], record, rows, sureness)
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)
    return found


def _addition(
    folder: FeaturesFolder,
    movie: Movie,
    added: Sequence[Added],
    record: dict[str, Any],
    rows: Path,
    sureness: _Sureness,
) -> Addition:
    with Shard(folder.shard(movie.movie_id)) as shard:
        identity, time_s = shard.json("identity"), shard.file["time_s"][...]
    people, tracks = read_people(folder.people(movie.movie_id)), read_tracks(folder.tracks(movie.movie_id))
    whole = movie_identity(record["extraction"], identity["video"], movie.persons)
    if people is None or tracks is None or tracks.identity not in (identity, whole):
        expected = (
            "a movie with everybody's tracks beside its shard; a rerun of rhas extract makes what is missing"
        )
        raise InputError(Problem(folder.people(movie.movie_id), expected))
    if not is_of(people, tracks.identity, tracks):
        expected = "those that the movie's tracks were made with; a rerun of rhas extract makes them again"
        raise InputError(Problem(folder.people(movie.movie_id), expected))
    new = tuple(own.person.person_id for own in added)
    old = [person for person in movie.persons if person.person_id not in new]
    looked = np.any([(time_s >= p.start_s) & (time_s < p.end_s) for p in old], axis=0)
    problems = []
    for own in added:
        person = own.person
        if ((time_s >= person.start_s) & (time_s < person.end_s) & ~looked).any():
            expected = f"start_s and end_s of {person.person_id} within when others of {movie.movie_id} were looked for"
            problems.append(Problem(rows, expected, column="end_s", value=person.end_s))
        if unknown := [track for track in own.tracks if track >= people.tracks]:
            expected = f"tracks of {movie.movie_id}, from 0 to {people.tracks - 1}"
            problems.append(Problem(rows, expected, column="tracks", value=unknown[0]))
    if problems:
        raise InputError(problems)
    whose = {own.person.person_id: _whose(own, people, sureness, rows) for own in added}
    return Addition(movie, new, people, tracks, whose)


class _Sureness:
    """How sure a sentence is of each track; the encoder is loaded where it is asked for."""

    def __init__(self, folder: FeaturesFolder, record: dict[str, Any]):
        self.folder, self.record = folder, record

    @cached_property
    def encoder(self) -> Encoder:
        from rhas.extract.encode.finding import encoder_of

        return encoder_of(self.folder, self.record, "cpu")

    def of(self, people: People, sentence: str) -> NDArray[np.float64]:
        from rhas.extract.encode.finding import by_words, sure_of

        return sure_of([by_words([people], self.encoder, sentence)]).round(3)


def _whose(own: Added, people: People, sureness: _Sureness, rows: Path) -> Whose:
    """Tracks that are named, or those of which the sentence is surer than not. Raises InputError without any."""
    if own.tracks:
        return [(track, 1.0) for track in own.tracks]
    sure = sureness.of(people, own.person.reference)
    order = np.argsort(-np.nan_to_num(sure), kind="stable")
    whose = [(int(track), float(sure[track])) for track in order if sure[track] >= SURE]
    if not whose:
        expected = f"a sentence that is sure enough ({SURE}) of some track, or tracks (rhas find shows them)"
        raise InputError(Problem(rows, expected, column="reference", value=own.person.reference))
    return whose


def _check_same(shard: Shard, digest: str, grid: Grid) -> None:
    """Raises DecodeError where the movie isn't the one that the shard is of."""
    same = shard.json("identity")["video"] == digest and np.array_equal(
        shard.file["time_s"][...], grid.time_s
    )
    if not same:
        raise DecodeError("the file has changed since it was extracted")


def _embeddings(
    pool: Pool, worker: Any, manifest: Manifest, additions: Mapping[str, Addition]
) -> dict[str, Any]:
    """Of the new sentences. Raises InputError for those that the encoder can't take."""
    movies = []
    for own in additions.values():
        movies.append(
            replace(own.movie, persons=tuple(p for p in own.movie.persons if p.person_id in own.new))
        )
    return run.prepare_sentences(pool, worker, replace(manifest, movies=tuple(movies)))
