"""Who is followed where, in whole movies of the made world that nothing was fitted to: what users get of `tracks`.

Movies go through extraction's own first pass, window by window, and linking; or, frame by frame, through its grounding.
Pictures are as they are drawn: no movie is coded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from rhas.extract.config import ExtractConfig
from rhas.extract.decode.process import Frames
from rhas.extract.decode.windows import WindowFrames
from rhas.extract.tracks import outside
from rhas.extract.tracks.link import link
from rhas.extract.tracks.looking import Looker
from rhas.extract.tracks.sparse import looked_at
from rhas.manifests.shards.format import MovieHeader
from rhas.manifests.shards.seen import Seen, seen_id
from rhas.manifests.shards.tracks import MovieTracks
from rhas.manifests.tables.manifest import Person
from rhas.pipeline.world import HELD_OUT
from rhas.pipeline.world.lives.layers import FPS
from rhas.pipeline.world.movie import MadeMovie
from rhas.pipeline.world.training.measure_detector import (
    SAMPLES_PER_SECOND,
    Finder,
    Grounding,
    of_movies,
    questions_of,
    referred,
)


@dataclass
class _Looks:
    """Frames that the detector sees, and all."""

    looked: int = 0
    frames: int = 0


def measure_tracks(
    config: ExtractConfig, movies: int, seed: int = 0, device: str = "cpu", stream: int = HELD_OUT
) -> tuple[Grounding, float]:
    """What comes of everybody in `movies` whole movies, and the share of frames that the detector sees."""
    finder = Finder(config.detector, device)
    tracker = outside.load(config.tracks).to(device) if config.tracks.outside else None
    looker = Looker(finder.grounder, config, tracker) if config.tracks.two_passes else None
    looks = _Looks()

    def asked(number: int) -> Iterator[dict[str, object]]:
        movie = MadeMovie.made(stream, seed, number)
        frames = list(range(0, movie.frames, FPS // SAMPLES_PER_SECOND))
        pictures = [movie.picture(frame) for frame in frames]
        pixels_THW3, persons = np.stack([picture.image for picture in pictures]), referred(movie, number)
        if looker is None:
            found = finder.boxes_of(pixels_THW3, persons)
            looks.looked += len(frames)
        else:
            tracks, looked = tracks_of(looker, config, pixels_THW3, np.array(frames) / FPS, persons)
            found = finder.exact(pixels_THW3, dict(tracks.boxes))
            looks.looked += looked
        looks.frames += len(frames)
        yield from questions_of(movie, number, frames, pictures, persons, found)

    found = of_movies(asked(number) for number in range(movies))
    return found, looks.looked / looks.frames


def _window(pixels_nHW3: np.ndarray) -> WindowFrames:
    return WindowFrames(Frames(pixels_nHW3, np.ones(len(pixels_nHW3), bool), "", False, 0), lead=0)


def tracks_of(
    looker: Looker, config: ExtractConfig, pixels_THW3: np.ndarray, time_s: np.ndarray, persons: list[Person]
) -> tuple[MovieTracks, int]:
    """A movie's tracks, by both steps of `rhas.extract.tracks`, and how many of its frames the detector saw."""
    header = MovieHeader(
        movie_id=persons[0].movie_id, video="", identity={}, config={}, models={}, versions={}, source={},
        fps=SAMPLES_PER_SECOND, window_frames=config.decode.window_frames, time_s=time_s,
        source_frame=np.arange(len(time_s)), persons=tuple(persons), feature_shape=(),
    )  # fmt: skip
    inside = [header.inside(person) for person in persons]
    look_T = looked_at(time_s, inside, config.tracks.every_s)
    seen = {}
    for index in header.planned():
        start, stop = header.bound(index)
        window, look = _window(pixels_THW3[start:stop]), look_T[start:stop]
        if looker.tracker is None:
            window = window.thinned_out(look)
        arrays = looker.look(window, start, look, persons, [mask[start:stop] for mask in inside])
        seen[index] = Seen(header.movie_id, index, start, stop, seen_id(header, index), "", "", arrays)
    return link(header, seen, {}, config), int(look_T.sum())
