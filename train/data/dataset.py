"""A features folder as training data: read, cut into windows and split.

In: the folder and a `DataConfig`. Out: a `Dataset`, whose splits read features as they are asked for. Loading
opens each shard once, for times and statuses.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rhas.manifests.tables.vocabulary import Vocabulary
from rhas.train.data.clips import read_contents
from rhas.train.data.config import DataConfig
from rhas.train.data.samples import OpenShards, SampleSet
from rhas.train.data.splits import split_windows
from rhas.train.data.windows import cut


@dataclass(frozen=True)
class Dataset:
    """Samples by split, what models need to know of them, and all that was left out."""

    splits: dict[str, SampleSet]  # train, val, test
    vocabulary: Vocabulary
    feature_size: int  # F
    unlabelled: tuple[str, ...]  # movie/person of those skipped for want of labels
    lost_movies: tuple[str, ...]  # movie_ids that could not be extracted, as failures.csv records
    left_out_frames: int  # in last windows below `min_frames`


def load_dataset(features: Path, config: DataConfig, boundary_sigma: float | None = None) -> Dataset:
    """Everything that there is to learn from and to measure on; `boundary_sigma` as in `SampleSet`.

    Raises one InputError with all that is wrong with the folder, or one for splits that are empty or not apart.
    """
    contents = read_contents(features, config)
    windows, left_out = cut(contents.clips, config.window, config.min_frames)
    shards = OpenShards()
    splits = {
        name: SampleSet(own, contents.vocabulary, shards, boundary_sigma, config.soft_sigma)
        for name, own in split_windows(windows, config, features).items()
    }
    return Dataset(
        splits=splits,
        vocabulary=contents.vocabulary,
        feature_size=contents.feature_size,
        unlabelled=contents.unlabelled,
        lost_movies=contents.lost_movies,
        left_out_frames=left_out,
    )
