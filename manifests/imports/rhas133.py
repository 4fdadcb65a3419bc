"""Import of RHAS133 as its authors hand it out: features of each sample in files, all else in pickles.

    DIR/actions_<split>_rhas.pkl, frame_ids_<split>_rhas.pkl, person_ref_<split>_rhas.pkl
    DIR/holistic/<split>/<i>_blip_feat.npy     T×32×768 (T×768 is understood too), i from 0
    DIR/partial/<split>/<i>_blip_feat.npy      the same for the person's crop, or no such file

In: that folder and `Rhas133Options`. Out: an `ImportedSet`, one movie with one person for each sample. Samples
whose frame ids name the same movie have the same `video` in the manifest, so that no split can part them
unnoticed. Where there is no partial file, or it holds nothing but NaN for a frame, the frame's status says so
(MISSING). Frames stand 1 / fps apart. Pickles are read as data, see `plain_pickle` and `rhas133_pickles`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from rhas.manifests.common.configs import Settings
from rhas.manifests.common.errors import InputError, Problem, raise_problems, shorten
from rhas.manifests.common.names import file_name
from rhas.manifests.imports.arrays import FeatureFile, Tokens, open_features
from rhas.manifests.imports.dataset import ImportedSet, check_shapes
from rhas.manifests.imports.files import files_in
from rhas.manifests.imports.frames import MAX_FPS, common_length, intervals_of
from rhas.manifests.imports.movie import ImportedMovie
from rhas.manifests.imports.rhas133_pickles import MOVIE_PATTERN, SplitPickles
from rhas.manifests.tables.manifest import SPLITS, Movie, Person
from rhas.manifests.tables.vocabulary import Vocabulary

PERSON_ID = "person"
SUFFIX = "_blip_feat.npy"


class Rhas133Options(Settings, title="options of the import"):
    """How the folder is laid out; `{split}` in a folder's name stands for the split's."""

    splits: dict[str, str] = Field({})
    """Name in file names -> train, val or test; {}: all."""
    holistic: str = "holistic/{split}"
    partial: str = "partial/{split}"
    numbering: Literal["per-split", "through"] = "per-split"
    """through: on from the split before."""
    tokens: Tokens = "mean"
    fps: float = Field(15.0, ge=1 / MAX_FPS, le=MAX_FPS)
    tolerance: int = Field(0, ge=0)
    """Frames that the files of a sample may differ by."""
    movie_pattern: str = MOVIE_PATTERN

    @field_validator("splits")
    @classmethod
    def _sides(cls, splits: dict[str, str]) -> dict[str, str]:
        if not set(splits.values()) <= set(SPLITS):
            raise ValueError(f"names of splits and, for each, one of {', '.join(SPLITS)}")
        return splits

    @field_validator("movie_pattern")
    @classmethod
    def _has_movie(cls, pattern: str) -> str:
        try:
            if "movie" in re.compile(pattern).groupindex:
                return pattern
        except (re.error, RecursionError, OverflowError):
            pass
        raise ValueError("a regular expression with (?P<movie>…)")


@dataclass(frozen=True)
class _Split:
    """A split's pickles and folders; its samples' files are numbered from `first`."""

    name: str
    side: str
    pickles: SplitPickles
    first: int
    holistic: Path
    partial: Path

    @property
    def numbers(self) -> range:
        return range(self.first, self.first + len(self.pickles))


def read_rhas133(directory: Path, options: Rhas133Options, vocabulary: Vocabulary) -> ImportedSet:
    """Raises one InputError with the problems of all files."""
    problems: list[Problem] = []
    splits = _splits(directory, options, vocabulary, problems)
    raise_problems(problems)
    problems += _unaccounted(splits)
    movies: list[ImportedMovie] = []
    for split in splits:
        for number in split.numbers:
            try:
                movies.append(_movie(directory, split, number, options, vocabulary))
            except InputError as error:
                problems += error.problems
    problems += check_shapes(movies)
    raise_problems(problems)
    settings = {
        "tokens": options.tokens,
        "tolerance": options.tolerance,
        "movie_pattern": options.movie_pattern,
    }
    return ImportedSet("rhas133", directory, settings, options.fps, tuple(movies), vocabulary)


def _splits(
    directory: Path, options: Rhas133Options, vocabulary: Vocabulary, problems: list[Problem]
) -> list[_Split]:
    names = options.splits or {s: s for s in SPLITS if (directory / f"actions_{s}_rhas.pkl").exists()}
    if not names:
        expected = (
            f"pickles actions_<split>_rhas.pkl, with {', '.join(SPLITS)} for <split> or names of your own"
        )
        problems.append(Problem(directory, expected, value="none"))
    pattern = re.compile(options.movie_pattern)
    found: list[_Split] = []
    first = 0
    for name, side in names.items():
        if file_name(name) != name:
            expected = "a name without / and other signs than '.', '_' and '-'"
            problems.append(Problem(directory, expected, 1, "split-name", shorten(name)))
        folders = [
            directory / folder.replace("{split}", name) for folder in (options.holistic, options.partial)
        ]
        shared = [split for split in found if split.holistic == folders[0] or split.partial == folders[1]]
        if shared and options.numbering == "per-split":
            expected = (
                f"folders of its own for split {name}, not those of {shared[0].name}: put {{split}} into "
            )
            expected += "their names, or say that numbers go through all splits"
            problems.append(Problem(folders[0], expected))
        try:
            pickles = SplitPickles(directory, name, vocabulary, pattern)
        except InputError as error:
            problems += error.problems
            continue
        found.append(_Split(name, side, pickles, first, *folders))
        first += len(pickles) if options.numbering == "through" else 0
    return found


def _unaccounted(splits: list[_Split]) -> Iterator[Problem]:
    """Feature files that belong to no sample: then the numbers most likely mean something else."""
    numbers: dict[Path, set[int]] = {}
    for split in splits:
        for folder in (split.holistic, split.partial):
            numbers.setdefault(folder, set()).update(split.numbers)
    for folder, own in numbers.items():
        known = {f"{number}{SUFFIX}" for number in own}
        try:
            others = [path.name for path in files_in(folder, SUFFIX) if path.name not in known]
        except InputError as error:
            yield from error.problems
            continue
        if others:
            expected = f"files {min(own)}{SUFFIX} to {max(own)}{SUFFIX}, one for each sample of the pickles"
            yield Problem(folder, expected, value=", ".join(others[:5]))


def _movie(
    directory: Path, split: _Split, number: int, options: Rhas133Options, vocabulary: Vocabulary
) -> ImportedMovie:
    sample, pickles = number - split.first, split.pickles
    holistic = open_features(split.holistic / f"{number}{SUFFIX}", "T×F", options.tokens)
    partial = _partial(split.partial / f"{number}{SUFFIX}", options.tokens)
    lengths = {pickles.actions_file: pickles.frames(sample), holistic.path: holistic.frames}
    if partial is not None:
        lengths[partial.path] = partial.frames
    try:
        frames = common_length(lengths, options.tolerance)
    except InputError as error:
        raise InputError([_of_sample(problem, sample) for problem in error.problems]) from error
    described = pickles.describe(sample, frames)
    movie_id = f"{split.name}_{number}"
    person = Person(movie_id, PERSON_ID, described.reference, split=split.side)
    video = holistic.path if described.movie is None else directory / described.movie
    return ImportedMovie(
        movie=Movie(movie_id, video.absolute(), (person,)),
        frames=frames,
        holistic=holistic,
        partial=partial,
        source_frame=described.source_frame,
        intervals=intervals_of(described.classes, options.fps, vocabulary),
        cut=max(lengths.values()) - frames,
    )


def _partial(path: Path, tokens: Tokens) -> FeatureFile | None:
    """None where there is no such file; a file that can't be used is an error, not a missing one."""
    return open_features(path, "T×F", tokens) if path.exists() or path.is_symlink() else None


def _of_sample(problem: Problem, sample: int) -> Problem:
    return Problem(problem.file, f"{problem.expected} (sample {sample})", value=problem.value)
