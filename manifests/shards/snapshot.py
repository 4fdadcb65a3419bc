"""What a features folder keeps of the user's inputs, so that training needs nothing else.

In: checked inputs, or new labels for a folder. Out: `manifest.csv`, `actions.csv` and, if there are any,
`labels.csv`. Labels and the vocabulary that they were checked against are replaced together.
"""

from __future__ import annotations

from pathlib import Path

from rhas.manifests.common.errors import InputError, Problem
from rhas.manifests.shards.layout import FeaturesFolder
from rhas.manifests.tables.inputs import Inputs, load_inputs
from rhas.manifests.tables.labels import write_labels
from rhas.manifests.tables.manifest import write_manifest
from rhas.manifests.tables.vocabulary import write_vocabulary


def refuse_others(folder: FeaturesFolder) -> None:
    """Raises InputError where tables are that a snapshot would replace, in a folder that no extraction was in."""
    if folder.in_use:
        return
    if own := [path.name for path in (folder.manifest, folder.labels, folder.actions) if path.exists()]:
        expected = f"a folder for features alone: {folder.root} has {', '.join(own)}, which it would replace"
        raise InputError(Problem("--out", expected))


def write_snapshot(folder: FeaturesFolder, inputs: Inputs) -> None:
    """Manifest, vocabulary and labels (if any) beside the shards.

    Inputs without labels leave those of the folder as they are, with their vocabulary.
    """
    write_manifest(inputs.manifest, folder.manifest)
    if inputs.labels is not None:
        write_vocabulary(inputs.vocabulary, folder.actions)
        write_labels(inputs.labels, folder.labels)
    elif not folder.labels.exists():
        write_vocabulary(inputs.vocabulary, folder.actions)


def replace_labels(folder: FeaturesFolder, labels: Path, actions: Path | None = None) -> int:
    """Checks new labels against the folder's manifest and takes them over; returns how many intervals.

    `actions` replaces the folder's vocabulary too. Raises InputError with all problems; nothing changes then.
    """
    if not folder.manifest.is_file():
        raise InputError(Problem(folder.root, "a features folder written by `rhas extract`"))
    inputs = load_inputs(folder.manifest, labels, actions or folder.actions)
    assert inputs.labels is not None  # a path was given
    write_vocabulary(inputs.vocabulary, folder.actions)
    write_labels(inputs.labels, folder.labels)
    return inputs.labels.count
