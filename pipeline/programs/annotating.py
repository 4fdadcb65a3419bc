"""`rhas annotate`: labels, predictions and boxes to files of annotation tools, one a movie, and back.

In: a features folder or a manifest, and the tool. Out: files named by movie_id (`rhas.manifests.common.names`), or
labels.csv and boxes.csv. What
movies' clocks say is left to `movie_clocks`, the tools' formats to `rhas.manifests.annotations`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from rhas.manifests.annotations import cvat, cvat_writing, elan, via
from rhas.manifests.annotations.drawn import Drawn
from rhas.manifests.common.atomic import write_text_atomically
from rhas.manifests.common.errors import InputError, Problem, did_you_mean
from rhas.manifests.common.interruption import check
from rhas.manifests.common.names import file_name
from rhas.manifests.shards.layout import FeaturesFolder
from rhas.manifests.shards.reader import FeaturesReader
from rhas.manifests.shards.status import HAS_BOX, FrameStatus
from rhas.manifests.tables.boxes import COLUMNS as BOX_COLUMNS
from rhas.manifests.tables.csvfile import write_rows
from rhas.manifests.tables.labels import Interval, Labels, load_labels, write_labels
from rhas.manifests.tables.manifest import Manifest, Movie, load_manifest
from rhas.manifests.tables.vocabulary import Vocabulary, load_vocabulary
from rhas.pipeline.programs.movie_clocks import MovieClocks

Tool = Literal["elan", "cvat", "via"]
SUFFIXES = {"elan": elan.SUFFIXES, "cvat": cvat.SUFFIXES, "via": via.SUFFIXES}


@dataclass(frozen=True)
class Material:
    """What there is to annotate: movies, their actions, and where labels are if no others are named."""

    manifest: Manifest
    vocabulary: Vocabulary
    labels: Path
    clocks: MovieClocks
    features: FeaturesReader | None

    @classmethod
    def at(cls, data: Path, actions: Path | None, time_origin: str | None) -> Material:
        """Of a features folder, or of a manifest with what lies beside it. Raises InputError."""
        folder = FeaturesFolder(data if data.is_dir() else data.parent)
        features = FeaturesReader(data) if data.is_dir() else None
        if features is not None and time_origin is not None:
            raise InputError(Problem("--time-origin", "it with a manifest only: features have theirs"))
        found = actions or (folder.actions if folder.actions.is_file() else None)
        return cls(
            manifest=load_manifest(folder.manifest if features else data),
            vocabulary=load_vocabulary(found),
            labels=folder.labels,
            clocks=MovieClocks.of(features, time_origin or "first-frame"),
            features=features,
        )

    def intervals(self, labels: Path | None) -> Mapping[tuple[str, str], Sequence[Interval]]:
        """Those of a file of labels or predictions; without one, the data's own, if there are any."""
        path = labels or self.labels
        if labels is None and not path.is_file():
            return {}
        return load_labels(path, self.vocabulary, self.manifest, predicted=True).intervals


def annotate_to(
    tool: Tool, data: Path, out: Path, labels: Path | None = None, actions: Path | None = None,
    movies: Sequence[str] = (), time_origin: str | None = None,
) -> Iterator[str]:  # fmt: skip
    """Writes a file for each movie, or those named; yields lines on them. Raises InputError."""
    material = Material.at(data, actions, time_origin)
    intervals = material.intervals(labels)
    chosen = [_movie(material.manifest, name, "--movie") for name in movies] or material.manifest.movies
    paths = {m.movie_id: out / f"{file_name(m.movie_id)}{SUFFIXES[tool][0]}" for m in chosen}
    if there := [path.name for path in paths.values() if path.exists()]:
        expected = "a folder without files of these movies, which somebody may have corrected"
        raise InputError(Problem("--out", expected, value=f"{out} with {', '.join(there[:10])}"))
    out.mkdir(parents=True, exist_ok=True)
    count, lost = 0, []
    for movie in chosen:
        check()
        own = {p.person_id: intervals.get(p.key, ()) for p in movie.persons}
        lost += _write(tool, paths[movie.movie_id], movie, own, material)
        count += sum(map(len, own.values()))
    yield f"{out}: {len(chosen)} movies, {count} intervals"
    yield from (f"note: {line}" for line in lost)


