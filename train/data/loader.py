"""Batches over an epoch, read ahead by worker processes.

In: a `SampleSet` and a `BatchSampler`. Out: `Batch`es, in the sampler's order. What goes wrong in a worker is
raised here as it was there: a DataLoader by itself would make a new error from a text.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch.utils.data import DataLoader

from rhas.manifests.common.errors import InputError
from rhas.train.data.batches import Batch, collate
from rhas.train.data.sampler import BatchSampler
from rhas.train.data.samples import Sample, SampleSet


class BatchLoader:
    """One epoch per iteration, from where `sampler` stands. Raises InputError for samples that can't be used."""

    def __init__(
        self, samples: SampleSet, sampler: BatchSampler, workers: int | None = 0, pin_memory: bool = False
    ):
        """`workers`: None is 0. What `samples` keep in memory is read before workers are forked: there is it once."""
        self.sampler = sampler
        workers = workers or 0
        if workers:
            samples.read_ahead()
        self._loader: DataLoader[Sample | InputError] = DataLoader(
            _Caught(samples),
            batch_sampler=sampler,
            collate_fn=_collate,
            num_workers=workers,
            pin_memory=pin_memory,
            persistent_workers=workers > 0,
            generator=torch.Generator(),  # for the workers' seeds, which nothing uses: spares the global one
        )

    def __len__(self) -> int:
        """Batches of the next iteration."""
        return len(self.sampler)

    def __iter__(self) -> Iterator[Batch]:
        for batch in self._loader:
            if isinstance(batch, InputError):
                try:
                    raise batch
                finally:
                    del batch  # else error and frame hold each other, and the workers live on
            yield batch


class _Caught(torch.utils.data.Dataset[Sample | InputError]):
    """Samples, or why there is none."""

    def __init__(self, samples: SampleSet):
        self._samples = samples

    def __getitem__(self, index: int) -> Sample | InputError:
        try:
            return self._samples[index]
        except InputError as error:
            return error


def _collate(samples: list[Sample | InputError]) -> Batch | InputError:
    errors = [sample for sample in samples if isinstance(sample, InputError)]
    if errors:
        return InputError.of(errors)
    return collate([sample for sample in samples if isinstance(sample, Sample)])
