"""Import of RHAS133 as its authors hand it out: features of each sample in files, all else in pickles.

In: a folder as `rhas133_places` describes it, and `Rhas133Options`. Out: an `ImportedSet`, one movie with one person
for each sample, called SPLIT_NUMBER after its files in either protocol. Samples whose frame ids name the same movie
have the same `video` in the manifest, so that no split can part them unnoticed.

What the authors' loaders make of the files is made of them here, and recorded:
- A sample without whole-frame features is not in their lists: it is lost, and the others are imported.
- Labels and whole frames are cut to the person's features, or to the whole frames' where there are none.
- Where there is no person file, or it holds nothing but NaN for a frame, the frame's status says so (MISSING): here no
  whole frame stands in for a person.
- Classes are counted from 0; a warning says if class 0 never occurs, as the authors' table counts from 1.
Frames stand 1 / fps apart; 15 a second is assumed, nothing says so. Pickles are read as data, see `plain_pickle`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rhas.manifests.common.errors import InputError, Problem, raise_problems
from rhas.manifests.imports.arrays import FeatureFile, open_features
from rhas.manifests.imports.dataset import ImportedSet, check_shapes
from rhas.manifests.imports.frames import intervals_of, label_matrix
from rhas.manifests.imports.movie import ImportedMovie, LostMovie
from rhas.manifests.imports.rhas133_options import Rhas133Options
from rhas.manifests.imports.rhas133_samples import Sample, cross_movie_samples, random_samples
from rhas.manifests.tables.manifest import Movie, Person
from rhas.manifests.tables.vocabulary import Vocabulary

PERSON_ID = "person"


@dataclass
class _Read:
    """What came of the samples so far."""

    movies: list[ImportedMovie]
    lost: list[LostMovie]
    problems: list[Problem]
    has_first: bool = False  # class 0 occurs


def read_rhas133(directory: Path, options: Rhas133Options, vocabulary: Vocabulary) -> ImportedSet:
    """Raises one InputError with the problems of all files."""
    warnings: list[str] = []
    if options.protocol == "random":
        samples = random_samples(directory, options, vocabulary, warnings)
    else:
        samples = cross_movie_samples(directory, options, vocabulary)
    read = _Read([], [], [])
    for sample in samples:
        try:
            _add(read, directory, sample, options, vocabulary)
        except InputError as error:
            read.problems += error.problems
    read.problems += check_shapes(read.movies)
    if not read.movies and not read.problems:
        first = samples[0].whole
        expected = f"whole-frame features of at least one of {len(samples)} samples"
        read.problems.append(Problem(first, expected, value="no such file"))
    raise_problems(read.problems)
    if options.count_from == 0 and not read.has_first:
        warnings.append(
            f"class 0 ({vocabulary.actions[0]}) is in none of {len(samples)} samples: the authors' table counts "
            "actions from 1, their loaders from 0, as was done here (--count-from 1 if these labels count as the "
            "table does)"
        )
    return ImportedSet(
        layout="rhas133",
        source=directory,
        settings=_settings(options),
        fps=options.fps,
        movies=tuple(read.movies),
        vocabulary=vocabulary,
        lost=tuple(read.lost),
        warnings=tuple(warnings),
    )


def _settings(options: Rhas133Options) -> dict[str, object]:
    """What features and labels depend on; what is as usual is left out where it came later."""
    always = {name: getattr(options, name) for name in ("tokens", "tolerance", "movie_pattern")}
    usual = Rhas133Options()
    later = {name: getattr(options, name) for name in ("features", "protocol", "count_from", "frame_ids")}
    return always | {name: value for name, value in later.items() if value != getattr(usual, name)}


def _add(
    read: _Read, directory: Path, sample: Sample, options: Rhas133Options, vocabulary: Vocabulary
) -> None:
    labelled = sample.actions.frames(sample.index)
    sample.check_frames(labelled)
    classes = sample.actions.classes(sample.index)
    read.has_first |= any(0 in own for own in classes)
    person = Person(sample.movie_id, PERSON_ID, sample.reference(), split=sample.side)
    if not _is_there(sample.whole):
        movie = Movie(sample.movie_id, sample.whole.absolute(), (person,))
        read.lost.append(LostMovie(movie, f"no {sample.whole.relative_to(directory)}"))
        return
    holistic = open_features(sample.whole, "T×F", options.tokens)
    partial = open_features(sample.person, "T×F", options.tokens) if _is_there(sample.person) else None
    lengths = {sample.actions.file: labelled, holistic.path: holistic.frames}
    frames = _common(sample, lengths, partial or holistic, options.tolerance)
    origin, source_frame = sample.frames(frames)
    read.movies.append(
        ImportedMovie(
            movie=Movie(
                sample.movie_id, (directory / origin if origin else sample.whole).absolute(), (person,)
            ),
            frames=frames,
            holistic=holistic,
            partial=partial,
            source_frame=source_frame,
            intervals=intervals_of(label_matrix(classes[:frames], vocabulary), options.fps, vocabulary),
            fps=options.fps,
            cut=max(*lengths.values(), frames if partial is None else partial.frames) - frames,
        )
    )


def _common(sample: Sample, lengths: dict[Path, int], decides: FeatureFile, tolerance: int) -> int:
    """How many frames are kept: those of the features that decide, unless another file has a few fewer."""
    shortest = min(lengths, key=lambda path: lengths[path])
    if decides.frames - lengths[shortest] > tolerance:
        expected = (
            f"{decides.frames} frames, as {decides.path} has, or at most {tolerance} fewer "
            f"(sample {sample.index})"
        )
        raise InputError(Problem(shortest, expected, value=lengths[shortest]))
    return min(decides.frames, lengths[shortest])


def _is_there(path: Path) -> bool:
    """A file that can't be used is an error, not a missing one, and so is a link to nowhere."""
    return path.exists() or path.is_symlink()
