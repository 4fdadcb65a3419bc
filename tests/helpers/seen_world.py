"""A made world, and a detector that knows where everybody is: so what is found depends on no trained detector.

In: a folder. Out: movies with their truth; an extraction of them in this process, with real workers but for the
detector, which recognises a frame by its pixels and gives the true boxes of who is visible in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import av
import numpy as np
import pandas as pd
import torch
from pool_here import PoolHere

from rhas.extract.config import ExtractConfig, RunOptions, load_config
from rhas.extract.ground.boxes import Candidates
from rhas.extract.run.accounts import Summary
from rhas.extract.run.run import extract
from rhas.extract.run.workers import LinkWorker, ModelWorker
from rhas.manifests.tables.inputs import load_inputs
from rhas.pipeline.world.writing import Truth, World, truth_path, write_world

EVERYBODY = "the person"
VISIBLE = 0.5  # share of a person that has to be seen
SETTINGS = [
    "decode.fps=2.5", "decode.window_frames=8", "tracks.implementation=builtin", f"tracks.everybody={EVERYBODY}",
    "detector.refine=null",
]  # fmt: skip


@dataclass
class SeenWorld:
    """Movies of a made world; `asked` are the manifest's references, by which the detector knows persons."""

    root: Path
    truth: dict[str, Truth] = field(default_factory=dict)
    pictures: dict[str, np.ndarray] = field(default_factory=dict)  # every fourth pixel of each frame

    @classmethod
    def made(cls, root: Path, movies: int, seed: int, seconds: tuple[float, float]) -> SeenWorld:
        write_world(root, World(movies, seed, *seconds))
        world = cls(root)
        for path in sorted((root / "movies").glob("*.mp4")):
            world.truth[path.stem] = Truth.load(truth_path(root, path.stem))
            with av.open(str(path)) as container:
                frames = [frame.to_ndarray(format="rgb24")[::4, ::4] for frame in container.decode(video=0)]
            world.pictures[path.stem] = np.stack(frames).astype(np.int16)
        return world

    def table(self, name: str) -> pd.DataFrame:
        return pd.read_csv(self.root / name)

    def manifest_of(self, path: Path, persons: Sequence[str] = ("p1",)) -> Path:
        """Of these persons only; everybody else is nobody's."""
        rows = self.table("manifest.csv")
        rows["video"] = [str(self.root / video) for video in rows["video"]]
        rows[rows["person_id"].isin(persons)].to_csv(path, index=False)
        return path

    def place(self, pixels_HW3: np.ndarray) -> tuple[str, int]:
        """Which movie's which frame shows this."""
        small = pixels_HW3[::4, ::4].astype(np.int16)
        away = {name: np.abs(own - small).mean(axis=(1, 2, 3)) for name, own in self.pictures.items()}
        name = min(away, key=lambda one: away[one].min())
        return name, int(away[name].argmin())


@dataclass
class TrueDetector:
    """`rhas.extract.ground.detector.Detector`, of which there is nothing but the truth."""

    world: SeenWorld
    weights_hash: str = "0" * 64
    looked: int = 0

    def to(self, device: str) -> TrueDetector:
        return self

    def check(self, sentences: Sequence[str]) -> None:
        """Takes any."""

    def detect(self, frames_BHW3: torch.Tensor, sentences: Sequence[str]) -> list[list[Candidates]]:
        self.looked += len(frames_BHW3)
        places = [self.world.place(frame.numpy()) for frame in frames_BHW3]
        return [[self._candidates(*place, sentence) for place in places] for sentence in sentences]

    def _candidates(self, movie: str, frame: int, sentence: str) -> Candidates:
        truth, names = self.world.truth[movie], self.world.table("references.csv")
        own = names[(names["movie_id"] == movie) & (names["reference"] == sentence)]["person_id"]
        persons = range(truth.boxes.shape[1])
        meant = persons if sentence == EVERYBODY else [int(own.iloc[0][1:]) - 1] if len(own) else []
        seen = [p for p in meant if truth.visible[frame, p] >= VISIBLE]
        boxes = torch.from_numpy(truth.boxes[frame, seen]).float().reshape(-1, 4)
        return Candidates(boxes, torch.full((len(seen),), 0.9))


def extract_seen(world: SeenWorld, manifest: Path, out: Path, *settings: str, **options: Any) -> Summary:
    """An extraction in this process."""
    config = load_config("mini", [*SETTINGS, *settings])
    with true_pool(world):
        return extract(load_inputs(manifest), out, config, RunOptions(batch=16, **options))


@contextmanager
def true_pool(world: SeenWorld) -> Iterator[None]:
    """Inside, extractions run here, with the true detector."""

    @contextmanager
    def pool(config: ExtractConfig, options: RunOptions, root: Path) -> Iterator[PoolHere]:
        here = PoolHere(config, options, root)
        here.models = [ModelWorker(config, options.batch, "cpu")]
        here.linker = LinkWorker(root, config)
        try:
            yield here
        finally:
            here.decoders[0].process.close()

    with (
        patch("rhas.extract.run.run.pool_of", pool),
        patch("rhas.extract.ground.load_detector", lambda config: TrueDetector(world)),
    ):
        yield
