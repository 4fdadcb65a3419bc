"""What movies' clocks say: when each frame is shown, and how far movie time is behind a player's clock.

In: features or no features, and a movie. Out: a clock, from what is at hand: the features' index of the movie and its
shard, or the movie itself, which is then read once. Never from a nominal rate: where nothing is at hand, that is an
InputError.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rhas.extract.decode.index import MovieIndex
from rhas.extract.decode.process import DecodeError, DecoderProcess
from rhas.extract.decode.sampling import ROUNDING_S
from rhas.manifests.annotations.clocks import FrameClock, PlayerClock, Samples
from rhas.manifests.common.errors import InputError, Problem
from rhas.manifests.shards.reader import FeaturesReader, Shard, end_s
from rhas.manifests.shards.verify import read_config
from rhas.manifests.tables.manifest import Movie

Size = tuple[int, int]  # width and height of frames as annotation tools decode them, in pixels


@dataclass(frozen=True)
class MovieClocks:
    """Of the movies of a features folder, or of a manifest."""

    features: FeaturesReader | None
    time_origin: str

    @classmethod
    def of(cls, features: FeaturesReader | None, time_origin: str) -> MovieClocks:
        """`time_origin` is for movies without features (`DecodeConfig.time_origin`); those with have their own."""
        if features is not None:
            decode = read_config(features.folder)["config"].get("decode", {})
            time_origin = decode.get("time_origin", "first-frame")
        return cls(features, time_origin)

    def player(self, movie: Movie) -> PlayerClock:
        """The clock of players. Features that others computed have no movie: their times are taken as they are."""
        if self.time_origin == "container":
            return PlayerClock()
        if self.features is not None:
            with self.features.shard(movie.movie_id) as shard:
                source = shard.json("source")
            if "container_start_s" not in source:
                return PlayerClock()
            return PlayerClock(float(source["start_s"]) - float(source["container_start_s"]))
        return PlayerClock(self._index(movie, None).facts.offset_s)

    def frames(self, movie: Movie) -> tuple[FrameClock, Size]:
        """The clock of frame numbers, and the size of frames."""
        if self.features is None:
            return self._of_index(self._index(movie, None), None)
        with self.features.shard(movie.movie_id) as shard:
            time_s, frame = shard.file["time_s"][...], shard.file["source_frame"][...]
            samples = Samples(time_s, frame)
            if shard.fps is None and np.array_equal(frame, np.arange(len(frame))):
                source = shard.json("source")
                return FrameClock(time_s, end_s(time_s), 0.0, samples), (
                    int(source["width"]),
                    int(source["height"]),
                )
            return self._of_index(self._index(movie, shard), samples)

    def _of_index(self, index: MovieIndex, samples: Samples | None) -> tuple[FrameClock, Size]:
        facts = index.facts
        begins_s = facts.offset_s if self.time_origin == "container" else 0.0
        size = facts.coded_width, facts.coded_height
        clock = FrameClock(index.start_s + begins_s, index.end_s + begins_s, ROUNDING_S, samples)
        return clock, (size[1], size[0]) if index.rendering.orientation.sideways else size

    def _index(self, movie: Movie, shard: Shard | None) -> MovieIndex:
        """The movie's, stored beside its features, or made now. Raises InputError."""
        digest = None if shard is None else shard.json("identity").get("video")
        if shard is not None and self.features is not None:
            path = self.features.folder.index(movie.movie_id)
            try:
                index = MovieIndex.from_bytes(path.read_bytes())
            except (OSError, ValueError):
                pass
            else:
                if index.facts.digest == digest:
                    return index
        try:
            with DecoderProcess() as decoder:
                index = decoder.index(movie.video)
        except DecodeError as error:
            expected = f"the movie, to know when each of its frames is shown ({error})"
            raise InputError(Problem(str(movie.video), expected)) from error
        if digest is not None and index.facts.digest != digest:
            raise InputError(
                Problem(str(movie.video), "the movie that the features were extracted from, not another")
            )
        return index