def annotate_from(
    tool: Tool, files: Path, data: Path, out: Path, boxes: Path | None = None, actions: Path | None = None,
    keep: bool = False, time_origin: str | None = None,
) -> Iterator[str]:  # fmt: skip
    """Writes labels, and boxes if a path is given; yields lines on them. Raises InputError.

    `keep`: movies without a file have the labels that the data has.
    """
    material = Material.at(data, actions, time_origin)
    drawn = [_read(tool, file, material) for file in _files(tool, files)]
    intervals = {key: own for one in drawn for key, own in one.intervals().items()}
    others = [m for m in material.manifest.movies if m.movie_id not in {one.movie.movie_id for one in drawn}]
    if keep:
        kept = {movie.movie_id for movie in others}
        intervals |= {key: own for key, own in material.intervals(None).items() if key[0] in kept}
    if not intervals:
        raise InputError(Problem(files, "at least one labelled interval"))
    out.parent.mkdir(parents=True, exist_ok=True)
    write_labels(Labels(out, intervals), out)
    found = load_labels(out, material.vocabulary, material.manifest)
    yield f"{out}: {len(drawn)} movies, {len(found.intervals)} persons, {found.count} intervals"
    yield from (f"note: {line}" for one in drawn for line in one.told())
    if others and not keep:
        yield f"note: {len(others)} movies have no file here, and no labels in {out.name} (--keep keeps theirs)"
    if sources := [(one, person_id, rows) for one in drawn for person_id, rows in one.boxes.items()]:
        if boxes is None:
            yield f"note: boxes of {len(sources)} persons are left aside (--boxes PATH writes them)"
            return
        rows = (
            (one.movie.movie_id, person_id, time_s, *box)
            for one, person_id, own in sources
            for time_s, box in zip(own.time_s.tolist(), own.box.tolist(), strict=True)
        )
        write_rows(boxes, BOX_COLUMNS, rows)
        yield f"{boxes}: {sum(len(own.time_s) for *_, own in sources)} boxes of {len(sources)} persons"
    elif boxes is not None:
        raise InputError(Problem("--boxes", f"boxes of persons in {files}"))


def _write(
    tool: Tool, path: Path, movie: Movie, labels: Mapping[str, Sequence[Interval]], material: Material
) -> list[str]:
    if tool == "cvat":
        clock, size = material.clocks.frames(movie)
        text = cvat_writing.labels_of(movie, material.vocabulary)
        write_text_atomically(path.with_name(f"{path.stem}.labels.json"), text)
        boxes = _boxes(material.features, movie)
        return cvat_writing.write_cvat(path, movie, labels, boxes, material.vocabulary, clock, size)
    write = elan.write_elan if tool == "elan" else via.write_via
    return write(path, movie, labels, material.vocabulary, material.clocks.player(movie))


def _read(tool: Tool, file: Path, material: Material) -> Drawn:
    check()
    movie = _movie(material.manifest, file.stem, file)
    if tool == "cvat":
        return cvat.read_cvat(file, movie, material.vocabulary, material.clocks.frames(movie)[0])
    read = elan.read_elan if tool == "elan" else via.read_via
    return read(file, movie, material.vocabulary, material.clocks.player(movie))


def _boxes(features: FeaturesReader | None, movie: Movie) -> dict[str, cvat_writing.SampledBoxes]:
    if features is None:
        return {}
    boxes = {}
    with features.shard(movie.movie_id) as shard:
        for person_id in shard.person_ids:
            series = shard.person(person_id)
            if np.isin(series.status, HAS_BOX).any():
                doubtful = series.status == FrameStatus.DOUBTFUL
                boxes[person_id] = cvat_writing.SampledBoxes(series.box[...], doubtful)
    return boxes


def _movie(manifest: Manifest, movie_id: str, where: str | Path) -> Movie:
    """By its id, or as files are named by it."""
    known = {file_name(movie.movie_id): movie for movie in manifest.movies}
    known |= {movie.movie_id: movie for movie in manifest.movies}
    if movie_id not in known:
        expected = f"the movie_id of a movie of {manifest.path}{did_you_mean(movie_id, tuple(known))}"
        raise InputError(Problem(where, expected, value=movie_id))
    return known[movie_id]


def _files(tool: Tool, files: Path) -> list[Path]:
    if not files.is_dir():
        return [files]
    found = sorted(path for path in files.iterdir() if path.suffix.lower() in SUFFIXES[tool])
    twice = [path for path in found if sum(path.stem == other.stem for other in found) > 1]
    if twice or not found:
        expected = f"files {', '.join(f'MOVIE_ID{suffix}' for suffix in SUFFIXES[tool])}, one a movie"
        raise InputError(Problem(files, expected, value=", ".join(path.name for path in twice) or "none"))
    return found
