"""`rhas import`: other annotations to a manifest and labels on disk."""

from __future__ import annotations

from pathlib import Path

from manifests.ava import import_ava
from manifests.labels import write_labels
from manifests.manifest import write_manifest
from manifests.vocabulary import load_vocabulary


def import_ava_files(
    annotations: Path, references: Path, videos: Path, out: Path, actions: Path | None
) -> str:
    """Writes OUT/manifest.csv and OUT/labels.csv; returns one line that says what is in them."""
    found = import_ava(annotations, references, videos, load_vocabulary(actions))
    out.mkdir(parents=True, exist_ok=True)
    write_manifest(found.manifest, out / "manifest.csv")
    write_labels(found.labels, out / "labels.csv")
    intervals = sum(len(i) for i in found.labels.intervals.values())
    skipped = (
        f"; {len(found.skipped)} annotated persons have no sentence and were left out"
        if found.skipped
        else ""
    )
    films, persons = len(found.manifest.movies), len(found.manifest.persons)
    return f"{out}: {films} films, {persons} persons, {intervals} intervals{skipped}"
