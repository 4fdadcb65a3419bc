"""Train, val and test: which windows go where, reproducibly, and never a movie on two sides where that matters.

In: windows in any order. Out: windows per split, sorted by movie, person and start. The draw depends on the seed and
on what there is to divide, not on the order that it comes in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch

from rhas.manifests.common.errors import InputError, Problem
from rhas.manifests.shards.layout import FeaturesFolder
from rhas.manifests.tables.folds import load_folds
from rhas.manifests.tables.manifest import SPLITS
from rhas.train.data.config import PAPER_PROPORTIONS, DataConfig
from rhas.train.data.windows import Window


def split_windows(windows: Sequence[Window], config: DataConfig, source: Path) -> dict[str, list[Window]]:
    """Spans of each split. Raises InputError, naming `source`, for empty splits and for movies on two sides."""
    ordered = sorted(windows, key=lambda window: window.place)
    if config.split == "manifest":
        sides = _of_manifest(ordered, config, source)
    elif config.split == "fold":
        sides = _of_fold(ordered, config, FeaturesFolder(source))
    else:
        sides = _drawn(ordered, config)
    splits = {
        name: [window for window, side in zip(ordered, sides, strict=True) if side == name] for name in SPLITS
    }
    empty = [name for name in SPLITS if not splits[name]]
    if empty:
        got = f"none of the {len(windows)} samples (split {config.split})"
        raise InputError([Problem(source, f"at least one sample in {name}", value=got) for name in empty])
    return splits


def sides_of_fold(folder: FeaturesFolder, fold: int) -> dict[str, str]:
    """Train or test, by movie_id. Raises InputError for a fold that isn't there, and says which are."""
    if not folder.folds.is_file():
        expected = "the folds of a data set (`rhas import mstcn` writes them), or another split than fold"
        raise InputError(Problem(folder.folds, expected, column="fold", value=fold))
    folds = load_folds(folder.folds)
    if fold not in folds:
        expected = f"one of the folds {', '.join(map(str, sorted(folds)))}" if folds else "a file with folds"
        raise InputError(Problem(folder.folds, expected, column="fold", value=fold))
    return folds[fold]


def _of_fold(windows: Sequence[Window], config: DataConfig, folder: FeaturesFolder) -> list[str | None]:
    """The sides of a fold; a few whole movies of its training half validate. None for movies that it leaves out."""
    sides_of_movies, file = sides_of_fold(folder, config.fold), folder.folds
    own: dict[str, set[str]] = {}  # movie, under whatever movie_ids -> its sides
    for window in windows:
        if side := sides_of_movies.get(window.clip.movie_id):
            own.setdefault(window.clip.movie, set()).add(side)
    problems = [
        Problem(
            file, f"one split in fold {config.fold} for movie {movie}", column="split", value="train, test"
        )
        for movie, sides in own.items()
        if len(sides) > 1
    ]
    training = sorted(movie for movie, sides in own.items() if sides == {"train"})
    if not problems and len(training) < 2:
        got = f"{len(training)}: {', '.join(training)}" if training else "none"
        expected = (
            f"at least two movies in the training half of fold {config.fold}: one of them has to validate"
        )
        problems.append(Problem(file, expected, column="split", value=got))
    if problems:
        raise InputError(problems)
    order = torch.randperm(len(training), generator=torch.Generator().manual_seed(config.seed)).tolist()
    count = max(1, round(config.validation_share * len(training)))
    if count == len(training):
        expected = f"a share that leaves one of the {len(training)} movies of fold {config.fold} to train on"
        raise InputError(
            Problem(
                "training config", expected, column="data.validation_share", value=config.validation_share
            )
        )
    validating = {training[i] for i in order[:count]}
    side_of = {movie: "val" if movie in validating else next(iter(sides)) for movie, sides in own.items()}
    return [
        side_of[window.clip.movie] if window.clip.movie_id in sides_of_movies else None for window in windows
    ]


def _of_manifest(windows: Sequence[Window], config: DataConfig, source: Path) -> list[str | None]:
    persons = {window.place[:2]: window.clip.split for window in windows}
    without = [f"{movie_id}/{person_id}" for (movie_id, person_id), side in persons.items() if side is None]
    problems = []
    if without:
        expected = f"{', '.join(SPLITS)} for everyone who has frames and labels"
        nobody = f"none for {', '.join(without)}"
        problems.append(Problem(source / "manifest.csv", expected, column="split", value=nobody))
    if config.movies_apart:
        problems += _movies_on_two_sides(windows, source)
    if problems:
        raise InputError(problems)
    return [window.clip.split for window in windows]


def _movies_on_two_sides(windows: Sequence[Window], source: Path) -> Iterator[Problem]:
    sides: dict[str, dict[str, set[str]]] = {}  # movie -> split -> movie_ids
    for window in windows:
        if window.clip.split is not None:
            own = sides.setdefault(window.clip.movie, {}).setdefault(window.clip.split, set())
            own.add(window.clip.movie_id)
    for movie, by_side in sides.items():
        if len(by_side) > 1:
            got = "; ".join(f"{side}: {', '.join(sorted(ids))}" for side, ids in sorted(by_side.items()))
            expected = f"one split for all persons of movie {movie}, under whatever movie_ids it is listed"
            yield Problem(source / "manifest.csv", expected, column="split", value=got)


def _drawn(windows: Sequence[Window], config: DataConfig) -> list[str | None]:
    """One side per window: each drawn by itself, or together with all others of its movie."""
    units = [window.name if config.split == "random" else window.clip.movie for window in windows]
    sizes: dict[str, int] = {}
    for unit in units:
        sizes[unit] = sizes.get(unit, 0) + 1
    parts = config.proportions or PAPER_PROPORTIONS[config.split]
    sides = divide(sizes, parts, torch.Generator().manual_seed(config.seed))
    return [sides[unit] for unit in units]


def divide(
    sizes: Mapping[str, int], proportions: Sequence[float], generator: torch.Generator
) -> dict[str, str]:
    """The split of each unit (a movie, a sample), by how many samples it has.

    In a random order, each unit goes to the split that lacks most samples of its share. So no split gets more
    than 2/3 of the largest unit too many: the largest of three lacks is at least a third of what is left.
    Only if there would be too few units left to fill all splits do they go to the empty ones.
    """
    total = sum(sizes.values())
    lacks = {name: total * p / sum(proportions) for name, p in zip(SPLITS, proportions, strict=True)}
    empty = list(SPLITS)
    units = sorted(sizes)
    sides: dict[str, str] = {}
    for left, i in zip(
        range(len(units), 0, -1), torch.randperm(len(units), generator=generator).tolist(), strict=True
    ):
        open_to = empty if left <= len(empty) else SPLITS
        side = max(open_to, key=lambda name: lacks[name])
        sides[units[i]] = side
        lacks[side] -= sizes[units[i]]
        if side in empty:
            empty.remove(side)
    return sides
