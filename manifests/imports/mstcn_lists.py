"""What MS-TCN's layout lists: classes, folds, and which videos are there.

    DIR/mapping.txt                          "index name" a line, indices from 0, or from 1; Charades' "c012 name" too
    DIR/splits/{train,test}.splitK.bundle    "NAME.txt" a line, with or without folders before it; folds K from 1;
                                             lines that begin with # are comments, as "#bundle" is

In: the folder. Out: a `Vocabulary`, folds, and `Videos`; problems are added to a list that the caller raises. What
stands in the files of a video is left to `mstcn`.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from rhas.manifests.common.errors import InputError, Problem, shorten
from rhas.manifests.imports.files import check_names, files_in, text_lines
from rhas.manifests.tables import cells
from rhas.manifests.tables.folds import Folds
from rhas.manifests.tables.vocabulary import ABSENT, MAX_ACTION_CHARS, Vocabulary

# What MS-TCN's, ASFormer's and DiffAct's evaluation leaves out of F1 and edit: GTEA has it.
BACKGROUND = "background"
_INDEX_AND_NAME = re.compile(r"c?0{0,5}([0-9]{1,6})\s+(\S.*)", re.ASCII)
_BUNDLE = re.compile(r"(train|test)\.split([1-9][0-9]{0,5})\.bundle")
_LISTED = re.compile(r"(?:.*[/\\])?([^/\\]+)\.txt")


@dataclass(frozen=True)
class Videos:
    """Videos that features, truth or folds name: those with features and truth, and what the others lack."""

    whole: tuple[str, ...]
    lost: dict[str, str]


def load_mapping(path: Path, problems: list[Problem]) -> Vocabulary:
    """Classes in the order of their indices, which may be in any order in the file."""
    try:
        lines = text_lines(path)
    except InputError as error:
        problems += error.problems
        return Vocabulary(())
    actions: dict[int, str] = {}
    names: set[str] = set()
    matches = [_INDEX_AND_NAME.fullmatch(line) for line in lines]
    first = min((int(match[1]) for match in matches if match), default=0) == 1
    for number, (line, match) in enumerate(zip(lines, matches, strict=True), start=1):
        if match is None:
            problems.append(Problem(path, "an index and a name", number, value=shorten(line)))
            continue
        index, name = int(match[1]), match[2]
        faults = cells.name_faults(name, MAX_ACTION_CHARS)
        if name.upper() == ABSENT:
            faults.append(f"a class; {ABSENT} is reserved for labels where the person is absent")
        if index in actions or name in names:
            faults.append("each index and each name once")
        if index >= len(lines) + first:
            faults.append(
                f"indices from {int(first)} to {len(lines) - 1 + first}, one for each line; not {index}"
            )
        problems += [Problem(path, fault, number, "name", shorten(name)) for fault in faults]
        actions[index] = name
        names.add(name)
    ordered = tuple(name for _, name in sorted(actions.items()))
    return Vocabulary(ordered, tuple(name for name in ordered if name == BACKGROUND))


def load_bundles(folder: Path, problems: list[Problem]) -> Folds:
    """fold -> video -> side, of videos that may or may not be there."""
    folds: Folds = {}
    try:
        paths = files_in(folder, ".bundle")
    except InputError as error:
        problems += error.problems
        return {}
    for path in paths:
        if (match := _BUNDLE.fullmatch(path.name)) is None:
            problems.append(Problem(path, "a name like train.split1.bundle or test.split1.bundle"))
        else:
            _load_bundle(path, match[1], folds.setdefault(int(match[2]), {}), problems)
    wanted = [folder / f"{side}.split{fold}.bundle" for fold in folds or (1,) for side in ("train", "test")]
    expected = "a bundle for each side of each fold"
    problems += [Problem(path, expected, value="no such file") for path in wanted if path not in paths]
    return dict(sorted(folds.items()))


def _load_bundle(path: Path, side: str, fold: dict[str, str], problems: list[Problem]) -> None:
    try:
        lines = text_lines(path)
    except InputError as error:
        problems += error.problems
        return
    for number, line in enumerate(lines, start=1):
        if line.startswith("#"):
            continue
        if (match := _LISTED.fullmatch(line)) is None:
            problems.append(Problem(path, "a file of groundTruth, NAME.txt", number, value=shorten(line)))
        elif match[1] in fold:
            expected = "each video once in a fold, in train or in test"
            problems.append(Problem(path, expected, number, value=shorten(line)))
        else:
            fold[match[1]] = side


def find_videos(directory: Path, listed: Collection[str], problems: list[Problem]) -> Videos:
    """`listed`: those that folds name."""
    features, truths = directory / "features", directory / "groundTruth"
    try:
        computed = {path.stem for path in files_in(features, ".npy")}
        labelled = {path.stem for path in files_in(truths, ".txt")}
    except InputError as error:
        problems += error.problems
        return Videos((), {})
    lost: dict[str, str] = {}
    names = sorted({*computed, *labelled, *listed})
    problems += check_names(names, directory)
    for name in names:
        lacks = [f"features/{name}.npy"] * (name not in computed)
        lacks += [f"groundTruth/{name}.txt"] * (name not in labelled)
        if lacks:
            lost[name] = f"no {' nor '.join(lacks)}"
    whole = tuple(name for name in names if name not in lost)
    if not whole:
        expected = "at least one video with features and truth"
        problems.append(Problem(features, expected, value=f"{len(computed)} beside {len(labelled)} truths"))
    return Videos(whole, lost)
