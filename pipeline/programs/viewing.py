"""`rhas view`: what a run, features, labels and boxes say of movies, as a folder that opens in a browser.

In: a features folder, maybe with a run or its predictions; or a manifest, with labels and boxes. Out: the folder of
`rhas.pipeline.viewer`. A movie that can't be shown is said, and its timelines are there all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Literal

import numpy as np

from rhas.extract.decode.index import MovieIndex
from rhas.extract.decode.process import DecodeError, DecoderProcess
from rhas.manifests.common.errors import InputError, Problem, did_you_mean
from rhas.manifests.common.interruption import check
from rhas.manifests.shards.verify import read_config
from rhas.manifests.tables.boxes import load_boxes
from rhas.manifests.tables.labels import Interval
from rhas.manifests.tables.manifest import Movie
from rhas.pipeline.programs.annotating import Material
from rhas.pipeline.viewer import sources
from rhas.pipeline.viewer.folder import Played, ViewFolder
from rhas.pipeline.viewer.media import Proxies, index_of, provide
from rhas.pipeline.viewer.predictions import Predicted, of_folder, of_run

Video = Literal["auto", "proxy", "none"]
Intervals = Mapping[tuple[str, str], Sequence[Interval]]


@dataclass(frozen=True)
class Wanted:
    """What is to be shown, and how."""

    run: Path | None = None
    predictions: Path | None = None
    split: str | None = None
    labels: Path | None = None
    boxes: Path | None = None
    actions: Path | None = None
    movies: Sequence[str] = ()
    time_origin: str | None = None
    device: str | None = None
    video: Video = "auto"
    proxies: Proxies = field(default_factory=Proxies)
    place: str | None = None  # where the features are, if not where they are read


def write_view(data: Path, out: Path, wanted: Wanted, say: Callable[[str], None] = print) -> Path:
    """Of a features folder or of a manifest. Returns the page's path. Raises InputError."""
    material = Material.at(data, wanted.actions, wanted.time_origin)
    intervals = material.intervals(wanted.labels)
    manifest = {movie.movie_id: movie for movie in material.manifest.movies}
    for name in wanted.movies:
        if name not in manifest:
            near = did_you_mean(name, tuple(manifest))
            raise InputError(Problem("--movie", f"a movie of {material.manifest.path}{near}", value=name))
    chosen = [m for m in manifest if not wanted.movies or m in wanted.movies]
    if material.features is not None:
        there = set(material.features.movie_ids)
        if lacking := [m for m in chosen if m not in there]:
            say(f"note: {len(lacking)} movies have no features, and are left out: {', '.join(lacking[:5])}")
        chosen = [m for m in chosen if m in there]
    if not chosen:
        raise InputError(Problem(data, "a movie to show"))
    folder = ViewFolder(out, material.vocabulary)
    folder.check_place()
    with _Showing(material, wanted, folder, say) as showing:
        predicted = _predicted(material, wanted, chosen)
        for movie_id, own in groupby(predicted, key=lambda one: one.key[0]):
            showing.add(manifest[movie_id], own, intervals)
        if wanted.split is None:
            for movie_id in chosen:
                if movie_id not in showing.done:
                    showing.add(manifest[movie_id], (), intervals)
    others = [
        (*key, i.action, i.start_s, i.end_s)
        for key, own in intervals.items()
        if key not in showing.persons
        for i in own
    ]
    return folder.finish(others, _about(data, wanted))


