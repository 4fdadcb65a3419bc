"""An extraction from start to end: checks, what is left to do (`unfinished`), the scheduled work, the accounts.

In: checked inputs, an output folder, configuration and options. Out: shards, `failures.csv`, `report.json` and
a `Summary`. Nothing is overwritten that was computed with other settings: such a run is refused.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from rhas.extract.config import ExtractConfig, RunOptions, config_from_dict
from rhas.extract.decode.index import MovieIndex, any_index
from rhas.extract.decode.notes import notes_on
from rhas.extract.decode.process import fit_short_side
from rhas.extract.decode.sampling import Grid
from rhas.extract.decode.stored_movies import check_stores
from rhas.extract.run.accounts import Accounts, Summary
from rhas.extract.run.jobs import ENCODING, LOOKING, MovieJob
from rhas.extract.run.layout import on_this_machine
from rhas.extract.run.local_pool import local_pool
from rhas.extract.run.outputs import Output, opened_output
from rhas.extract.run.places import check_places
from rhas.extract.run.pool import Pool, ask_all, first_to_answer
from rhas.extract.run.progress import Progress, Snapshot
from rhas.extract.run.report import speed_report
from rhas.extract.run.schedule import Scheduler, WriteFailed
from rhas.extract.run.share import share_of
from rhas.extract.run.unfinished import differences, unfinished
from rhas.extract.tracks.everybody import kept_people
from rhas.extract.weights.hardware import cpu_has_bfloat16, gpus_have_bfloat16
from rhas.manifests.common.atomic import write_bytes_atomically, write_new_atomically, write_text_atomically
from rhas.manifests.common.errors import InputError, Problem
from rhas.manifests.common.interruption import check
from rhas.manifests.common.locations import Place, Remote
from rhas.manifests.common.lock import locked
from rhas.manifests.common.names import file_name
from rhas.manifests.shards.format import FORMAT_HINT, FORMAT_VERSION, MovieHeader
from rhas.manifests.shards.identity import content_id, movie_identity
from rhas.manifests.shards.interpolated import every_of
from rhas.manifests.shards.layout import FeaturesFolder
from rhas.manifests.shards.ledger import Finished
from rhas.manifests.shards.people import windows_left
from rhas.manifests.shards.ranks import RankFolder, among_its_own, merge, take_over, take_share
from rhas.manifests.shards.resume import FinishedWindows, SeenWindows
from rhas.manifests.shards.snapshot import refuse_others, write_snapshot
from rhas.manifests.shards.tracks import MovieTracks
from rhas.manifests.shards.verify import read_config
from rhas.manifests.tables.inputs import Inputs
from rhas.manifests.tables.manifest import Manifest, Movie, load_manifest


def extract(
    inputs: Inputs,
    out: Place,
    config: ExtractConfig,
    options: RunOptions,
    callback: Callable[[Snapshot], None] | None = None,
) -> Summary:
    """Extracts what is not yet there. Raises InputError when it must not begin, WriteFailed when it can't go on.

    `out`: a folder here, or an address at s3:// or gs:// (`rhas.extract.run.outputs`).

    Where nothing is left to do, neither Ray nor models are started, so that weights are known by their names only.
    """
    check_stores(inputs.manifest)
    with opened_output(out, options) as output:
        return _extract(inputs, output, config, options, callback)


def _extract(
    inputs: Inputs,
    output: Output,
    config: ExtractConfig,
    options: RunOptions,
    callback: Callable[[Snapshot], None] | None,
) -> Summary:
    folder = output.folder
    refuse_others(folder)
    with locked(folder.lock), among_its_own(folder):
        config = _with_precision(folder, config, options)
        _refuse_other_config(folder, config.to_dict())
        _refuse_dropped_movies(folder, inputs.manifest)
        whole, inputs = inputs, _share(folder, inputs)
        remove_leftovers(folder, inputs.manifest)
        check()
        books = Accounts(folder, inputs.manifest)
        begun = read_config(folder) if folder.config.exists() else None
        todo = unfinished(folder, inputs.manifest, begun, options, books) if begun else None
        todo = todo if inputs.manifest.movies else []

        def on_movie(movie_id: str, found: Finished | None) -> None:
            books.update(movie_id, found, progress)
            output.sealed(movie_id, books)

        progress = Progress(callback=callback, on_movie=on_movie)
        if todo == []:
            if begun:  # else this rank has no movies, and others have not begun
                write_snapshot(folder, whole)
            _begin(progress, inputs.manifest, books, todo)
            _close(output, whole.manifest, books, progress)
            return books.summary(progress, None, options.max_failure_rate)
        report = _work(output, inputs, whole, config, options, books, progress, todo)
        remove_leftovers(folder, inputs.manifest)
        if report["frames"] or not folder.report.exists():  # what only sealed shards has no speed to tell
            write_text_atomically(folder.report, json.dumps(report, indent=2) + "\n")
        _close(output, whole.manifest, books, progress)
    return books.summary(progress, report, options.max_failure_rate)


def _work(
    output: Output,
    inputs: Inputs,
    whole: Inputs,
    config: ExtractConfig,
    options: RunOptions,
    books: Accounts,
    progress: Progress,
    todo: list[Movie] | None,
) -> dict[str, Any]:
    """Starts workers and gives them the movies in `todo`, or (None) all that turn out to be unfinished.

    `whole` is the folder's, `inputs` what this run has of it. Returns the contents of report.json.
    """
    folder = output.folder
    if options.address is None:  # a cluster's nodes, which may have what isn't here, look themselves
        check_places(config)
    with pool_of(config, options, folder.root.absolute()) as pool:
        first, described = first_to_answer(pool, pool.models, "describe", options.patience_s)
        extraction = record_config(folder, config, described)
        if not output.config_written():  # another rank was first: held against what it wrote
            extraction = record_config(folder, config, described)
        embeddings = prepare_sentences(pool, first, inputs.manifest)
        if todo is None:
            todo = unfinished(folder, inputs.manifest, extraction, options, books)
        write_snapshot(folder, whole)
        output.said()

        def open_movie(movie: Movie, index: MovieIndex, grid: Grid) -> MovieJob:
            known = any_index(folder.index(movie.movie_id))
            if known is None or known.key() != index.key():
                folder.index(movie.movie_id).parent.mkdir(exist_ok=True)
                write_bytes_atomically(folder.index(movie.movie_id), index.to_bytes())
            books.video_keys[movie.movie_id] = index.key()
            header = movie_header(movie, index, grid, config, extraction, embeddings)
            header = replace(header, other_columns=inputs.manifest.others)
            if not config.tracks.two_passes or not header.planned():
                return encode(header, None)
            seen = SeenWindows(folder, header, options.retry_failed)
            if (tracks := seen.whole()) is not None:
                return encode(header, tracks)
            todo = set(header.planned()) - seen.indices()
            return MovieJob(header, todo, LOOKING, then=lambda tracks: encode(header, tracks))

        def encode(header: MovieHeader, tracks: MovieTracks | None) -> MovieJob:
            failed = {} if tracks is None else dict(tracks.failed)
            header = replace(header, tracks={} if tracks is None else tracks.digests(every_of(header.config)))
            finished = FinishedWindows(folder, header, options.retry_failed)
            done, people = finished.indices(), None
            if tracks is not None and config.tracks.everybody is not None:
                people = kept_people(folder, header, tracks, config)
                done -= windows_left(folder, header, people)
            todo = set(header.planned()) - done - failed.keys()
            return MovieJob(header, todo, ENCODING, tracks=tracks, people=people, failed=failed)

        def welcome(other: dict[str, Any]) -> None:
            _refuse(
                folder,
                differences(described["models"], other["models"]),
                "the same weights in all workers",
            )

        _begin(progress, inputs.manifest, books, todo)
        scheduler = Scheduler(
            pool, config, options, progress, open_movie, welcome, books.keep_traceback, books.ledger.refuse
        )
        try:
            scheduler.run(iter(todo))
        except BaseException:
            with suppress(WriteFailed):  # what it ends with says more
                books.write(progress)
            raise
        progress.tick(force=True)
        check()
        asked = scheduler.there if options.speed_check else []
        alone = ask_all(pool, asked, "speed_alone", attempts=1, otherwise=None)
        return speed_report(progress, pool.layout, alone)


def pool_of(config: ExtractConfig, options: RunOptions, root: Path) -> AbstractContextManager[Any]:
    if on_this_machine(options):
        return local_pool(config, options, root)
    from rhas.extract.run.ray_pool import ray_pool  # Ray starts slowly; refusals should not wait for it

    return ray_pool(config, options, root)


def _begin(progress: Progress, manifest: Manifest, books: Accounts, todo: list[Movie]) -> None:
    """Counts what is there already, and starts the clock."""
    now = progress.now
    now.movies, now.movies_failed = len(manifest.movies), len(books.unreadable)
    progress.failed_movies.update(books.unreadable)
    now.movies_done = now.movies_skipped = now.movies - len(todo) - now.movies_failed
    progress.start()


# --- ranks


def _share(folder: FeaturesFolder, inputs: Inputs) -> Inputs:
    """What this run is to do: all, or a rank's share."""
    if not isinstance(folder, RankFolder):
        take_over(folder)
        return inputs
    manifest = share_of(folder, inputs.manifest)
    take_share(folder, [movie.movie_id for movie in manifest.movies])
    return replace(inputs, manifest=manifest)


