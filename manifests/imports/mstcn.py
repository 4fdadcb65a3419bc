"""Import of data sets in the layout of MS-TCN, which 50Salads, Breakfast and GTEA are handed around in.

    DIR/mapping.txt                      "index name" a line, indices from 0
    DIR/features/NAME.npy                F×T floats; T×F in all files is understood too
    DIR/groundTruth/NAME.txt             the name of one class a line, one line a frame
    DIR/splits/{train,test}.splitK.bundle    "NAME.txt" a line; folds K from 1

In: that folder. Out: an `ImportedSet`, one movie with one person for each video; every class, background too, is an
action; that of this name is marked as such in actions.csv. Features and truth that differ by a few frames are cut to
the shorter, as is usual. Which axis of the features is time is told by the truth's length, never guessed: where both
or none would do it is an error. There are no features of a person's crop, which the frames' status says (MISSING).
Everything but the features' numbers is read and checked here, before anything is written.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rhas.manifests.common.errors import InputError, Problem, did_you_mean, raise_problems, shorten
from rhas.manifests.imports.arrays import Layout, open_features
from rhas.manifests.imports.dataset import ImportedSet, check_shapes
from rhas.manifests.imports.files import files_in, text_lines
from rhas.manifests.imports.frames import check_fps, common_length, intervals_of
from rhas.manifests.imports.movie import ImportedMovie
from rhas.manifests.tables import cells
from rhas.manifests.tables.manifest import Movie, Person
from rhas.manifests.tables.vocabulary import ABSENT, MAX_ACTION_CHARS, Vocabulary

# Which axis of a file is time.
_TIME: dict[Layout, int] = {"F×T": 1, "T×F": 0}
# What MS-TCN's, ASFormer's and DiffAct's evaluation leaves out of F1 and edit: GTEA has it.
BACKGROUND = "background"
PERSON_ID, REFERENCE = "actor", "the person"
_INDEX_AND_NAME = re.compile(r"(0|[1-9][0-9]{0,5})\s+(\S.*)", re.ASCII)
_BUNDLE = re.compile(r"(train|test)\.split([1-9][0-9]{0,5})\.bundle")


@dataclass(frozen=True)
class _Video:
    """A video's truth, and the shape of its features as they lie in the file."""

    name: str
    truth: Path
    classes: list[int]  # [T]
    features: Path
    stored: tuple[int, ...]

    def apart(self, layout: Layout) -> int:
        """By how many frames features and truth differ, if the features are laid out so."""
        return abs(self.stored[_TIME[layout]] - len(self.classes))


def read_mstcn(
    directory: Path, fps: float = 15.0, tolerance: int = 15, layout: Layout | None = None
) -> ImportedSet:
    """Raises one InputError with the problems of all files.

    `fps` is the rate that the features were computed at; `tolerance` how many frames a video's features and truth
    may differ by; `layout` of the features' files, by default that which the truth's lengths tell.
    """
    check_fps(fps)
    problems: list[Problem] = []
    vocabulary = _load_mapping(directory / "mapping.txt", problems)
    names = _names(directory, problems)
    folds = _load_bundles(directory / "splits", names, problems)
    raise_problems(problems)  # else good truth may look bad
    videos: list[_Video] = []
    for name in names:
        try:
            videos.append(_video(directory, name, vocabulary))
        except InputError as error:
            problems += error.problems
    if layout is None:
        try:
            layout = _layout(directory / "features", videos, tolerance)
        except InputError as error:
            raise InputError([*problems, *error.problems]) from None
    movies: list[ImportedMovie] = []
    for video in videos:
        try:
            movies.append(_movie(video, layout, vocabulary, fps, tolerance))
        except InputError as error:
            problems += error.problems
    problems += check_shapes(movies)
    raise_problems(problems)
    settings = {"tolerance": tolerance, **({} if layout == "F×T" else {"features": layout})}
    return ImportedSet("mstcn", directory, settings, fps, tuple(movies), vocabulary, folds)


def _load_mapping(path: Path, problems: list[Problem]) -> Vocabulary:
    """Classes in the order of their indices, which may be in any order in the file."""
    try:
        lines = text_lines(path)
    except InputError as error:
        problems += error.problems
        return Vocabulary(())
    actions: dict[int, str] = {}
    names: set[str] = set()
    for number, line in enumerate(lines, start=1):
        match = _INDEX_AND_NAME.fullmatch(line)
        if match is None:
            problems.append(Problem(path, "an index from 0 and a name", number, value=shorten(line)))
            continue
        index, name = int(match[1]), match[2]
        faults = cells.name_faults(name, MAX_ACTION_CHARS)
        if name.upper() == ABSENT:
            faults.append(f"a class; {ABSENT} is reserved for labels where the person is absent")
        if index in actions or name in names:
            faults.append("each index and each name once")
        if index >= len(lines):
            faults.append(f"indices from 0 to {len(lines) - 1}, one for each line; not {index}")
        problems += [Problem(path, fault, number, "name", shorten(name)) for fault in faults]
        actions[index] = name
        names.add(name)
    ordered = tuple(name for _, name in sorted(actions.items()))
    return Vocabulary(ordered, tuple(name for name in ordered if name == BACKGROUND))


