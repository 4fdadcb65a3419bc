"""The movies that wait for a decoder, and which of them each will have next, so that it can be fetched meanwhile.

A movie in a store is promised to the decoder that was given the one before: that one fetches it while it reads, on its
own machine. A promise is no more than that: who has nothing else to do takes what was promised to others.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any, TypeAlias

from rhas.manifests.common.locations import Place, Remote
from rhas.manifests.tables.manifest import Movie

Waiting: TypeAlias = tuple[Movie, int]  # with the number of attempts before


class NextMovies:
    """In their order, but for what is promised. True while there are any."""

    def __init__(self) -> None:
        self._free: deque[Waiting] = deque()
        self._promised: dict[Any, Waiting] = {}

    def __bool__(self) -> bool:
        return bool(self._free or self._promised)

    def extend(self, movies: Iterable[Waiting]) -> None:
        self._free.extend(movies)

    def append(self, movie: Waiting) -> None:
        self._free.append(movie)

    def take(self, decoder: Any) -> tuple[Movie, int, tuple[Place, ...]]:
        """The decoder's next movie, its attempts, and what to fetch after it: one movie, or none.

        Raises IndexError where none is left.
        """
        if decoder in self._promised:
            movie, attempts = self._promised.pop(decoder)
        elif self._free:
            movie, attempts = self._free.popleft()
        elif self._promised:
            movie, attempts = self._promised.pop(next(reversed(self._promised)))
        else:
            raise IndexError("no movie is left")
        if self._free and isinstance(self._free[0][0].video, Remote):
            self._promised[decoder] = self._free.popleft()
            return movie, attempts, (self._promised[decoder][0].video,)
        return movie, attempts, ()
