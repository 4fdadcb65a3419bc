"""The pickles of RHAS133: what each sample does, where its frames come from, and whom the sentence names.

    actions_<split>_rhas.pkl      samples × frames × class indices, none or several a frame
    frame_ids_<split>_rhas.pkl    samples × frames; numbers, or texts
    person_ref_<split>_rhas.pkl   samples; a sentence, or the same one for every frame
    <split>_files.pkl             of the random protocol: samples; the path of its features
    <split>_anno.pkl              of the random protocol: as actions_<split>_rhas.pkl

In: a file, or a folder and the name of a split. Out: `ActionLists` and `Origins`, which are asked sample by sample.
Indices may be Python's or numpy's whole numbers, or texts of digits; one that stands alone counts as a list of one.
They are counted from 0, as the authors' loaders do. Sizes are checked before anything is gone through: a pickle may
claim more than it holds.

An id of a frame may name its movie. Which part does, a regular expression says, with a group `movie` and maybe a
group `frame`; by default the movie is what stands before the last slash. All frames of a sample have to agree.
"""

from __future__ import annotations

import re
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


class ActionLists:
    """The labels of a split's samples. They are understood one by one, as they are asked for.

    `first`: what the first class is counted as, 0 or 1.
    """

    def __init__(self, file: Path, vocabulary: Vocabulary, first: int = 0):
        self.file, self.vocabulary, self.first = file, vocabulary, first
        self._samples = load_samples(file)

    def __len__(self) -> int:
        return len(self._samples)

    def frames(self, sample: int) -> int:
        """How many frames a sample's labels have."""
        own = self._samples[sample]
        if not isinstance(own, (list, tuple)) or not own:
            raise InputError(Problem(self.file, f"a list of frames for sample {sample}", value=_shown(own)))
        return len(own)

    def classes(self, sample: int) -> tuple[frozenset[int], ...]:
        """[T] class indices of a sample's frames, from 0; raises InputError for what can't be understood."""
        return tuple(
            self._classes(own, f"frame {t} of sample {sample}") for t, own in enumerate(self._samples[sample])
        )

    def _classes(self, frame: Any, where: str) -> frozenset[int]:
        several = frame if isinstance(frame, (list, tuple, set, frozenset)) else (frame,)
        most = len(self.vocabulary)
        expected = f"class indices from {self.first} to {most - 1 + self.first} for {where}"
        if len(several) > most:
            raise InputError(Problem(self.file, expected, value=_shown(frame)))
        indices = set()
        for one in several:
            index = _whole_number(one)
            if index is None or not 0 <= index - self.first < most:
                raise InputError(Problem(self.file, expected, value=_shown(one)))
            indices.add(index - self.first)
        return frozenset(indices)


class Origins:
    """Where a split's samples come from: the movie and its frames, and whom the sentence names."""

    def __init__(self, folder: Path, split: str, movie_pattern: re.Pattern[str] | None):
        """`movie_pattern` None: ids of frames are not looked at, and not even read."""
        self.movie_pattern = movie_pattern
        self.ids_file = folder / f"frame_ids_{split}_rhas.pkl"
        self.references_file = folder / f"person_ref_{split}_rhas.pkl"
        self._ids = load_samples(self.ids_file) if movie_pattern is not None else None
        self._references = load_samples(self.references_file)

    def __len__(self) -> int:
        return len(self._references)

    def check_samples(self, actions: ActionLists) -> None:
        """Raises InputError if these are not as many samples as have labels."""
        for path, own in ((self.ids_file, self._ids), (self.references_file, self._references)):
            if own is not None and len(own) != len(actions):
                expected = f"{len(actions)} samples, as in {actions.file.name}"
                raise InputError(Problem(path, expected, value=len(own)))

    def check_frames(self, sample: int, frames: int) -> None:
        """Raises InputError if a sample has ids for another number of frames than it has labels for."""
        if self._ids is None:
            return
        own = self._ids[sample]
        if not isinstance(own, (list, tuple)) or not own:
            expected = f"a list of frames for sample {sample}"
            raise InputError(Problem(self.ids_file, expected, value=_shown(own)))
        if len(own) != frames:
            expected = f"{frames} frames of sample {sample}, as in the labels"
            raise InputError(Problem(self.ids_file, expected, value=len(own)))

    def frames(self, sample: int, frames: int) -> tuple[str | None, NDArray[np.int64]]:
        """The movie that the ids of a sample's first frames name, and which of its frames these are [T].

        None where no movie is named; frames are counted from 0 where not all ids have a number.
        """
        if self._ids is None or self.movie_pattern is None:
            return None, np.arange(frames)
        ids = self._ids[sample][:frames]
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

    def reference(self, sample: int) -> str:
        """The sentence, with line breaks and repeated spaces as single spaces."""
        own = self._references[sample]
        if isinstance(own, (list, tuple)) and own:
            own = own[0] if all(isinstance(one, str) and one == own[0] for one in own) else None
        sentence = one_line(own) if isinstance(own, str) else ""
        if not 0 < len(sentence) <= MAX_REFERENCE_CHARS:
            expected = f"one sentence of 1 to {MAX_REFERENCE_CHARS} characters for sample {sample}"
            raise InputError(Problem(self.references_file, expected, value=_shown(own)))
        return sentence


def load_samples(path: Path) -> list[Any]:
    """What a pickle holds for each sample."""
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
