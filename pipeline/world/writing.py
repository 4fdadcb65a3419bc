"""Writes a made world to disk: movies, and beside them what is known of them.

    OUT/manifest.csv, labels.csv, actions.csv   as every extraction reads them
    OUT/boxes.csv                               true boxes, five a second, as `rhas extract --detector` takes them
    OUT/references.csv                          all paraphrases: movie_id,person_id,reference
    OUT/persons.csv                             looks: movie_id,person_id,gender,shirt,trousers,hair,hat,height
    OUT/movies/MOVIE.mp4                         H.264, 15 frames a second
    OUT/world.json                              what was asked for
    OUT/truth/MOVIE.npz                         per frame: boxes, inside, visible, actions (see `Truth`)

Every file is the same, to the bit, for the same seed (with the same versions of OpenCV and FFmpeg). A movie that is
there with its truth is not made again, so an interrupted command goes on where it was.
"""

from __future__ import annotations

import io
import json
import signal
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import dataclass, fields
from fractions import Fraction
from itertools import groupby
from multiprocessing import get_context
from operator import itemgetter
from pathlib import Path

import av
import numpy as np

from rhas.manifests.common.atomic import remove_leftovers, write_bytes_atomically, write_text_atomically
from rhas.manifests.common.errors import InputError, Problem
from rhas.manifests.common.interruption import check
from rhas.manifests.common.lock import locked
from rhas.manifests.common.processes import die_with_parent
from rhas.manifests.tables import boxes as known_boxes
from rhas.manifests.tables.csvfile import write_rows
from rhas.manifests.tables.labels import COLUMNS as LABEL_COLUMNS
from rhas.manifests.tables.manifest import REQUIRED_COLUMNS
from rhas.manifests.tables.vocabulary import ABSENT, Vocabulary, write_vocabulary
from rhas.pipeline.world import MOVIES
from rhas.pipeline.world.lives.kinds import KINDS
from rhas.pipeline.world.lives.layers import FPS
from rhas.pipeline.world.looks import Look
from rhas.pipeline.world.movie import HEIGHT, WIDTH, MadeMovie

OUTSIDE = 0.25  # who has less of their box than this in the frame is N/A
_BOXES_EVERY = 3  # frames
_SHORTEST_ABSENCE = 8  # frames; briefer ones are a step over the edge
_NAMED = [field.name for field in fields(Look) if field.name != "skin"]


@dataclass(frozen=True)
class World:
    """What is asked for; a folder holds one of these."""

    movies: int = 24
    seed: int = 0
    shortest_s: float = 30
    longest_s: float = 90
    scale: int = 1  # of 160×96 pixels
    kind: str = "ordinary"  # of KINDS: what persons do

    def __post_init__(self) -> None:
        problems = []
        if self.movies < 1:
            problems.append(Problem("--movies", "at least 1", value=self.movies))
        if self.seed < 0:
            problems.append(Problem("--seed", "at least 0", value=self.seed))
        if not 2 <= self.shortest_s <= self.longest_s <= 3600:
            value = f"{self.shortest_s:g} to {self.longest_s:g}"
            problems.append(Problem("--seconds", "2 <= shortest <= longest <= 3600 seconds", value=value))
        if not 1 <= self.scale <= 12:
            problems.append(Problem("--scale", "1 (160×96 pixels) to 12 (1920×1152)", value=self.scale))
        if self.kind not in KINDS:
            problems.append(Problem("--kind", ", ".join(KINDS), value=self.kind))
        if problems:
            raise InputError(problems)

    @property
    def actions(self) -> tuple[str, ...]:
        """The vocabulary, in the order of the truth's actions."""
        return KINDS[self.kind].actions

    def movie(self, number: int) -> MadeMovie:
        return MadeMovie.made(MOVIES, self.seed, number, (self.shortest_s, self.longest_s), self.kind)


@dataclass(frozen=True)
class Truth:
    """What is known of a movie of T frames and P persons.

    boxes [T, P, 4], inside [T, P] and visible [T, P] are those of `movie.Picture`; actions [T, P, A] bool are in the
    order of `World.actions`, with none where `absent` [T, P] is.
    """

    boxes: np.ndarray
    inside: np.ndarray
    visible: np.ndarray
    actions: np.ndarray
    absent: np.ndarray

    @classmethod
    def load(cls, path: Path) -> Truth:
        with np.load(path, allow_pickle=False) as arrays:
            return cls(**{field.name: arrays[field.name] for field in fields(cls)})


def movie_id(number: int) -> str:
    return f"world_{number:04d}"


def truth_path(world: Path, name: str) -> Path:
    """Where the truth of a movie lies in a world's folder."""
    return world / "truth" / f"{name}.npz"


def write_world(out: Path, world: World, workers: int = 1, made: Callable[[int], None] | None = None) -> Path:
    """Writes the movies that aren't there yet and all tables; returns the manifest's path.

    `made` is called with the frames of each movie that is done. Raises InputError if the folder holds another world.
    """
    out.mkdir(parents=True, exist_ok=True)
    with locked(out / "lock"):
        _check_same(out / "world.json", world)
        for folder in (out / "movies", out / "truth"):
            folder.mkdir(exist_ok=True)
        remove_leftovers(out)
        with closing(_write_movies(out, world, workers)) as movies:
            for frames in movies:
                check()
                if made is not None:
                    made(frames)
        _write_tables(out, world)
    return out / "manifest.csv"


