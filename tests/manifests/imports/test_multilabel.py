"""Charades, MultiTHUMOS and TSU to a features folder: real annotations of a few videos, made features.

Labels by row are those that the loop of PDAN's and TSU's loaders gives for the same annotations and numbers of rows.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_datasets import write_multilabel
from typer.testing import CliRunner

from rhas.manifests.common.errors import InputError
from rhas.manifests.imports.dataset import ImportedSet, write_dataset
from rhas.manifests.imports.multilabel import DataSet, MultilabelOptions, read_multilabel
from rhas.manifests.shards.layout import FeaturesFolder
from rhas.manifests.shards.reader import FeaturesReader
from rhas.manifests.shards.status import FrameStatus
from rhas.manifests.shards.verify import verify
from rhas.manifests.tables.labels import load_labels
from rhas.manifests.tables.vocabulary import load_vocabulary
from rhas.pipeline.cli import app
from rhas.train.data import rasterise

CHARADES = {
    "S9KOH": ("training", 8.0, [[20, 0.0, 9.0], [21, 0.0, 2.5], [130, 1.0, 9.0]]),
    "FPJ9D": ("testing", 33.42, [[59, 25.8, 34.0], [151, 24.4, 30.4], [11, 25.3, 34.0]]),
    "82990": ("training", 16.5, []),
    "LURSW": ("training", 9.29, [[0, 0.0, 10.0]]),
}
ROWS = {"S9KOH": 24, "FPJ9D": 100, "82990": 50, "LURSW": 28}
MULTITHUMOS = ("testing", 99.0, [[24, 12.87, 14.73], [32, 57.9, 58.47], [65, 0.03, 2.57], [62, 8.97, 10.17]])
TSU = ("testing", 22760, [[27, 77, 987], [20, 987, 1092], [27, 1093, 3313], [1, 13357, 13696], [0, 0, 1]])


def read(root: Path, dataset: DataSet = "charades", **options: Any) -> ImportedSet:
    return read_multilabel(
        root / "annotations.json", root / "features", MultilabelOptions(dataset, **options)
    )


def problems_of(root: Path, dataset: DataSet = "charades", **options: Any) -> list[str]:
    with pytest.raises(InputError) as caught:
        read(root, dataset, **options)
    return [str(problem).replace(f"{root}/", "") for problem in caught.value.problems]


def rows_of(found: ImportedSet, name: str, out: Path) -> dict[str, list[int]]:
    """The rows that have each action, by way of the folder and its seconds."""
    write_dataset(FeaturesFolder(out), found)
    vocabulary = load_vocabulary(FeaturesFolder(out).actions)
    intervals = load_labels(FeaturesFolder(out).labels, vocabulary, None).intervals[name, "actor"]
    labels_TC, _ = rasterise(intervals, FeaturesReader(out).person(name, "actor").time_s, vocabulary)
    return {
        action: np.flatnonzero(row).tolist()
        for action, row in zip(vocabulary.actions, labels_TC.T, strict=True)
    }


def test_charades_rows_are_labelled_as_in_the_public_loaders(tmp_path: Path) -> None:
    features = write_multilabel(tmp_path / "in", CHARADES, ROWS)
    found = read(tmp_path / "in")
    assert found.folds == {1: {"S9KOH": "train", "FPJ9D": "test", "82990": "train", "LURSW": "train"}}
    rows = rows_of(found, "S9KOH", tmp_path / "out")
    assert (rows["c020"], rows["c021"], rows["c130"]) == (
        list(range(1, 24)), list(range(1, 8)), list(range(4, 24)),
    )  # fmt: skip
    assert sum(map(bool, rows.values())) == 3 and len(rows) == 157
    series = FeaturesReader(tmp_path / "out").person("S9KOH", "actor")
    np.testing.assert_array_equal(series.holistic[...], features["S9KOH"].astype(np.float16))
    np.testing.assert_array_equal(series.time_s, np.arange(24) / 3.0)
    assert (series.status == FrameStatus.MISSING).all() and np.isnan(series.partial[...]).all()
    assert series.split == "train"


def test_what_is_left_out_is_on_record(tmp_path: Path) -> None:
    write_multilabel(tmp_path / "in", CHARADES, {name: ROWS[name] for name in ("S9KOH", "FPJ9D", "82990")})
    found = read(tmp_path / "in", count_from=0)
    (line,) = found.told()
    assert line.endswith("records: 82990 (no frame is labelled), LURSW (no LURSW.npy)") and line.startswith(
        "2 of 4"
    )
    write_dataset(FeaturesFolder(tmp_path / "out"), found)
    checks = {check.movie_id: check for check in verify(tmp_path / "out")}
    assert not any(check.problems for check in checks.values())
    assert [failure.reason for failure in checks["LURSW"].failures] == ["no LURSW.npy"]


def test_multithumos_goes_around_counted_from_0_and_from_1(tmp_path: Path) -> None:
    subset, duration, actions = MULTITHUMOS
    own = {"count": 618}
    write_multilabel(tmp_path / "1", {"count": MULTITHUMOS}, own)
    found = read(tmp_path / "1", "multithumos")
    rows = rows_of(found, "count", tmp_path / "out")
    assert {action: (at[0], at[-1], len(at)) for action, at in rows.items() if at} == {
        "c023": (81, 91, 11), "c031": (362, 364, 3), "c064": (1, 16, 16), "c061": (56, 63, 8),
    }  # fmt: skip
    from_0 = [[index - 1, start, end] for index, start, end in actions]
    write_multilabel(tmp_path / "0", {"count": (subset, duration, [*from_0, [0, 98.0, 98.001]])}, own)
    assert read(tmp_path / "0", "multithumos").movies[0].intervals == found.movies[0].intervals
    write_multilabel(tmp_path / "x", {"count": (subset, duration, from_0)}, own)
    (problem,) = problems_of(tmp_path / "x", "multithumos")
    assert "got '23 to 64': expected classes from 0 to 64, or from 1 to 65" in problem
    assert read(tmp_path / "x", "multithumos", count_from=0).movies[0].intervals == found.movies[0].intervals
    (problem,) = problems_of(tmp_path / "1", "multithumos", count_from=0)
    assert "got '65': expected classes from 0 to 64" in problem


def test_tsu_counts_frames_of_its_movies(tmp_path: Path) -> None:
    write_multilabel(tmp_path, {"P11T15C01": TSU}, {"P11T15C01": 1422})
    found = read(tmp_path, "tsu")
    rows = rows_of(found, "P11T15C01", tmp_path / "out")
    assert {action: (at[0], at[-1], len(at)) for action, at in rows.items() if at} == {
        "c027": (5, 206, 195), "c020": (62, 68, 7), "c001": (835, 855, 21),
    }  # fmt: skip
    time_s = FeaturesReader(tmp_path / "out").person("P11T15C01", "actor").time_s
    np.testing.assert_allclose(np.diff(time_s), 22760 / 25 / 1422)
    assert read(tmp_path, "tsu", movie_fps=20.0).movies[0].fps == pytest.approx(1422 / (22760 / 20))


def test_actions_and_rates_that_cannot_be_meant_are_warned_of(tmp_path: Path) -> None:
    """The first is one of MultiTHUMOS' own: a 0 too many."""
    videos = {f"v{i}": ("training", 30.0, [[65, 1.0, 2.0]]) for i in range(4)}
    videos["video_test_0000950"] = ("testing", 1315.39, [[25, 398.44, 4000.36], [23, 124.6, 123.64]])
    rows = dict.fromkeys(videos, 75) | {"v3": 40, "video_test_0000950": 3288}
    write_multilabel(tmp_path, videos, rows)
    backwards, far, rate = read(tmp_path, "multithumos").told()
    assert "1 actions end before they begin" in backwards
    assert far.endswith("The first: class 25, 398.44 to 4000.36, in video_test_0000950 of 1315.39")
    assert "1 of 5 videos have features of another rate than most (2.5 rows a second): v3 (1.33)" in rate


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            {"subset": "val"},
            "column S9KOH.subset: got '\"val\"': expected one of training, validation, testing",
        ),
        ({"duration": 0}, "column S9KOH.duration: got '0': expected a duration above 0"),
        ({"duration": "8"}, "expected a duration above 0"),
        ({"actions": None}, "column S9KOH.actions: got 'null': expected a list of actions"),
        ({"actions": [[0, 1]]}, "column S9KOH.actions[0]: got '[0, 1]': expected [class, start, end]"),
        ({"actions": [[True, 1, 2]]}, "expected [class, start, end]"),
        ({"actions": [[0, 1, "2"]]}, "expected [class, start, end]"),
        ({"actions": [[157, 1, 2]]}, "expected classes from 0 to 156"),
        ({"actions": [[0, 1, 2], [158, 1, 2]]}, "got '158': expected classes from 0 to 156"),
    ],
)
def test_annotations_that_are_none(tmp_path: Path, change: dict[str, Any], expected: str) -> None:
    write_multilabel(tmp_path, CHARADES, ROWS)
    entries = json.loads((tmp_path / "annotations.json").read_text())
    entries["S9KOH"] |= change
    (tmp_path / "annotations.json").write_text(json.dumps(entries))
    assert any(expected in problem for problem in problems_of(tmp_path))


