"""What can be a stage: which command it is, what it reads of earlier stages, and where it writes.

A stage is done if nothing that it read has changed since, nor what it wrote. `digest` says what that is: of a features
folder every checksum, of a run its best weights, of a file its bytes, of a movie its size and time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rhas.manifests.common.digest import file_digest, file_key
from rhas.manifests.common.errors import InputError
from rhas.manifests.common.locations import Place, Remote
from rhas.manifests.common.stores import listing
from rhas.manifests.shards.identity import content_id
from rhas.manifests.shards.layout import FeaturesFolder
from rhas.manifests.shards.ledger import Ledger, checksum_of
from rhas.manifests.shards.reader import FeaturesReader, Shard
from rhas.manifests.tables.manifest import load_manifest
from rhas.pipeline.commands import extract, features, train


@dataclass(frozen=True)
class Kind:
    """A command of `rhas` as a stage. Names are those of the command's options, without dashes."""

    command: Callable[..., Any]
    takes: Mapping[str, str] = field(
        default_factory=dict
    )  # option: the kind of stage whose output it is by default
    files: tuple[str, ...] = ()  # options that name other files that are read; paths among the others are too
    folders: tuple[str, ...] = ()  # options that take NAME=FOLDER, of folders that are read
    required: tuple[str, ...] = ()  # options that a stage has to have, though the command can do without
    writes: str | None = None  # option: where it writes; by default a folder with the stage's name
    result: str | None = None  # of what it takes, what it adds to: OPTION/file
    needs: str = "one GPU if this machine has one, else its cores"  # where the file doesn't say
    spread: bool = False  # asks a cluster for cores and GPUs itself: it has --gpus, --workers and --address


KINDS = {
    "extract": Kind(
        extract.extract,
        files=("movies", "labels", "actions"),
        required=("movies",),
        writes="out",
        needs="all cores, no GPU",
        spread=True,
    ),
    "verify": Kind(features.verify, takes={"features": "extract"}, needs="one core"),
    "train": Kind(train.train, takes={"shards": "extract"}, writes="out", spread=True),
    "eval": Kind(train.evaluate, takes={"run": "train"}, result="run/results.csv"),
    "predict": Kind(train.predict, takes={"run": "train", "shards": "extract"}, writes="out"),
    "benchmark": Kind(train.benchmark, takes={"shards": "extract"}, folders=("also",), writes="out"),
    "report": Kind(train.report, takes={"run": "train"}, writes="out"),
}


def digest(path: Place) -> str:
    """What makes two inputs or outputs the same; empty if there is nothing, or nothing whole."""
    if isinstance(path, Remote):
        return _stored_digest(path)
    best = path / "checkpoints" / "best.safetensors"
    try:
        if FeaturesFolder(path).config.is_file():
            return _features_digest(FeaturesFolder(path))
        if best.is_file():
            return file_digest(best)
        if path.is_dir():
            files = sorted(
                file for file in path.rglob("*") if file.is_file() and not file.name.startswith(".")
            )
            return content_id([(str(file.relative_to(path)), file_digest(file)) for file in files])
        return file_digest(path)
    except (OSError, InputError):
        return ""


def _features_digest(folder: FeaturesFolder) -> str:
    """Tables, and every window's checksum: of shards whose files are as they were when they were last written or read,
    as that is known; of others read now. Raises InputError for a damaged one."""
    ledger, shards = Ledger(folder), {}
    for movie_id in FeaturesReader(folder.root).movie_ids:
        known = ledger.known(movie_id)
        if known is not None and known.windows:
            shards[movie_id] = known.windows
        else:
            with Shard(folder.shard(movie_id)) as shard:
                shards[movie_id] = checksum_of(shard.windows())
    tables = (folder.manifest, folder.labels, folder.actions, folder.folds)
    return content_id([{path.name: file_digest(path) for path in tables if path.is_file()}, shards])


def _stored_digest(folder: Remote) -> str:
    """Of a features folder in a store: what its listing says of shards and tables."""
    try:
        found = listing(folder)
    except (OSError, InputError):
        return ""
    tables = ("manifest.csv", "labels.csv", "actions.csv", "splits.csv", "config.json")
    kept = {n: facts.key for n, facts in found.items() if n in tables or n.startswith("shards/")}
    return content_id(kept) if "config.json" in kept else ""


def movies_digest(manifest: Path) -> str:
    """Of the movies that a manifest names; those that are missing now may come."""
    try:
        movies = load_manifest(manifest).movies
    except InputError:
        return ""  # which the stage itself will say better
    return content_id([_movie(movie.video) for movie in movies])


def _movie(video: Place) -> str:
    try:
        return content_id(file_key(video))
    except OSError:
        return ""
