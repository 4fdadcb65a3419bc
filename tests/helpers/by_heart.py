"""Two videos to be learned by heart: their features are noise, which tells frames apart and nothing else.

In: how many classes, frames and numbers a frame. Out: a features folder with the same two videos in each split of the
manifest, so that what is measured is what was trained on. Actions come in three layers, each 1.5 to 3 s long with
gaps between, so that a frame has none to three; every class occurs, whatever their number.
"""

from __future__ import annotations

from itertools import cycle
from pathlib import Path

import numpy as np
from feature_folders import FPS, make_movie
from training_folders import write_training_folder

from rhas.manifests.tables.csvfile import write_rows
from rhas.manifests.tables.labels import Interval
from rhas.manifests.tables.manifest import SPLITS, Person

LAYERS, VIDEOS = 3, 2


def noise_folder(root: Path, classes: int, frames: int, features: int = 32) -> Path:
    actions = [f"action {c:03d}" for c in range(classes)]
    of_videos = layered(actions, frames)
    unseen = set(actions) - {interval.action for own in of_videos for interval in own}
    assert not unseen, f"{frames} frames are too few for {classes} classes: {len(unseen)} don't occur"
    movies, labels = [], {}
    for split in SPLITS:
        for number, own in enumerate(of_videos):
            movie_id = f"{split}-{number}"
            person = Person(movie_id, "p", "the one in red", split=split)
            # Features are drawn from the name of the video, which is the same in all splits.
            movies.append(
                make_movie(
                    movie_id, frames, feature_shape=(features,), persons=(person,), video_id=f"video {number}"
                )
            )
            labels[person.key] = own
    folder = write_training_folder(root, movies, labels, lossy=False)
    write_rows(folder.actions, ("action",), [(action,) for action in actions])
    return folder.root


def layered(actions: list[str], frames: int) -> list[tuple[Interval, ...]]:
    """The labels of each video. A layer's classes go round, over both videos, in an order that is drawn once."""
    found: list[list[Interval]] = [[] for _ in range(VIDEOS)]
    for layer in range(LAYERS):
        rng = np.random.default_rng(layer)
        classes = cycle(rng.permutation(actions[layer::LAYERS]).tolist())
        for own in found:
            start = int(rng.integers(10))
            while start < frames - 15:
                end = min(start + int(rng.integers(15, 30)), frames)
                own.append(Interval(next(classes), start / FPS, end / FPS))
                start = end + int(rng.integers(10))
    return [tuple(own) for own in found]
