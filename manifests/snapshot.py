"""What a features folder keeps of the user's inputs, so that training needs nothing else."""

from __future__ import annotations

from pathlib import Path

from manifests.errors import InputError, Problem
from manifests.inputs import Inputs
from manifests.labels import load_labels, write_labels
from manifests.layout import FeaturesFolder
from manifests.manifest import load_manifest, write_manifest
from manifests.vocabulary import load_vocabulary, write_vocabulary


def write_snapshot(folder: FeaturesFolder, inputs: Inputs) -> None:
    """Manifest, vocabulary and labels (if any) beside the shards."""
    write_manifest(inputs.manifest, folder.manifest)
    write_vocabulary(inputs.vocabulary, folder.actions)
    if inputs.labels is not None:
        write_labels(inputs.labels, folder.labels)


def replace_labels(folder: FeaturesFolder, labels: Path, actions: Path | None = None) -> int:
    """Checks new labels against the folder's manifest and takes them over; returns how many intervals.

    `actions` replaces the folder's vocabulary too. Raises InputError with all problems; nothing changes then.
    """
    if not folder.manifest.is_file():
        raise InputError(Problem(folder.root, "a features folder written by `rhas extract`"))
    vocabulary = load_vocabulary(actions or folder.actions)
    checked = load_labels(labels, vocabulary, load_manifest(folder.manifest))
    write_vocabulary(vocabulary, folder.actions)
    write_labels(checked, folder.labels)
    return sum(len(intervals) for intervals in checked.intervals.values())
