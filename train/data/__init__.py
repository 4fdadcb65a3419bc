"""Features and labels to batches: what stage 2 learns from, cut at load time from the shards of stage 1.

    dataset = load_dataset(Path("features"), DataConfig(split="cross-movie", seed=1))
    train = dataset.splits["train"]
    loader = BatchLoader(train, BatchSampler(len(train), batch=4, seed=1), workers=4)

- `config`: what is chosen; `dataset`: all of it put together
- `clips`: who is in a features folder, and when; `windows`: their windows; `splits`: train, val, test
- `rasterise`: labels to frames; `samples`: one window read from its shard; `targets`: curves made from labels
- `batches`: padding and masks; `sampler`: which samples when, over epochs, ranks and restarts; `loader`: both

Nothing is copied on disk. Models, losses and the training loop are left to the rest of `train`.
"""

from rhas.train.data.batches import Batch, collate
from rhas.train.data.config import DataConfig
from rhas.train.data.dataset import Dataset, load_dataset
from rhas.train.data.loader import BatchLoader
from rhas.train.data.rasterise import class_counts, rasterise
from rhas.train.data.sampler import BatchSampler
from rhas.train.data.samples import Sample, SampleSet

__all__ = [
    "Batch",
    "BatchLoader",
    "BatchSampler",
    "DataConfig",
    "Dataset",
    "Sample",
    "SampleSet",
    "class_counts",
    "collate",
    "load_dataset",
    "rasterise",
]