def _names(directory: Path, problems: list[Problem]) -> list[str]:
    """Videos, of which both features and truth are there."""
    features, truths = directory / "features", directory / "groundTruth"
    try:
        found = {path.stem: path for path in files_in(features, ".npy")}
        labelled = {path.stem for path in files_in(truths, ".txt")}
    except InputError as error:
        problems += error.problems
        return []
    for name in sorted(found.keys() ^ labelled):
        lacks = truths / f"{name}.txt" if name in found else features / f"{name}.npy"
        problems.append(Problem(lacks, "features and truth for each video", value="no such file"))
    both = sorted(found.keys() & labelled)
    if not both:
        problems.append(Problem(features, "at least one video"))
    first: dict[str, tuple[str, int]] = {}
    for at, name in enumerate(both, start=1):
        if not cells.is_identifier(name):
            problems.append(Problem(found[name], cells.ID, at, "name", shorten(name)))
            continue
        known, row = first.setdefault(name.lower(), (name, at))
        if name != known:
            problems.append(Problem(found[name], cells.no_case_twin(known, row), at, "name", shorten(name)))
    return both


def _load_bundles(
    folder: Path, names: Sequence[str], problems: list[Problem]
) -> dict[int, dict[str, str]]:  # fold -> video -> side
    folds: dict[int, dict[str, str]] = {}
    files = {f"{name}.txt": None for name in names}
    try:
        paths = files_in(folder, ".bundle")
    except InputError as error:
        problems += error.problems
        return {}
    for path in paths:
        if (match := _BUNDLE.fullmatch(path.name)) is None:
            problems.append(Problem(path, "a name like train.split1.bundle or test.split1.bundle"))
        else:
            _load_bundle(path, match[1], folds.setdefault(int(match[2]), {}), files, problems)
    wanted = [folder / f"{side}.split{fold}.bundle" for fold in folds or (1,) for side in ("train", "test")]
    expected = "a bundle for each side of each fold"
    problems += [Problem(path, expected, value="no such file") for path in wanted if path not in paths]
    return dict(sorted(folds.items()))


def _load_bundle(
    path: Path, side: str, fold: dict[str, str], files: Mapping[str, None], problems: list[Problem]
) -> None:
    try:
        lines = text_lines(path)
    except InputError as error:
        problems += error.problems
        return
    for number, line in enumerate(lines, start=1):
        if line not in files:
            expected = f"a file of groundTruth{did_you_mean(line, tuple(files))}"
            problems.append(Problem(path, expected, number, value=shorten(line)))
        elif line.removesuffix(".txt") in fold:
            expected = "each video once in a fold, in train or in test"
            problems.append(Problem(path, expected, number, value=line))
        else:
            fold[line.removesuffix(".txt")] = side


def _video(directory: Path, name: str, vocabulary: Vocabulary) -> _Video:
    truth, features = directory / "groundTruth" / f"{name}.txt", directory / "features" / f"{name}.npy"
    found = open_features(features, "F×T")
    return _Video(name, truth, _classes(truth, vocabulary), features, (*found.stored, found.frames))


def _layout(folder: Path, videos: Sequence[_Video], tolerance: int) -> Layout:
    """The one layout in which all files are as long as their truth, with frames of one size.

    If both are, only one may be to the frame. Where neither is, that which fits most files, whose faults are then
    told; of two that fit as many, the usual one. Raises InputError where both are as good.
    """
    fits: list[Layout] = [
        layout
        for layout in _TIME
        if all(video.apart(layout) <= tolerance for video in videos)
        and len({video.stored[1 - _TIME[layout]] for video in videos}) == 1
    ]
    exact = {layout: sum(video.apart(layout) == 0 for video in videos) for layout in _TIME}
    if len(fits) == 1:
        return fits[0]
    if len(fits) == 2 and videos:
        whole = [layout for layout in fits if exact[layout] == len(videos)]
        if len(whole) == 1:
            return whole[0]
        expected = (
            f"features that are as long as their truth in one way only: these may be F×T or T×F, give or take "
            f"{tolerance} frames (--layout says which, --tolerance how many frames they may differ by)"
        )
        first = videos[0]
        got = f"{_times(first.stored)} beside {len(first.classes)} frames of {first.truth.name}"
        raise InputError(Problem(first.features, expected, value=got))
    close = {layout: sum(video.apart(layout) <= tolerance for video in videos) for layout in _TIME}
    return max(_TIME, key=lambda layout: (exact[layout], close[layout]))  # of equals the first


def _movie(
    video: _Video, layout: Layout, vocabulary: Vocabulary, fps: float, tolerance: int
) -> ImportedMovie:
    other: Layout = "T×F" if layout == "F×T" else "F×T"
    if video.apart(layout) > tolerance and video.apart(other) <= tolerance:
        expected = (
            f"features {layout}, with the {len(video.classes)} frames of {video.truth} at most {tolerance} more or "
            f"fewer, as in most files: this one looks like {other} (numpy.save(file, numpy.load(file).T) turns it)"
        )
        raise InputError(Problem(video.features, expected, value=_times(video.stored)))
    features = open_features(video.features, layout)
    lengths = {features.path: features.frames, video.truth: len(video.classes)}
    frames = common_length(lengths, tolerance)
    return ImportedMovie(
        movie=Movie(video.name, features.path.absolute(), (Person(video.name, PERSON_ID, REFERENCE),)),
        frames=frames,
        holistic=features,
        partial=None,
        source_frame=np.arange(frames),
        intervals=intervals_of(([index] for index in video.classes[:frames]), fps, vocabulary),
        cut=max(lengths.values()) - frames,
    )


def _times(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))


def _classes(truth: Path, vocabulary: Vocabulary) -> list[int]:
    """The class index of each frame. Raises InputError for the first line that names no class."""
    classes = []
    for number, line in enumerate(text_lines(truth), start=1):
        if line not in vocabulary:
            expected = (
                f"one of the {len(vocabulary)} classes of mapping.txt{did_you_mean(line, vocabulary.actions)}"
            )
            raise InputError(Problem(truth, expected, number, value=shorten(line)))
        classes.append(vocabulary.index(line))
    return classes