def _close(output: Output, manifest: Manifest, books: Accounts, progress: Progress) -> None:
    """All shards are where they belong, and accounts say so; those of all ranks, as far as they have ended."""
    output.finish(books)
    books.close(progress)
    output.said()
    if isinstance(output.folder, RankFolder):
        merge(output.folder, manifest)
        output.said()
        while output.refresh():  # another one has ended meanwhile
            merge(output.folder, manifest)
            output.said()


# --- before the work


def _refuse(folder: FeaturesFolder, differences: list[str], remedy: str) -> None:
    if differences:
        raise InputError([Problem(folder.root, f"{remedy}: {difference}") for difference in differences])


def _with_precision(folder: FeaturesFolder, config: ExtractConfig, options: RunOptions) -> ExtractConfig:
    """`auto` is what the folder was begun with, wherever that was; in a new one what the hardware is made for.

    A cluster's nodes may differ in what their CPUs have, so that they get float32.
    """
    if folder.config.exists():
        config = config.as_begun(read_config(folder)["config"])
    if config.precision != "auto":
        return config
    if options.gpus:
        return config.resolved(gpus_have_bfloat16())
    return config.resolved(options.address is None and cpu_has_bfloat16())


def _refuse_other_config(folder: FeaturesFolder, config: dict[str, Any]) -> None:
    if folder.config.exists():
        record = read_config(folder)
        other = differences(record["format_version"], FORMAT_VERSION, "format_version")
        _refuse(folder, other, f"a folder of this version's format{FORMAT_HINT}")
        # A setting that there wasn't yet when the folder was begun has its default, which is what was done then.
        begun = config_from_dict(record["config"], folder.config).to_dict()
        changed = differences(*(json.loads(json.dumps(settings)) for settings in (begun, config)))
        _refuse(folder, changed, "the settings that the folder was begun with (or another --out)")


