"""Import of data sets in the layout of MS-TCN, which 50Salads, Breakfast and GTEA are handed around in.

    DIR/mapping.txt                      "index name" a line, indices from 0
    DIR/features/NAME.npy                F×T floats
    DIR/groundTruth/NAME.txt             the name of one class a line, one line a frame
    DIR/splits/{train,test}.splitK.bundle    "NAME.txt" a line; folds K from 1

In: that folder. Out: an `ImportedSet`, one movie with one person for each video; every class, background too, is
an action. Features and truth that differ by a few frames are cut to the shorter, as is usual. There are no
features of a person's crop, which the frames' status says (MISSING). Everything but the features' numbers is
read and checked here, before anything is written.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from rhas.manifests.common.errors import InputError, Problem, did_you_mean, raise_problems, shorten
from rhas.manifests.imports.arrays import open_features
from rhas.manifests.imports.dataset import ImportedSet, check_shapes
from rhas.manifests.imports.files import files_in, text_lines
from rhas.manifests.imports.frames import check_fps, common_length, intervals_of
from rhas.manifests.imports.movie import ImportedMovie
from rhas.manifests.tables import cells
from rhas.manifests.tables.manifest import Movie, Person
from rhas.manifests.tables.vocabulary import ABSENT, MAX_ACTION_CHARS, Vocabulary

PERSON_ID, REFERENCE = "actor", "the person"
_INDEX_AND_NAME = re.compile(r"(0|[1-9][0-9]{0,5})\s+(\S.*)", re.ASCII)
_BUNDLE = re.compile(r"(train|test)\.split([1-9][0-9]{0,5})\.bundle")


def read_mstcn(directory: Path, fps: float = 15.0, tolerance: int = 15) -> ImportedSet:
    """Raises one InputError with the problems of all files.

    `fps` is the rate that the features were computed at; `tolerance` how many frames a video's features and truth
    may differ by.
    """
    check_fps(fps)
    problems: list[Problem] = []
    vocabulary = _load_mapping(directory / "mapping.txt", problems)
    names = _names(directory, problems)
    folds = _load_bundles(directory / "splits", names, problems)
    raise_problems(problems)  # else good truth may look bad
    movies: list[ImportedMovie] = []
    for name in names:
        try:
            movies.append(_movie(directory, name, vocabulary, fps, tolerance))
        except InputError as error:
            problems += error.problems
    problems += check_shapes(movies)
    raise_problems(problems)
    return ImportedSet("mstcn", directory, {"tolerance": tolerance}, fps, tuple(movies), vocabulary, folds)


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
    return Vocabulary(tuple(name for _, name in sorted(actions.items())))


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


def _movie(directory: Path, name: str, vocabulary: Vocabulary, fps: float, tolerance: int) -> ImportedMovie:
    truth = directory / "groundTruth" / f"{name}.txt"
    features = open_features(directory / "features" / f"{name}.npy", "F×T")
    classes = _classes(truth, vocabulary)
    lengths = {features.path: features.frames, truth: len(classes)}
    frames = common_length(lengths, tolerance)
    movie = Movie(name, features.path.absolute(), (Person(name, PERSON_ID, REFERENCE),))
    return ImportedMovie(
        movie=movie,
        frames=frames,
        holistic=features,
        partial=None,
        source_frame=np.arange(frames),
        intervals=intervals_of(([index] for index in classes[:frames]), fps, vocabulary),
        cut=max(lengths.values()) - frames,
    )


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
