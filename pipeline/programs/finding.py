"""`rhas find`: in which of everybody's tracks a person is, by a sentence, an example picture, or both.

In: a features folder whose extraction kept everybody's tracks, a question. Out: all tracks of the movies that were
asked about, the best ones first; files of them. Neither movies nor the detector are needed, and none is loaded.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from rhas.manifests.common.atomic import write_text_atomically
from rhas.manifests.common.errors import InputError, Problem
from rhas.manifests.shards.layout import FeaturesFolder
from rhas.manifests.shards.people import KEPT, People, with_everybody
from rhas.manifests.shards.verify import read_config
from rhas.manifests.tables.csvfile import write_rows
from rhas.manifests.tables.manifest import load_manifest

ALL = "all"
HOW = (
    "rhas extract --movies … --out … --set tracks.implementation=builtin --set 'tracks.everybody=the person'"
)


@dataclass(frozen=True)
class Found:
    """A track: somebody seen from `start_s` to `end_s` in one shot. `words` and `likeness`: how well it matches, in
    the unit that `Finding.measures` names; None where it wasn't asked for, or has no picture."""

    movie_id: str
    track: int
    start_s: float
    end_s: float
    sights: int
    pictures: int
    words: float | None
    likeness: float | None
    sure: float | None


@dataclass(frozen=True)
class Finding:
    """All tracks, best first; which movies are not in it, and why; what the numbers are."""

    found: list[Found]
    left_out: dict[str, str]
    measures: dict[str, str]
    people: dict[str, People]


def find(
    features: Path, movies: Sequence[str], sentence: str | None, like: Path | None, device: str = "cpu"
) -> Finding:
    """`movies`: ids, or ALL. Raises InputError for what can't be asked."""
    # Late, as torch is slow to load: refusals shouldn't wait for it.
    folder = FeaturesFolder(features)
    _check_question(sentence, like)
    example = None if like is None else _example(like)
    record = read_config(folder)
    people, left_out = _people(folder, record, movies)
    from rhas.extract.encode import finding

    own = list(people.values())
    vectors = any(one.arrays["vectors"].size for one in own)
    encoder = None
    if sentence is not None or vectors:
        encoder = finding.encoder_of(folder, record, device)
    answers: dict[str, finding.Answer] = {}
    if sentence is not None:
        assert encoder is not None
        answers["words"] = finding.by_words(own, encoder, sentence)
    if example is not None:
        answers["likeness"] = finding.by_example(own, encoder if vectors else None, example)
    sure = finding.sure_of(list(answers.values()))
    found, at = [], 0
    for one in own:
        for track in range(one.tracks):
            values = {name: _number(answer.value[at]) for name, answer in answers.items()}
            found.append(_found(one, track, {"words": None, "likeness": None, **values}, _number(sure[at])))
            at += 1
    found.sort(key=lambda f: (f.sure is None, -(f.sure or 0.0), f.movie_id, f.track))
    measures = {
        name: f"{answer.measure}: {finding.MEANING[answer.measure]}" for name, answer in answers.items()
    }
    return Finding(found, left_out, {**measures, "sure": finding.SURE}, people)


def _check_question(sentence: str | None, like: Path | None) -> None:
    if sentence is None and like is None:
        raise InputError(Problem("--person", "a sentence, or --like with a picture"))
    if sentence is not None and not sentence.strip():
        raise InputError(Problem("--person", "a sentence that says who is meant", value=sentence))


def _example(path: Path) -> NDArray[np.uint8]:
    try:
        bgr = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    except (OSError, cv2.error) as error:
        raise InputError(
            Problem(path, f"a picture that can be read ({getattr(error, 'strerror', error)})")
        ) from error
    if bgr is None:
        raise InputError(Problem(path, "a picture of a person, PNG or JPEG"))
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)


def _people(
    folder: FeaturesFolder, record: dict[str, Any], asked: Sequence[str]
) -> tuple[dict[str, People], dict[str, str]]:
    """By movie, and why others have none. Raises InputError where one that was asked for has none."""
    known = [movie.movie_id for movie in load_manifest(folder.manifest).movies]
    if unknown := [movie for movie in asked if movie not in known and movie != ALL]:
        shown = ", ".join(known[:20]) + (" …" if len(known) > 20 else "")
        raise InputError([Problem("--movie", f"one of {shown}", value=movie) for movie in unknown])
    if not with_everybody(record["config"]):
        expected = f"a folder with everybody's tracks, as made, in a folder of its own, by: {HOW}"
        raise InputError(Problem(folder.root, expected, column="tracks.everybody"))
    people, left_out = {}, {}
    for movie in known if ALL in asked else dict.fromkeys(asked):
        path = folder.people(movie)
        try:
            own = People.from_bytes(path.read_bytes())
            if own.extraction != record["extraction"] or own.movie_id != movie:
                raise ValueError("tracks of another extraction or movie")
            people[movie] = own
        except FileNotFoundError:
            left_out[movie] = "no stored tracks yet: the command that began the folder goes on"
        except (OSError, ValueError) as error:
            left_out[movie] = (
                f"{error}: rhas verify {folder.root} tells more, and a rerun of rhas extract mends it"
            )
    if left_out and (ALL not in asked or not people):
        raise InputError([Problem(folder.people(movie), reason) for movie, reason in left_out.items()])
    return people, left_out


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _found(people: People, track: int, values: dict[str, float | None], sure: float | None) -> Found:
    own = np.flatnonzero(people.arrays["track"] == track)
    time_s = people.arrays["time_s"][own]
    kept = (people.crops_of_tracks() == track) & (people.arrays["state"] == KEPT)
    return Found(
        people.movie_id, track, round(float(time_s[0]), 3), round(float(time_s[-1]), 3), len(own), int(kept.sum()),
        **values, sure=sure,
    )  # fmt: skip


def write_found(path: Path, finding: Finding, sentence: str | None, like: Path | None) -> None:
    """All tracks as JSON or CSV, by the file's name."""
    if path.suffix == ".csv":
        columns = list(Found.__dataclass_fields__)
        rows = [["" if v is None else v for v in asdict(found).values()] for found in finding.found]
        write_rows(path, columns, rows)
    elif path.suffix == ".json":
        said = {
            "person": sentence, "like": None if like is None else str(like), "measures": finding.measures,
            "left_out": finding.left_out, "tracks": [asdict(found) for found in finding.found],
        }  # fmt: skip
        write_text_atomically(path, json.dumps(said, indent=2, ensure_ascii=False) + "\n")
    else:
        raise InputError(Problem("--out", "a name that ends in .json or .csv", value=path))
