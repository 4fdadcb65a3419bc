"""Manifest, labels and vocabulary together: one error for all files."""

from __future__ import annotations

from pathlib import Path

import pytest

from rhas.manifests.common.errors import InputError
from rhas.manifests.tables.inputs import load_inputs

MANIFEST = "movie_id,video,person_id,reference\nm1,a.mp4,p1,the man\n"
LABELS = "movie_id,person_id,action,start_s,end_s\nm1,p1,running,0,1\n"


def write(folder: Path, manifest: str, labels: str, actions: str) -> tuple[Path, Path, Path]:
    paths = folder / "manifest.csv", folder / "labels.csv", folder / "actions.csv"
    for path, text in zip(paths, (manifest, labels, actions), strict=True):
        path.write_text(text)
    return paths


def test_sound_inputs(tmp_path: Path) -> None:
    paths = write(tmp_path, MANIFEST, LABELS, "action\nrunning\n")
    inputs = load_inputs(*paths)
    assert inputs.labels is not None and list(inputs.labels.intervals) == [inputs.manifest.persons[0].key]
    assert inputs.vocabulary.actions == ("running",)


def test_manifest_alone(tmp_path: Path) -> None:
    manifest, _, _ = write(tmp_path, MANIFEST, "", "")
    inputs = load_inputs(manifest)
    assert inputs.labels is None and len(inputs.vocabulary) == 137


def test_problems_of_all_files_in_one_error(tmp_path: Path) -> None:
    paths = write(tmp_path, MANIFEST + "m2,,p1,x\n", LABELS + "m1,p1,running,2,1\n", "action\nN/A\n")
    with pytest.raises(InputError) as caught:
        load_inputs(*paths)
    found = {(Path(p.file).name, p.row, p.column) for p in caught.value.problems}
    assert found == {("manifest.csv", 3, "video"), ("labels.csv", 3, "end_s"), ("actions.csv", 2, "action")}


def test_labels_are_held_against_sound_files(tmp_path: Path) -> None:
    paths = write(tmp_path, MANIFEST, LABELS + "m1,p2,walking,0,1\n", "action\nrunning\n")
    with pytest.raises(InputError) as caught:
        load_inputs(*paths)
    assert [(p.row, p.column) for p in caught.value.problems] == [(3, "action"), (3, "person_id")]