def _refuse_dropped_movies(folder: FeaturesFolder, manifest: Manifest) -> None:
    if folder.manifest.exists():
        now = {movie.movie_id for movie in manifest.movies}
        dropped = [m.movie_id for m in load_manifest(folder.manifest).movies if m.movie_id not in now]
        has_shard = [f"movie {m} is no longer in the manifest" for m in dropped if folder.has_shard(m)]
        _refuse(folder, has_shard, "a manifest with all movies that were extracted here (or another --out)")


def remove_leftovers(folder: FeaturesFolder, manifest: Manifest) -> None:
    """Temporary files of a run, or of a writer within it, that was killed; for when nobody is writing any.

    The lock keeps other runs away; of a rank, only from its own movies.
    """
    patterns = [".*.tmp", *(f"{name}/.*.tmp" for name in ("shards", "tracks", "people", "parts/*"))]
    if isinstance(folder, RankFolder):
        names = [file_name(movie.movie_id) for movie in manifest.movies]
        patterns = [p for n in names for p in (f"shards/.{n}.h5.*.tmp", f"parts/{n}/.*.tmp")]
    for pattern in patterns:
        for temporary in folder.root.glob(pattern):
            temporary.unlink(missing_ok=True)


def record_config(folder: FeaturesFolder, config: ExtractConfig, first: dict[str, Any]) -> dict[str, Any]:
    """Writes config.json, or checks that the models are those that it names. Returns its contents.

    `first`: what a model worker says of itself; those that join later are held against it.
    """
    identity = {"format_version": FORMAT_VERSION, "config": config.to_dict(), "models": first["models"]}
    record = json.loads(json.dumps({"extraction": content_id(identity), **identity, **first}))
    if folder.config.exists():
        old = read_config(folder)
        _refuse_other_config(folder, record["config"])  # another rank's machine may have another `auto`
        _refuse(
            folder,
            differences(old["models"], record["models"]),
            "the weights that the folder was begun with",
        )
        return {**record, "extraction": old["extraction"], "config": old["config"]}
    if not write_new_atomically(folder.config, (json.dumps(record, indent=2) + "\n").encode()):
        return record_config(folder, config, first)  # another rank was first
    return record


def prepare_sentences(pool: Pool, worker: Any, manifest: Manifest) -> dict[str, Any]:
    """Embeddings by sentence, where the encoder has them. Raises InputError for sentences it can't take."""
    persons = {person.reference: person for person in manifest.persons}
    try:
        return ask_all(pool, [worker], "prepare", list(persons), attempts=3)[0]
    except InputError as error:
        problems = []
        for problem in error.problems:
            person = persons.get(str(problem.value))
            where = f" (movie {person.movie_id}, person {person.person_id})" if person else ""
            problems.append(
                replace(problem, file=manifest.path, column="reference", expected=problem.expected + where)
            )
        raise InputError(problems) from error


def movie_header(
    movie: Movie,
    index: MovieIndex,
    grid: Grid,
    config: ExtractConfig,
    extraction: dict[str, Any],
    embeddings: dict[str, Any],
) -> MovieHeader:
    height, width = fit_short_side(index.facts.height, index.facts.width, config.decode.short_side)
    return MovieHeader(
        movie_id=movie.movie_id,
        video=movie.video if isinstance(movie.video, Remote) else str(movie.video),
        identity=movie_identity(extraction["extraction"], index.facts.digest, movie.persons),
        config=extraction["config"],
        models=extraction["models"],
        versions=extraction["versions"],
        source={
            **asdict(index.facts), "joined_at_s": list(index.facts.joined_at_s),
            "decoded_height": height, "decoded_width": width, "notes": notes_on(index),
        },
        fps=config.decode.fps,
        window_frames=config.decode.window_frames,
        time_s=grid.time_s,
        source_frame=grid.source_frame,
        persons=movie.persons,
        feature_shape=tuple(extraction["feature_shape"]),
        text_embeddings={p.person_id: embeddings[p.reference] for p in movie.persons if p.reference in embeddings},
    )  # fmt: skip