def _check_same(record: Path, world: World) -> None:
    asked = {field.name: getattr(world, field.name) for field in fields(world)}
    if record.exists():
        before = {"kind": "ordinary"} | json.loads(record.read_text())  # at first there was no other kind
        # More movies of the same seed are the same world, longer.
        if before | {"movies": world.movies} != asked:
            raise InputError(
                Problem(record, f"the world that this folder began with: {before}", value=str(asked))
            )
    write_text_atomically(record, json.dumps(asked))


def _write_movies(out: Path, world: World, workers: int) -> Generator[int]:
    jobs = [(out, world, number) for number in range(world.movies)]
    if workers <= 1:
        yield from map(_write_movie, jobs)
        return
    # Spawned: a fork would inherit the threads of whatever the caller runs.
    with ProcessPoolExecutor(workers, get_context("spawn"), _begin) as pool:
        yield from pool.map(_write_movie, jobs)


def _begin() -> None:
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle


def _write_movie(job: tuple[Path, World, int]) -> int:
    out, world, number = job
    movie, name = world.movie(number), movie_id(number)
    path, truth = out / "movies" / f"{name}.mp4", truth_path(out, name)
    if path.exists() and truth.exists():
        return movie.frames
    shape = movie.frames, len(movie.cast)
    boxes, inside, visible = (
        np.zeros((*shape, 4), np.float32),
        np.zeros(shape, np.float32),
        np.zeros(shape, np.float32),
    )
    video = io.BytesIO()
    with av.open(video, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.height, stream.width, stream.pix_fmt = HEIGHT * world.scale, WIDTH * world.scale, "yuv420p"
        # One thread: the encoder's decisions depend on how many there are. No macroblock tree: with it, one movie in
        # five came out otherwise at times, from the same pictures.
        stream.options = {
            "preset": "veryfast",
            "crf": "18",
            "g": "60",
            "threads": "1",
            "x264-params": "mbtree=0",
        }
        for at in range(movie.frames):
            picture = movie.picture(at, world.scale)
            boxes[at], inside[at], visible[at] = picture.boxes, picture.inside, picture.visible
            frame = av.VideoFrame.from_ndarray(picture.image, format="rgb24")
            frame.pts, frame.time_base = at, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    absent = absences(inside)
    actions = movie.lives.actions & ~absent[..., None]
    arrays = io.BytesIO()
    np.savez_compressed(
        arrays, boxes=boxes, inside=inside, visible=visible, actions=actions, absent=absent
    )  # fmt: skip
    write_bytes_atomically(path, video.getvalue())
    write_bytes_atomically(truth, arrays.getvalue())
    return movie.frames


def absences(inside_TP: np.ndarray) -> np.ndarray:
    """[T, P] bool: who is out of the picture, for half a second or longer."""
    absent = inside_TP < OUTSIDE
    for person in range(absent.shape[1]):
        for start, end in runs(absent[:, person]):
            if end - start < _SHORTEST_ABSENCE:
                absent[start:end, person] = False
    return absent


def runs(flags_T: np.ndarray) -> Iterator[tuple[int, int]]:
    """Half-open stretches [start, end) of frames in which the flag is set."""
    for flag, frames in groupby(enumerate(flags_T.tolist()), key=itemgetter(1)):
        numbers = [number for number, _ in frames]
        if flag:
            yield numbers[0], numbers[-1] + 1


def _write_tables(out: Path, world: World) -> None:
    persons, references, looks, labels, boxes = [], [], [], [], []
    for number in range(world.movies):
        movie, name = world.movie(number), movie_id(number)
        truth = Truth.load(truth_path(out, name))
        for person, who in enumerate(movie.cast):
            key = name, who.person_id
            # Which of the paraphrases an extraction reads goes round.
            sentence = who.references[number % len(who.references)]
            persons.append((name, f"movies/{name}.mp4", who.person_id, sentence))
            references += [(*key, paraphrase) for paraphrase in who.references]
            looks.append((*key, *(getattr(who.look, name) or "" for name in _NAMED)))
            where = truth.boxes[::_BOXES_EVERY, person]
            known = ~truth.absent[::_BOXES_EVERY, person] & (where[:, 2:] > where[:, :2]).all(-1)
            boxes += [(*key, at * _BOXES_EVERY / FPS, *where[at].tolist()) for at in np.flatnonzero(known)]
            intervals = [(ABSENT, *run) for run in runs(truth.absent[:, person])]
            for action, flags in zip(world.actions, truth.actions[:, person].T, strict=True):
                intervals += [(action, *run) for run in runs(flags)]
            intervals.sort(key=lambda interval: (interval[1:], interval[0]))
            labels += [(*key, name, start / FPS, end / FPS) for name, start, end in intervals]
    write_vocabulary(Vocabulary(world.actions), out / "actions.csv")
    write_rows(out / "boxes.csv", known_boxes.COLUMNS, boxes)
    write_rows(out / "references.csv", ("movie_id", "person_id", "reference"), references)
    write_rows(out / "persons.csv", ("movie_id", "person_id", *_NAMED), looks)
    write_rows(out / "labels.csv", LABEL_COLUMNS, labels)
    write_rows(out / "manifest.csv", REQUIRED_COLUMNS, persons)
