"""Import of data sets in the layout of MS-TCN, which 50Salads, Breakfast and GTEA are handed around in.

    DIR/features/NAME.npy        F×T floats; T×F in all files is understood too
    DIR/groundTruth/NAME.txt     the name of one class a line, one line a frame
    DIR/mapping.txt, DIR/splits  classes and folds: see `mstcn_lists`

In: that folder. Out: an `ImportedSet`, one movie with one person for each video; every class, background too, is an
action; that of this name is marked as such in actions.csv. Features and truth that differ by a few frames are cut to
the shorter, as is usual. Which axis of the features is time is told by the truth's length, never guessed: where both
or none would do it is an error. There are no features of a person's crop, which the frames' status says (MISSING).
A video of which features or truth aren't there is lost, and said; the others are imported. Everything but the
features' numbers is read and checked here, before anything is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rhas.manifests.common.errors import InputError, Problem, did_you_mean, raise_problems, shorten
from rhas.manifests.imports.arrays import Layout, open_features
from rhas.manifests.imports.dataset import ImportedSet, check_shapes
from rhas.manifests.imports.files import text_lines
from rhas.manifests.imports.frames import check_fps, common_length, intervals_of
from rhas.manifests.imports.movie import ImportedMovie, LostMovie
from rhas.manifests.imports.mstcn_lists import find_videos, load_bundles, load_mapping
from rhas.manifests.tables.manifest import Movie, Person
from rhas.manifests.tables.vocabulary import Vocabulary

# Which axis of a file is time.
_TIME: dict[Layout, int] = {"F×T": 1, "T×F": 0}
PERSON_ID, REFERENCE = "actor", "the person"


@dataclass(frozen=True)
class _Video:
    """A video's truth, and the shape of its features as they lie in the file."""

    name: str
    truth: Path
    classes: NDArray[np.int64]  # [T]
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
    vocabulary = load_mapping(directory / "mapping.txt", problems)
    folds = load_bundles(directory / "splits", problems)
    found = find_videos(directory, {name for sides in folds.values() for name in sides}, problems)
    raise_problems(problems)  # else good truth may look bad
    videos: list[_Video] = []
    for name in found.whole:
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
    lost = tuple(LostMovie(_as_movie(directory, name), reason) for name, reason in found.lost.items())
    return ImportedSet("mstcn", directory, settings, fps, tuple(movies), vocabulary, folds, lost)


def _as_movie(directory: Path, name: str) -> Movie:
    """A video as the manifest has it."""
    features = directory / "features" / f"{name}.npy"
    return Movie(name, features.absolute(), (Person(name, PERSON_ID, REFERENCE),))


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
        movie=_as_movie(video.features.parent.parent, video.name),
        frames=frames,
        holistic=features,
        partial=None,
        source_frame=np.arange(frames),
        intervals=intervals_of(video.classes[:frames, None] == np.arange(len(vocabulary)), fps, vocabulary),
        fps=fps,
        cut=max(lengths.values()) - frames,
    )


def _times(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))


def _classes(truth: Path, vocabulary: Vocabulary) -> NDArray[np.int64]:
    """[T] class index of each frame. Raises InputError for the first line that names no class."""
    lines = text_lines(truth)
    index = {action: i for i, action in enumerate(vocabulary.actions)}
    classes_T = np.array([index.get(line, -1) for line in lines])
    if (unknown := np.flatnonzero(classes_T < 0)).size:
        at = int(unknown[0])
        known = did_you_mean(lines[at], vocabulary.actions)
        expected = f"one of the {len(vocabulary)} classes of mapping.txt{known}"
        raise InputError(Problem(truth, expected, at + 1, value=shorten(lines[at])))
    return classes_T
