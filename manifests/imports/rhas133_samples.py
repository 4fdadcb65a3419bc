"""Which samples RHAS133 has, in its two protocols, and what belongs to each of them.

In: the folder, options and vocabulary of the import. Out: `Sample`s: a side, two files of features, and where its
labels, sentence and movie stand in the pickles. Reading features is left to `rhas133`.

- cross-movie: the pickles of a split number its samples, and so their files.
- random: a list names the whole frames' file of each sample, by the place it had on the authors' disk. Its sentence and
  movie are those that the pickles of this file's split have; without these, everyone is "the person".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rhas.manifests.common.errors import InputError, Problem, raise_problems, shorten
from rhas.manifests.common.names import file_name
from rhas.manifests.imports.rhas133_options import Rhas133Options
from rhas.manifests.imports.rhas133_pickles import ActionLists, Origins, load_samples
from rhas.manifests.imports.rhas133_places import Place, listed, persons, pickles, whole_frames
from rhas.manifests.tables.manifest import SPLITS
from rhas.manifests.tables.vocabulary import Vocabulary

REFERENCE = "the person"


@dataclass(frozen=True)
class Sample:
    """A sample's files, and its places in the pickles."""

    movie_id: str
    side: str  # train, val or test
    whole: Path  # features of whole frames
    person: Path
    actions: ActionLists
    index: int  # in `actions`
    origins: Origins | None  # None: nothing says
    origin: int  # in `origins`

    def reference(self) -> str:
        return REFERENCE if self.origins is None else self.origins.reference(self.origin)

    def check_frames(self, frames: int) -> None:
        """Raises InputError if it isn't of that many frames where it comes from."""
        if self.origins is not None:
            self.origins.check_frames(self.origin, frames)

    def frames(self, frames: int) -> tuple[str | None, NDArray[np.int64]]:
        """See `Origins.frames`."""
        return (None, np.arange(frames)) if self.origins is None else self.origins.frames(self.origin, frames)


@dataclass(frozen=True)
class _Places:
    """Where the two streams of a split lie."""

    whole: Place
    person: Place

    @classmethod
    def of(cls, directory: Path, split: str, options: Rhas133Options) -> _Places:
        return cls(
            whole_frames(directory, split, options.features, options.holistic),
            persons(directory, split, options.features, options.partial),
        )


def cross_movie_samples(directory: Path, options: Rhas133Options, vocabulary: Vocabulary) -> list[Sample]:
    """Raises one InputError with the problems of all pickles, and of files that belong to no sample."""
    folder = pickles(directory)
    sides = _sides(folder, "actions_{}_rhas.pkl", options.splits)
    problems: list[Problem] = []
    samples: list[Sample] = []
    numbers: dict[Place, range] = {}
    first = 0
    for split, side in sides.items():
        places = _Places.of(directory, split, options)
        if options.numbering == "per-split" and (places.whole in numbers or places.person in numbers):
            expected = (
                f"folders of its own for split {split}: put {{split}} into their names, or say that "
                "numbers go through all splits"
            )
            problems.append(Problem(places.whole.folder, expected))
        try:
            actions = ActionLists(folder / f"actions_{split}_rhas.pkl", vocabulary, options.count_from)
            origins = Origins(folder, split, options.pattern)
            origins.check_samples(actions)
        except InputError as error:
            problems += error.problems
            continue
        for place in (places.whole, places.person):
            begin = numbers.get(place, range(first, first)).start
            numbers[place] = range(begin, first + len(actions))
        samples += [
            Sample(
                f"{split}_{first + i}", side, places.whole.file(first + i), places.person.file(first + i),
                actions, i, origins, i,
            )
            for i in range(len(actions))
        ]  # fmt: skip
        first += len(actions) if options.numbering == "through" else 0
    raise_problems(problems)
    _refuse_others(numbers)
    return samples


def random_samples(
    directory: Path, options: Rhas133Options, vocabulary: Vocabulary, warnings: list[str]
) -> list[Sample]:
    """As `cross_movie_samples`; what the lists can't say goes to `warnings`."""
    folder = pickles(directory)
    lists = folder / "randomsplits"
    problems: list[Problem] = []
    samples: dict[str, Sample] = {}
    origins: dict[str, Origins | None] = {}
    for split, side in _sides(lists, "{}_files.pkl", options.splits).items():
        file = lists / f"{split}_files.pkl"
        try:
            paths = load_samples(file)
            actions = ActionLists(lists / f"{split}_anno.pkl", vocabulary, options.count_from)
            if len(paths) != len(actions):
                expected = f"{len(paths)} samples, as in {file.name}"
                raise InputError(Problem(actions.file, expected, value=len(actions)))
            for i, path in enumerate(paths):
                found = listed(path) if isinstance(path, str) else None
                if found is None:
                    expected = f"a path …/RHAS_feature_blipv2[_<split>]/<number>_blip_feat.npy for sample {i}"
                    raise InputError(Problem(file, expected, value=shorten(str(path))))
                own, number = found
                if own not in origins:
                    origins[own] = _origins(folder, own, options)
                movie_id, places = f"{own}_{number}", _Places.of(directory, own, options)
                pickled = origins[own]
                if pickled is not None and number >= len(pickled):
                    expected = f"a number below {len(pickled)}, as in {pickled.references_file.name}"
                    raise InputError(Problem(file, expected, value=shorten(path)))
                if movie_id in samples:
                    expected = f"each file once; sample {i} is one of {samples[movie_id].side} already"
                    raise InputError(Problem(file, expected, value=shorten(path)))
                samples[movie_id] = Sample(
                    movie_id, side, places.whole.file(number), places.person.file(number),
                    actions, i, pickled, number,
                )  # fmt: skip
        except InputError as error:
            problems += error.problems
    raise_problems(problems)
    if unsaid := [own for own, pickled in origins.items() if pickled is None]:
        warnings.append(
            f"no person_ref_<split>_rhas.pkl for {', '.join(unsaid)}: everyone there is “{REFERENCE}”, and no "
            "movie is known"
        )
    return list(samples.values())


def _origins(folder: Path, split: str, options: Rhas133Options) -> Origins | None:
    there = (folder / f"person_ref_{split}_rhas.pkl").exists()
    return Origins(folder, split, options.pattern) if there else None


def _sides(folder: Path, name: str, named: Mapping[str, str]) -> dict[str, str]:
    """Splits and their sides, by default those whose pickle is there. Raises InputError for none, and for odd names."""
    sides = dict(named) or {split: split for split in SPLITS if (folder / name.format(split)).exists()}
    if not sides:
        expected = (
            f"pickles {name.format('<split>')}, with {', '.join(SPLITS)} for <split> or names of your own"
        )
        raise InputError(Problem(folder, expected, value="none"))
    expected = "a name without / and other signs than '.', '_' and '-'"
    raise_problems(
        Problem(folder, expected, 1, "split-name", shorten(split))
        for split in sides
        if file_name(split) != split
    )
    return sides


def _refuse_others(numbers: Mapping[Place, range]) -> None:
    """Raises InputError for feature files that belong to no sample: the numbers most likely mean something else."""
    problems: list[Problem] = []
    for place, own in numbers.items():
        try:
            others = place.others_than(own)
        except InputError as error:
            problems += error.problems
            continue
        if others:
            bounds = f"{place.file(own.start).name} to {place.file(own.stop - 1).name}"
            expected = f"files {bounds}, one for each sample of the pickles"
            problems.append(Problem(place.folder, expected, value=", ".join(others[:5])))
    raise_problems(problems)
