"""Which movies of a manifest need work, told as cheaply as it can be.

In: a features folder that was begun, its manifest, the record of the extraction. Out: the movies that have no shard, a
damaged one, or one that lost what may be had now; what all others hold goes to the accounts. Movies whose shard was
made of other sentences or bytes are refused.

A shard whose file has the size and time that it had when it was last written or read from end to end is taken to be
sound; any other, and with `options.verify` each, is read from end to end.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

from rhas.extract.config import RunOptions
from rhas.extract.decode.index import any_index
from rhas.extract.decode.process import DecodeError, check_file
from rhas.extract.decode.stored_movies import VideoKeys
from rhas.extract.run.accounts import Accounts
from rhas.extract.run.outputs import cache_of
from rhas.manifests.common.atomic import write_bytes_atomically
from rhas.manifests.common.cache import FileCache
from rhas.manifests.common.digest import file_digest
from rhas.manifests.common.errors import InputError, Problem
from rhas.manifests.common.interruption import check
from rhas.manifests.common.locations import Place, Remote
from rhas.manifests.shards.identity import movie_identity
from rhas.manifests.shards.layout import FeaturesFolder
from rhas.manifests.shards.ledger import FileKey, Finished
from rhas.manifests.shards.reader import Shard, reading
from rhas.manifests.shards.verify import shard_problems
from rhas.manifests.tables.manifest import Manifest, Movie


def unfinished(
    folder: FeaturesFolder,
    manifest: Manifest,
    extraction: dict[str, Any],
    options: RunOptions,
    books: Accounts,
) -> list[Movie]:
    """The movies that need work. Raises InputError when some were extracted from other sentences or bytes."""
    todo, changed = [], []
    keys = VideoKeys(movie.video for movie in manifest.movies)
    for movie in manifest.movies:
        check()
        found, sound = _look(folder, movie, extraction, options, books)
        if found is not None:
            books.note(found)
        try:
            video = keys.of(movie.video)
            digest = "" if found is None else _digest(folder, movie, video, found, cache_of(options))
        except OSError as error:
            books.unreadable[movie.movie_id] = ("probe", error.strerror or str(error))
            continue
        if found is None:
            if reason := _refused(movie.movie_id, movie.video, video, options, books):
                books.unreadable[movie.movie_id] = ("probe", reason)
            else:
                todo.append(movie)
            continue
        old, new = found.identity, movie_identity(extraction["extraction"], digest, movie.persons)
        same = old == new or (video is None and old["persons"] == new["persons"])
        if not same:
            changed += [f"movie {movie.movie_id}: {d}" for d in differences(old, new)]
        elif sound:
            books.ledger.add(replace(found, video=video or found.video))
        lost = found.lost if options.retry_failed else found.undone
        if not (same and sound) or (lost and video is not None):
            todo.append(movie)
    for movie in todo:  # of some windows the shard may be kept
        folder.bring(movie.movie_id)
    if changed and not options.update:
        remedy = "the sentences, intervals and movies extracted before (--update redoes these movies)"
        raise InputError([Problem(folder.root, f"{remedy}: {difference}") for difference in changed])
    return todo


def differences(old: Any, new: Any, name: str = "") -> list[str]:
    """What isn't the same in two nestings of plain data, by dotted name."""
    if isinstance(old, dict) and isinstance(new, dict):
        keys = sorted(old.keys() | new.keys())
        return [d for k in keys for d in differences(old.get(k), new.get(k), f"{name}.{k}".strip("."))]
    return [] if old == new else [f"{name} was {old!r}, now {new!r}"]


def _look(
    folder: FeaturesFolder, movie: Movie, extraction: dict[str, Any], options: RunOptions, books: Accounts
) -> tuple[Finished | None, bool]:
    """What the movie's shard holds (None: there is none that can be read), and whether it is sound."""
    known = None if options.verify else books.ledger.known(movie.movie_id)
    if known is not None:
        return known, True
    path, found, sound = folder.shard(movie.movie_id), None, False
    with suppress(InputError):
        folder.bring(movie.movie_id)
        found = Finished.of(path)
        with Shard(path) as shard, reading(path, "a feature shard"):
            sound = not any(True for _ in shard_problems(shard, movie, extraction))
    if not sound:
        books.ledger.strike_out([movie.movie_id])
    return found, sound


def _refused(movie_id: str, video: Place, key: FileKey | None, options: RunOptions, books: Accounts) -> str:
    """Why a file can't be a movie, as it shows or as an earlier run found; a rerun with --retry-failed tries again.

    What shows here is on a cluster for its nodes to say, which may see other files; but stores are the same for all.
    """
    if isinstance(video, Remote) and (key is None or key[0] == 0):
        return "no such file" if key is None else "the file is empty"
    if not isinstance(video, Remote) and options.address is None:
        try:
            check_file(video)
        except DecodeError as error:
            return str(error)
    return "" if options.retry_failed else books.ledger.refused(movie_id, key)


def _digest(
    folder: FeaturesFolder, movie: Movie, video: FileKey | None, found: Finished, cache: FileCache
) -> str:
    """Of the movie's bytes, "" where there is no file; read again only if its size or time has changed."""
    if video is None:
        return ""
    if found.video == video:
        return str(found.identity["video"])
    path = folder.index(movie.movie_id)
    known = any_index(path)
    if known is not None and known.key() == video:
        return known.facts.digest
    with cache.local(movie.video, key=video) as here:
        digest = file_digest(here)
    if known is not None and known.facts.digest == digest:  # copied or touched: the index stays right
        write_bytes_atomically(path, replace(known, mtime_ns=video[1]).to_bytes())
    return digest
