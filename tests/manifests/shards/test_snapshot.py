"""What a folder keeps of the inputs; new labels are checked before anything changes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from rhas.manifests.common.errors import InputError
from rhas.manifests.shards.layout import FeaturesFolder
from rhas.manifests.shards.snapshot import replace_labels, write_snapshot
from rhas.manifests.tables.inputs import Inputs, load_inputs
from rhas.manifests.tables.labels import load_labels
from rhas.manifests.tables.manifest import load_manifest
from rhas.manifests.tables.vocabulary import Vocabulary, load_vocabulary, write_vocabulary

LABELS = "movie_id,person_id,action,start_s,end_s\n"


@pytest.fixture
def inputs(tmp_path: Path) -> Inputs:
    (tmp_path / "movies.csv").write_text("movie_id,video,person_id,reference\nm1,a.mp4,p1,the man\n")
    (tmp_path / "own.csv").write_text(LABELS + "m1,p1,running,0,1\n")
    (tmp_path / "verbs.csv").write_text("action\nrunning\nwalking\n")
    return load_inputs(tmp_path / "movies.csv", tmp_path / "own.csv", tmp_path / "verbs.csv")


@pytest.fixture
def folder(tmp_path: Path, inputs: Inputs) -> FeaturesFolder:
    (tmp_path / "features").mkdir()
    folder = FeaturesFolder(tmp_path / "features")
    write_snapshot(folder, inputs)
    return folder


def contents(folder: FeaturesFolder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.root.iterdir()}


def test_snapshot_holds_the_inputs(folder: FeaturesFolder, inputs: Inputs) -> None:
    assert sorted(contents(folder)) == ["actions.csv", "labels.csv", "manifest.csv"]
    again = load_inputs(folder.manifest, folder.labels, folder.actions)
    assert again.manifest.movies == inputs.manifest.movies and again.vocabulary == inputs.vocabulary
    assert again.labels is not None and inputs.labels is not None
    assert again.labels.intervals == inputs.labels.intervals


def test_without_labels(tmp_path: Path, inputs: Inputs) -> None:
    write_snapshot(FeaturesFolder(tmp_path), replace(inputs, labels=None))
    assert not (tmp_path / "labels.csv").exists()
    assert load_vocabulary(tmp_path / "actions.csv") == inputs.vocabulary


def test_inputs_without_labels_keep_labels_and_their_vocabulary(
    folder: FeaturesFolder, inputs: Inputs
) -> None:
    before = contents(folder)
    write_snapshot(folder, Inputs(inputs.manifest, None, load_vocabulary()))
    assert contents(folder) == before


def test_replace_labels(folder: FeaturesFolder, tmp_path: Path) -> None:
    new = tmp_path / "new.csv"
    new.write_text(LABELS + "m1,p1,walking,2,3\nm1,p1,running,1,4\n")
    before = contents(folder)
    assert replace_labels(folder, new) == 2
    labels = load_labels(folder.labels, load_vocabulary(folder.actions), load_manifest(folder.manifest))
    assert [(i.action, i.start_s, i.end_s) for i in labels.intervals["m1", "p1"]] == [
        ("running", 1.0, 4.0), ("walking", 2.0, 3.0)
    ]  # fmt: skip
    after = contents(folder)
    assert {name for name in after if after[name] != before[name]} == {"labels.csv"}


def test_replace_labels_and_actions(folder: FeaturesFolder, tmp_path: Path) -> None:
    (tmp_path / "new.csv").write_text(LABELS + "m1,p1,flying,2,3\n")
    (tmp_path / "actions.csv").write_text("action\nflying\n")
    assert replace_labels(folder, tmp_path / "new.csv", tmp_path / "actions.csv") == 1
    assert load_vocabulary(folder.actions).actions == ("flying",)
    assert load_labels(folder.labels, None, None).intervals["m1", "p1"][0].action == "flying"


@pytest.mark.parametrize(
    ("labels", "actions", "places"),
    [
        ("m1,p1,flying,2,3\n", None, [("new.csv", 2, "action")]),
        ("m1,p2,running,2,3\nm1,p1,running,3,2\n", None, [("new.csv", 2, "person_id"), ("new.csv", 3, "end_s")]),
        ("m1,p1,running,2,3\n", "walking\n", [("new.csv", 2, "action")]),
        ("m1,p1,running,3,2\n", "running\nrunning\n", [("actions.csv", 3, "action"), ("new.csv", 2, "end_s")]),
        ("", None, [("new.csv", 2, None)]),
    ],
)  # fmt: skip
def test_errors_change_nothing(
    folder: FeaturesFolder, tmp_path: Path, labels: str, actions: str | None, places: list[tuple]
) -> None:
    (tmp_path / "new.csv").write_text(LABELS + labels)
    path = None
    if actions is not None:
        path = tmp_path / "actions.csv"
        path.write_text("action\n" + actions)
    before = contents(folder)
    with pytest.raises(InputError) as caught:
        replace_labels(folder, tmp_path / "new.csv", path)
    assert [(Path(p.file).name, p.row, p.column) for p in caught.value.problems] == places
    assert contents(folder) == before


def test_replace_labels_needs_a_features_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a features folder written by"):
        replace_labels(FeaturesFolder(tmp_path), tmp_path / "labels.csv")
    assert list(tmp_path.iterdir()) == []


def test_written_vocabularies_are_read_back(tmp_path: Path) -> None:
    path = tmp_path / "actions.csv"
    for vocabulary in (Vocabulary(("running, fast", "“walking”", 'a "b"')), load_vocabulary()):
        write_vocabulary(vocabulary, path)
        assert load_vocabulary(path) == vocabulary
    assert path.read_text().startswith("index,action\n1,arranging\n2,")
    assert list(tmp_path.iterdir()) == [path]
