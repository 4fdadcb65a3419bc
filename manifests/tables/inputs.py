"""All that a user hands in, read and checked together.

In: paths of the manifest and, where there are any, of labels and of a vocabulary. Out: `Inputs`, or one error
with the problems of all files, so that they can be mended in one go. Movies are not opened here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from rhas.manifests.common.errors import InputError
from rhas.manifests.tables.labels import Labels, load_labels
from rhas.manifests.tables.manifest import Manifest, load_manifest
from rhas.manifests.tables.vocabulary import Vocabulary, load_vocabulary

T = TypeVar("T")


@dataclass(frozen=True)
class Inputs:
    """A manifest with its labels, if it has any, and the actions that they are about."""

    manifest: Manifest
    labels: Labels | None
    vocabulary: Vocabulary


def load_inputs(
    manifest_path: Path, labels_path: Path | None = None, actions_path: Path | None = None
) -> Inputs:
    """Read everything; raises one `InputError` with the problems of all files.

    Labels are held against the manifest and the vocabulary only where these are sound themselves: one bad
    row there would otherwise make good labels look bad.
    """
    errors: list[InputError] = []
    vocabulary = _load(lambda: load_vocabulary(actions_path), errors)
    manifest = _load(lambda: load_manifest(manifest_path), errors)
    labels = None
    if labels_path is not None:
        labels = _load(lambda: load_labels(labels_path, vocabulary, manifest), errors)
    if errors or manifest is None or vocabulary is None:
        raise InputError.of(errors)
    return Inputs(manifest, labels, vocabulary)


def _load(load: Callable[[], T], errors: list[InputError]) -> T | None:
    try:
        return load()
    except InputError as error:
        errors.append(error)
        return None
