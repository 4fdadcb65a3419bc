"""A features folder from which actions can be learned, and what a shipped preset makes of it.

A frame's features are the sum of what its actions look like and of noise, in each stream by itself. An action looks
the same in all movies; which actions there are, when and for how long is drawn for each. So who has learned what
actions look like knows them in movies never seen, and who looks at no feature doesn't.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from rhas.manifests.imports.arrays import open_features
from rhas.manifests.imports.dataset import ImportedSet, write_dataset
from rhas.manifests.imports.frames import intervals_of
from rhas.manifests.imports.movie import ImportedMovie
from rhas.manifests.shards.layout import FeaturesFolder
from rhas.manifests.tables.manifest import Movie, Person
from rhas.manifests.tables.vocabulary import Vocabulary
from rhas.train.config import load_config
from rhas.train.evaluation.evaluation import evaluate_run
from rhas.train.fitting.training import train

BLIND = (
    "constant",
    "prior",
    "person_mode",
)  # baselines that look at no feature; the last one knows the truth


@dataclass(frozen=True)
class World:
    """Movies of `seconds` with segments of `segment_s`, in one layer of actions or several beside each other.

    With one layer there is an action in every frame, and a fold that tests on the last `tested` movies. With several,
    a layer has gaps, so that a frame has none to all of them.
    """

    movies: int = 20
    fps: float = 4.0
    seconds: tuple[float, float] = (16.0, 24.0)
    segment_s: tuple[float, float] = (2.5, 5.0)
    layers: tuple[int, ...] = (4, 4)  # classes in each
    features: int = 32
    tokens: int = (
        1  # of a frame, each of which an action looks otherwise in; with more of them there are sentences
    )
    noise: float = 1.0  # beside 1, the spread of what an action looks like
    tested: int = 4
    seed: int = 0

    @property
    def actions(self) -> tuple[str, ...]:
        return tuple(f"action {c}" for c in range(sum(self.layers)))

    def write(self, root: Path) -> Path:
        """The folder, as an import leaves it."""
        rng = np.random.default_rng(self.seed)
        looks_SCF = rng.standard_normal((2, len(self.actions), self.tokens * self.features))
        movies = [
            self._movie(root / "files", f"m{number:02d}", looks_SCF, rng) for number in range(self.movies)
        ]
        sides = ["train"] * (self.movies - self.tested) + ["test"] * self.tested
        folds = {1: {movie.movie.movie_id: side for movie, side in zip(movies, sides, strict=True)}}
        folder = FeaturesFolder(root / "features")
        write_dataset(
            folder,
            ImportedSet(
                "rhas133", root / "files", {}, self.fps, tuple(movies), Vocabulary(self.actions), folds
            ),
        )
        if self.tokens > 1:
            self._add_sentences(folder)
        return folder.root

    def _add_sentences(self, folder: FeaturesFolder) -> None:
        """Vectors that say nothing of actions, as an extraction of all tokens stores them."""
        for number, path in enumerate(sorted(folder.shards.glob("*.h5"))):
            vector_F = np.random.default_rng(number).standard_normal(self.features).astype(np.float32)
            with h5py.File(path, "r+") as file:
                file["persons/p"].create_dataset("text_embedding", data=vector_F, fletcher32=True)

    def _movie(
        self, files: Path, movie_id: str, looks_SCF: np.ndarray, rng: np.random.Generator
    ) -> ImportedMovie:
        files.mkdir(parents=True, exist_ok=True)
        frames = round(rng.uniform(*self.seconds) * self.fps)
        labels_TC = self._labels(frames, rng)
        streams = []
        for name, looks_CF in zip(("holistic", "partial"), looks_SCF, strict=True):
            path = files / f"{movie_id}-{name}.npy"
            rows_TF = labels_TC @ looks_CF
            rows_TF = (rows_TF + self.noise * rng.standard_normal(rows_TF.shape)).astype(np.float32)
            if self.tokens > 1:
                np.save(path, rows_TF.reshape(frames, self.tokens, -1))
                streams.append(open_features(path, "T×F", "all"))
            else:
                np.save(path, rows_TF)
                streams.append(open_features(path, "T×F"))
        person = Person(movie_id, "p", "the one in red")
        intervals = intervals_of(labels_TC > 0, self.fps, Vocabulary(self.actions))
        movie = Movie(movie_id, streams[0].path, (person,))
        return ImportedMovie(movie, frames, *streams, np.arange(frames), intervals, self.fps)

    def _labels(self, frames: int, rng: np.random.Generator) -> np.ndarray:
        """[T, C] 0 or 1. In a layer, an action is followed by another one, or by a gap."""
        labels_TC, first = np.zeros((frames, len(self.actions))), 0
        for classes in self.layers:
            start, last = 0, -1
            while start < frames:
                stop = start + round(rng.uniform(*self.segment_s) * self.fps)
                if len(self.layers) == 1 or rng.random() < 0.8:
                    last = int(rng.choice([c for c in range(classes) if c != last]))
                    labels_TC[start:stop, first + last] = 1
                start = stop
            first += classes
        return labels_TC


def learned(
    world: World, preset: str, folder: Path, epochs: int, others: Sequence[str] = ()
) -> dict[str, Any]:
    """What `preset` reaches in so many epochs, on movies of the test split, beside its baselines.

    Nothing of it is changed but its epochs, of which only the last one is validated, and `others`.
    """
    features, run = world.write(folder), folder / "run"
    settings = (f"epochs={epochs}", f"validate_every={epochs}", *others)
    train(features, run, load_config(preset, settings), "cpu")
    return evaluate_run(run, "test", device="cpu")


def blind(measured: dict[str, Any], name: str) -> float:
    """The best of what the baselines that look at no feature have of a metric of segments."""
    return max(measured["baselines"][baseline]["chosen"][name] or 0.0 for baseline in BLIND)
