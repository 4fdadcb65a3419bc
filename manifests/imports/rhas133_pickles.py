"""The pickles of RHAS133: what each sample does, where its frames come from, and whom the sentence names.

    actions_<split>_rhas.pkl      samples × frames × class indices from 0, none or several a frame
    frame_ids_<split>_rhas.pkl    samples × frames; numbers, or texts
    person_ref_<split>_rhas.pkl   samples; a sentence, or the same one for every frame

In: a folder and the name of a split. Out: a `Described` for each sample. Indices may be Python's or numpy's
whole numbers, or texts of digits; one that stands alone counts as a list of one. Sizes are checked before
anything is gone through: a pickle may claim more than it holds.

An id of a frame may name its movie. Which part does, a regular expression says, with a group `movie` and maybe a
group `frame`; by default the movie is what stands before the last slash. All frames of a sample have to agree.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rhas.manifests.common.errors import InputError, Problem, shorten
from rhas.manifests.imports.plain_pickle import load_plain
from rhas.manifests.shards.format import one_line
from rhas.manifests.tables.manifest import MAX_REFERENCE_CHARS
from rhas.manifests.tables.vocabulary import Vocabulary

MOVIE_PATTERN = r"(?P<movie>.+)/[^/]*?((?<![0-9])(?P<frame>[0-9]+))?(\.[A-Za-z0-9]+)?"
_DIGITS = re.compile(r"[0-9]{1,18}")
_MAX_ID_CHARS = 1000  # no path is longer


@dataclass(frozen=True)
class Described:
    """A sample of T frames as the pickles have it."""

    classes: tuple[frozenset[int], ...]  # [T]
    source_frame: NDArray[np.int64]  # [T] as the ids say, else counted from 0
    movie: str | None  # None: the ids don't say
    reference: str


class SplitPickles:
    """The three pickles of a split, of equal length. Samples are understood one by one, as they are asked for."""

    def __init__(self, directory: Path, split: str, vocabulary: Vocabulary, movie_pattern: re.Pattern[str]):
        self.vocabulary = vocabulary
        self.movie_pattern = movie_pattern
        self.actions_file, self.ids_file, self.references_file = (
            directory / f"{what}_{split}_rhas.pkl" for what in ("actions", "frame_ids", "person_ref")
        )
        self._actions = _samples(self.actions_file)
        self._ids = _samples(self.ids_file)
        self._references = _samples(self.references_file)
        for path, own in ((self.ids_file, self._ids), (self.references_file, self._references)):
            if len(own) != len(self):
                expected = f"{len(self)} samples, as in {self.actions_file.name}"
                raise InputError(Problem(path, expected, value=len(own)))

    def __len__(self) -> int:
        return len(self._actions)

    def frames(self, sample: int) -> int:
        """How many frames a sample's labels have; raises InputError where that is not how many ids it has."""
        labels, ids = self._actions[sample], self._ids[sample]
        for path, own in ((self.actions_file, labels), (self.ids_file, ids)):
            if not isinstance(own, (list, tuple)) or not own:
                raise InputError(Problem(path, f"a list of frames for sample {sample}", value=_shown(own)))
        if len(labels) != len(ids):
            expected = f"{len(labels)} frames of sample {sample}, as in {self.actions_file.name}"
            raise InputError(Problem(self.ids_file, expected, value=len(ids)))
        return len(labels)

    def describe(self, sample: int, frames: int) -> Described:
        """The first `frames` frames of a sample; raises InputError for what can't be understood."""
        classes = tuple(
            self._classes(own, f"frame {t} of sample {sample}")
            for t, own in enumerate(self._actions[sample][:frames])
        )
        movie, source_frame = self._origin(self._ids[sample][:frames], sample)
        return Described(classes, source_frame, movie, self._reference(sample))

    def _classes(self, frame: Any, where: str) -> frozenset[int]:
        several = frame if isinstance(frame, (list, tuple, set, frozenset)) else (frame,)
        most = len(self.vocabulary)
        expected = f"class indices from 0 to {most - 1} for {where}"
        if len(several) > most:
            raise InputError(Problem(self.actions_file, expected, value=_shown(frame)))
        indices = set()
        for one in several:
            index = _whole_number(one)
            if index is None or index >= most:
                raise InputError(Problem(self.actions_file, expected, value=_shown(one)))
            indices.add(index)
        return frozenset(indices)

    def _origin(self, ids: Sequence[Any], sample: int) -> tuple[str | None, NDArray[np.int64]]:
        """The movie that the ids name, and which of its frames the samples show."""
        movies: dict[str | None, int] = {}
        numbers: list[int | None] = []
        for t, own in enumerate(ids):
            number, movie = _whole_number(own), None
            if number is None:
                text = one_line(own) if isinstance(own, str) and len(own) <= _MAX_ID_CHARS else ""
                if not text:
                    expected = f"a number or a short text for frame {t} of sample {sample}"
                    raise InputError(Problem(self.ids_file, expected, value=_shown(own)))
                if match := self.movie_pattern.fullmatch(text):
                    groups = match.groupdict()
                    movie, number = (
                        (groups["movie"] or "").strip() or None,
                        _whole_number(groups.get("frame")),
                    )
            movies.setdefault(movie, t)
            numbers.append(number)
        if len(movies) > 1:
            names = ", ".join(f"{movie or 'none'} (frame {t})" for movie, t in list(movies.items())[:2])
            raise InputError(
                Problem(self.ids_file, f"one movie for all frames of sample {sample}", value=names)
            )
        known = [number for number in numbers if number is not None]
        if len(known) < len(ids):  # not all ids have a number: frames are counted
            return next(iter(movies)), np.arange(len(ids))
        source_frame = np.array(known, dtype=np.int64)
        if (falls := np.flatnonzero(np.diff(source_frame) < 0)).size:
            expected = f"frame numbers of sample {sample} that don't fall"
            raise InputError(Problem(self.ids_file, expected, value=_shown(ids[int(falls[0]) + 1])))
        return next(iter(movies)), source_frame

    def _reference(self, sample: int) -> str:
        """The sentence, with line breaks and repeated spaces as single spaces."""
        own = self._references[sample]
        if isinstance(own, (list, tuple)) and own:
            own = own[0] if all(isinstance(one, str) and one == own[0] for one in own) else None
        sentence = one_line(own) if isinstance(own, str) else ""
        if not 0 < len(sentence) <= MAX_REFERENCE_CHARS:
            expected = f"one sentence of 1 to {MAX_REFERENCE_CHARS} characters for sample {sample}"
            raise InputError(Problem(self.references_file, expected, value=_shown(own)))
        return sentence


def _samples(path: Path) -> list[Any]:
    samples = load_plain(path)
    if not isinstance(samples, (list, tuple)) or not samples:
        raise InputError(Problem(path, "a list of samples", value=_shown(samples)))
    return list(samples)


def _whole_number(value: Any) -> int | None:
    """A number from 0 that int64 holds; None for all else."""
    if isinstance(value, str):
        return int(value) if _DIGITS.fullmatch(value) else None
    if type(value) is int and 0 <= value < 10**18:
        return value
    return None


def _shown(value: Any) -> str:
    """Short at any depth and size."""
    if isinstance(value, str):
        return shorten(value)
    if isinstance(value, (float, bool)) or (type(value) is int and abs(value) < 10**18):
        return str(value)
    return type(value).__name__ + (f" of {len(value)}" if hasattr(value, "__len__") else "")