class _Showing:
    """Movies into a folder, with one decoder for all of them."""

    def __init__(self, material: Material, wanted: Wanted, folder: ViewFolder, say: Callable[[str], None]):
        self.material, self.wanted, self.folder, self.say = material, wanted, folder, say
        self.tracklets = {} if wanted.boxes is None else load_boxes(wanted.boxes)
        features = material.features
        decode = {} if features is None else read_config(features.folder)["config"].get("decode", {})
        self.decoder = DecoderProcess(deinterlace=decode.get("deinterlace", True))
        self.done: set[str] = set()
        self.persons: set[tuple[str, str]] = set()

    def __enter__(self) -> _Showing:
        return self

    def __exit__(self, *_: object) -> None:
        self.decoder.close()

    def add(self, movie: Movie, predicted: Iterable[Predicted], intervals: Intervals) -> None:
        check()
        if not self.done:  # what was there stays until there is something to show
            self.folder.begin()
        index, note = self._index(movie)
        source = self._source(movie, index, intervals)
        played = Played(None, note=note)
        if index is not None and self.wanted.video != "none":
            played = self._played(movie, index)
        if played.note:
            self.say(f"note: {movie.movie_id}: {played.note}")
        own = {p.person_id: intervals.get((movie.movie_id, p.person_id), ()) for p in source.persons}
        self.folder.add(source, predicted, own, played)
        self.done.add(movie.movie_id)
        self.persons |= {(movie.movie_id, p.person_id) for p in source.persons}

    def _index(self, movie: Movie) -> tuple[MovieIndex | None, str]:
        features = self.material.features
        if features is not None and self.wanted.video == "none":
            return None, ""
        stored = digest = None
        if features is not None:
            with features.shard(movie.movie_id) as shard:
                source = shard.json("source")
            if not source.get("decoded_height"):
                return None, "the features were imported, and say of no movie"
            stored, digest = features.folder.index(movie.movie_id), source.get("digest")
        try:
            return index_of(self.decoder, movie.video, stored, digest), ""
        except DecodeError as error:
            return None, f"there is no movie to show: {movie.video} ({error})"

    def _source(self, movie: Movie, index: MovieIndex | None, intervals: Intervals) -> sources.MovieSource:
        features, tracklets = self.material.features, self.tracklets
        if features is not None:
            with features.shard(movie.movie_id) as shard:
                return sources.of_shard(shard)
        if index is not None:
            origin = self.material.clocks.time_origin
            time_s = index.samples(sources.FPS, origin).time_s
            end_s = index.end_s + (index.facts.offset_s if origin == "container" else 0.0)
            return sources.of_movie(movie, time_s, end_s, tracklets)
        # Without the movie time ends with what is said of it.
        ends = [1.0]
        ends += [i.end_s for person in movie.persons for i in intervals.get(person.key, ())]
        ends += [float(tracklets[p.key].time_s[-1]) for p in movie.persons if p.key in tracklets]
        time_s = np.arange(int(np.ceil(max(ends) * sources.FPS)) + 1) / sources.FPS
        return sources.of_movie(movie, time_s, float(time_s[-1]), tracklets)

    def _played(self, movie: Movie, index: MovieIndex) -> Played:
        copy = self.wanted.video == "auto"
        try:
            with self.decoder.here(movie.video, index) as here:
                media = provide(
                    self.folder.media, here, index, self.decoder, self.wanted.proxies, copy, self.say
                )
        except DecodeError as error:
            return Played(None, note=f"there is no movie to show: {movie.video} ({error})")
        # Copies begin at 0 of every clock. A proxy begins with the first frame, whatever the container's clock says.
        behind = self.material.clocks.time_origin == "container" and media.made
        return Played(media, -index.facts.offset_s if behind else 0.0)


def _predicted(material: Material, wanted: Wanted, chosen: Sequence[str]) -> Iterator[Predicted]:
    features = material.features
    if features is None or (wanted.run is None and wanted.predictions is None):
        return iter(())
    if wanted.predictions is not None:
        return of_folder(wanted.predictions, features, chosen)
    assert wanted.run is not None
    movies = set(chosen) if wanted.movies else None
    return of_run(wanted.run, features.folder.root, wanted.split, movies, wanted.device)


def _about(data: Path, wanted: Wanted) -> list[str]:
    lines = [f"features {wanted.place or data}" if data.is_dir() else f"manifest {data}"]
    for what in ("run", "predictions", "split", "labels", "boxes"):
        if (value := getattr(wanted, what)) is not None:
            lines.append(f"{what} {value}")
    return lines