def test_files_that_are_none(tmp_path: Path) -> None:
    write_multilabel(tmp_path, CHARADES, ROWS)
    (tmp_path / "classes.txt").write_text("c000 Holding some clothes\nc001 Putting clothes somewhere\n")
    assert (
        "got 2: expected the 157 classes of charades"
        in problems_of(tmp_path, classes=tmp_path / "classes.txt")[0]
    )
    np.save(tmp_path / "features" / "S9KOH.npy", np.zeros((24, 10, 6), np.float32))  # ten crops a row
    (problem,) = problems_of(tmp_path)
    assert problem == "features/S9KOH.npy: got (24, 10, 6): expected features T×F or T×1×1×F"
    text = (tmp_path / "annotations.json").read_text()
    (tmp_path / "annotations.json").write_text(text[:-1] + ', "S9KOH": {}}')
    assert "'S9KOH' stands there twice" in problems_of(tmp_path)[0]
    (tmp_path / "annotations.json").write_text("[]")
    assert "expected an object with an entry for each video" in problems_of(tmp_path)[0]


def test_the_command(tmp_path: Path) -> None:
    write_multilabel(tmp_path / "in", CHARADES, {name: ROWS[name] for name in ("S9KOH", "FPJ9D", "LURSW")})
    names = tmp_path / "classes.txt"
    names.write_text("".join(f"c{i:03d} Action {i}\n" for i in range(157)))
    done = CliRunner().invoke(app, ["import", "multilabel", str(tmp_path / "in" / "annotations.json"), "--dataset",
                                    "charades", "--features", str(tmp_path / "in" / "features"), "--classes",
                                    str(names), "--out", str(tmp_path / "out")])  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "3 movies (0 were there already), 7 intervals, 1 folds, 3 without partial features" in done.stdout
    assert (
        "warning: 1 of 4 videos were left out, as failures.csv records: 82990 (no 82990.npy)" in done.stderr
    )
    assert load_vocabulary(FeaturesFolder(tmp_path / "out").actions).actions[20] == "Action 20"
