"""Import of Charades, MultiTHUMOS and Toyota Smarthome Untrimmed (TSU): several labels a frame, features of others.

    ANNOTATIONS.json           see `multilabel_json`
    FEATURES/VIDEO.npy         T×F floats of whole frames, I3D's or CLIP's; T×1×1×F is understood too

In: these, and which data set it is. Out: an `ImportedSet`, one movie with one person for each video; training and
testing are fold 1, unless there is a validation half as well. There are no features of a person's crop, which the
frames' status says (MISSING).

Labels are those of the public loaders (super-events, PDAN, MS-TCT, MS-Temba, TSU's own), frame for frame: row t of T
stands at t · duration / T, and has each action that began before it and ends after it, neither at it. So each video has
a rate of its own, and the features of another video would go unnoticed: videos whose rate is not the others' are warned
of. Videos without features, and those of which no frame is labelled, are left out and on record. (Of the latter, PDAN
and super-events count the frames as negatives, MS-TCT and MS-Temba leave them out.)

Shapes: T rows of features, called frames; C classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rhas.manifests.common.errors import InputError, Problem, raise_problems
from rhas.manifests.imports.arrays import FeatureFile, open_features
from rhas.manifests.imports.dataset import SHOWN, ImportedSet, check_shapes
from rhas.manifests.imports.frames import MAX_FPS, check_fps, frame_times, intervals_of
from rhas.manifests.imports.movie import ImportedMovie, LostMovie
from rhas.manifests.imports.mstcn_lists import load_mapping
from rhas.manifests.imports.multilabel_json import Annotated, first_class, load_annotations
from rhas.manifests.tables.manifest import Movie, Person
from rhas.manifests.tables.vocabulary import Vocabulary

DataSet = Literal["charades", "multithumos", "tsu"]
CLASSES: dict[DataSet, int] = {"charades": 157, "multithumos": 65, "tsu": 51}
TSU_FPS = 25.0  # TSU's annotations count the frames of its movies
PERSON_ID, REFERENCE = "actor", "the person"
FAR = 2.0  # times a video's duration: an action's end beyond that is no rounding
OTHER_RATE = 0.1  # by which share a video's rate may differ from the others'


@dataclass(frozen=True)
class MultilabelOptions:
    """How the files are to be read."""

    dataset: DataSet
    classes: Path | None = None  # names, "index name" a line; None: c000, c001, …
    count_from: int | None = None  # None: as the annotations tell
    movie_fps: float = TSU_FPS  # of TSU's movies


def read_multilabel(annotations: Path, features: Path, options: MultilabelOptions) -> ImportedSet:
    """Raises one InputError with the problems of all files."""
    check_fps(options.movie_fps)
    videos = load_annotations(annotations)
    vocabulary = _vocabulary(options)
    first = first_class(annotations, videos, len(vocabulary), options.count_from)
    unit_s = 1 / options.movie_fps if options.dataset == "tsu" else 1.0
    movies: list[ImportedMovie] = []
    lost: list[LostMovie] = []
    problems: list[Problem] = []
    for video in videos:
        path = features / f"{video.name}.npy"
        movie = Movie(
            video.name, path.absolute(), (Person(video.name, PERSON_ID, REFERENCE, split=video.side),)
        )
        if not path.exists():
            lost.append(LostMovie(movie, f"no {path.name}"))
            continue
        try:
            file = _features(path)
        except InputError as error:
            problems += error.problems
            continue
        fps = file.frames / (video.duration * unit_s)
        if not 1 / MAX_FPS <= fps <= MAX_FPS:
            expected = f"features of {1 / MAX_FPS:g} to {MAX_FPS:g} rows a second of {video.name}"
            problems.append(Problem(path, expected, value=f"{fps:g}"))
            continue
        labels_TC = label_rows(video, file.frames, len(vocabulary), first)
        if not labels_TC.any():
            lost.append(LostMovie(movie, "no frame is labelled"))
            continue
        intervals = intervals_of(labels_TC, fps, vocabulary)
        movies.append(ImportedMovie(movie, file.frames, file, None, np.arange(file.frames), intervals, fps))
    problems += check_shapes(movies)
    if not movies and not problems:
        problems.append(Problem(features, f"features VIDEO.npy of at least one video of {annotations}"))
    raise_problems(problems)
    settings = {"movie_fps": options.movie_fps} if options.dataset == "tsu" else {}
    sides = {video.name: video.side for video in videos}
    return ImportedSet(
        layout=options.dataset,
        source=annotations,
        settings=settings,
        fps=None,
        movies=tuple(movies),
        vocabulary=vocabulary,
        folds=None if "val" in sides.values() else {1: sides},
        lost=tuple(lost),
        warnings=(*_odd_times(annotations, videos), *_odd_rates(movies)),
    )


def label_rows(video: Annotated, frames: int, classes: int, first: int) -> NDArray[np.bool_]:
    """[T, C] labels of a video with T rows of features, as the public loaders have them."""
    time_T = frame_times(frames, frames / video.duration)  # in the annotation's unit
    labels_TC = np.zeros((frames, classes), dtype=bool)
    for index, start, end in video.actions:
        labels_TC[(time_T > start) & (time_T < end), index - first] = True
    return labels_TC


def _vocabulary(options: MultilabelOptions) -> Vocabulary:
    count = CLASSES[options.dataset]
    if options.classes is None:
        return Vocabulary(tuple(f"c{index:03d}" for index in range(count)))
    problems: list[Problem] = []
    vocabulary = load_mapping(options.classes, problems)
    raise_problems(problems)
    if len(vocabulary) != count:
        expected = f"the {count} classes of {options.dataset}"
        raise InputError(Problem(options.classes, expected, value=len(vocabulary)))
    return vocabulary


def _features(path: Path) -> FeatureFile:
    file = open_features(path, "T×F")
    if len(file.stored) > 1 and file.stored[0] > 1:  # PDAN's “oversample” has ten crops a row, and takes one
        raise InputError(Problem(path, "features T×F or T×1×1×F", value=(file.frames, *file.stored)))
    return file


def _odd_times(annotations: Path, videos: Sequence[Annotated]) -> Iterator[str]:
    """Actions that are read as they stand, and can't be meant so."""
    backwards = [(v, a) for v in videos for a in v.actions if a[2] < a[1]]
    far = [(v, a) for v in videos for a in v.actions if a[2] > FAR * v.duration]
    for found, what in ((backwards, "end before they begin"), (far, "end far behind their video's end")):
        if found:
            video, (index, start, end) = found[0]
            yield (
                f"{annotations}: {len(found)} actions {what}; they are read as the public loaders do. The first: "
                f"class {index}, {start:g} to {end:g}, in {video.name} of {video.duration:g}"
            )


def _odd_rates(movies: Sequence[ImportedMovie]) -> Iterator[str]:
    """Videos with many more or fewer rows than their duration has at the others' rate."""
    usual = float(np.median([movie.fps for movie in movies]))
    odd = [m for m in movies if abs(m.frames * usual / m.fps - m.frames) > max(2.0, OTHER_RATE * m.frames)]
    if odd:
        named = ", ".join(f"{movie.movie.movie_id} ({movie.fps:.3g})" for movie in odd[:SHOWN])
        more = f" and {len(odd) - SHOWN} more" if len(odd) > SHOWN else ""
        yield (
            f"{len(odd)} of {len(movies)} videos have features of another rate than most ({usual:.3g} rows a second): "
            f"{named}{more}. Are they of these videos, and whole?"
        )
