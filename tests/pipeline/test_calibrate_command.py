"""`rhas calibrate`: probabilities that outcomes were drawn with come back, in a preset that extraction takes."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from feature_folders import make_movie, make_windows, write_folder
from typer.testing import CliRunner

from rhas.extract.config import SurenessConfig, load_config
from rhas.manifests.common.errors import InputError
from rhas.manifests.shards.format import write_shard
from rhas.manifests.shards.reader import FeaturesReader
from rhas.manifests.shards.status import HAS_BOX, FrameStatus
from rhas.manifests.tables.boxes import COLUMNS, load_boxes
from rhas.manifests.tables.csvfile import write_rows
from rhas.manifests.tables.manifest import Person
from rhas.pipeline.commands.features import commands

BOX, ELSEWHERE = (0.2, 0.1, 0.4, 0.9), (0.6, 0.1, 0.8, 0.9)
NUDGE = (0.01, 0, 0.01, 0)


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight movies, and truth.csv: a box of score s is right with probability s², a doubtful one with half of that."""
    root, rng = tmp_path_factory.mktemp("calibrate"), np.random.default_rng(3)
    movies = [
        make_movie(f"m{i}", 1500, 500, persons=(Person(f"m{i}", "p1", "the man"),), video_id=str(i))
        for i in range(8)
    ]
    folder = write_folder(root / "features", movies, lossy=False)
    rows = []
    for movie in movies:
        windows = make_windows(movie)
        for window in windows.values():
            own = window.persons["p1"]
            there = np.isfinite(own.score)
            own.box[there] = BOX
            probable = own.score**2 * np.where(own.status == FrameStatus.DOUBTFUL, 0.5, 1)
            for t in range(window.start, window.stop):
                right = rng.random() < probable[t - window.start]
                rows.append((movie.movie_id, "p1", movie.time_s[t], *(BOX if right else ELSEWHERE)))
        write_shard(folder, movie, windows.__getitem__)
    with (root / "truth.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("movie_id", "person_id", "time_s", "x1", "y1", "x2", "y2"), *rows])
    return root


def test_probabilities_come_back(features: Path) -> None:
    out = features / "calibrated.yaml"
    arguments = ["calibrate", features / "features", "--boxes", features / "truth.csv", "--out", out]
    result = CliRunner().invoke(commands, list(map(str, arguments)))
    assert result.exit_code == 0, result.output
    assert [line.split(":")[0] for line in result.output.splitlines()] == [
        "detected",
        "doubtful",
        "followed",
        "tracked",
        str(out),
    ]
    sure = load_config(str(out)).detector.sure
    for score in (0.3, 0.5, 0.8):
        assert sure.of(FrameStatus.DETECTED, score) == pytest.approx(score**2, abs=0.08)
        assert sure.of(FrameStatus.DOUBTFUL, score) == pytest.approx(score**2 / 2, abs=0.08)


def test_of_persons_who_are_tracked_scores_are_others_and_so_are_the_curves(
    features: Path, tmp_path: Path
) -> None:
    tracked = tmp_path / "features"
    shutil.copytree(features / "features", tracked)
    record = json.loads((tracked / "config.json").read_text())
    record["config"]["tracks"] = {"implementation": "builtin"}
    (tracked / "config.json").write_text(json.dumps(record))
    out = tmp_path / "calibrated.yaml"
    arguments = ["calibrate", tracked, "--boxes", features / "truth.csv", "--out", out]
    result = CliRunner().invoke(commands, list(map(str, arguments)))
    assert result.exit_code == 0, result.output
    config = load_config(str(out))
    assert config.detector.sure == SurenessConfig() and config.sure == config.tracks.sure != SurenessConfig()
    assert config.sure.of(FrameStatus.DETECTED, 0.5) == pytest.approx(0.25, abs=0.08)
    assert config.replace(tracks=config.tracks.replace(implementation="frames")).sure == SurenessConfig()
    # Of a folder from before tracks had curves of their own.
    detector = config.detector.replace(sure=config.sure)
    assert config.replace(detector=detector, tracks=config.tracks.replace(sure=None)).sure == detector.sure


def test_found_boxes_are_written_with_right_ones_as_they_truly_are(features: Path) -> None:
    """Those that are wrong stay as they were found, and where there was none there is none, nor anything between."""
    truth, out = load_boxes(features / "truth.csv"), features / "exact.csv"
    nudged = features / "nudged.csv"  # the truth, a little off what was found
    write_rows(nudged, COLUMNS, ((*person, time_s, *np.add(box, NUDGE)) for person, own in truth.items()
                                 for time_s, box in zip(own.time_s, own.box.astype(float), strict=True)))  # fmt: skip
    arguments = ["calibrate", features / "features", "--boxes", nudged, "--exact", out]
    assert CliRunner().invoke(commands, list(map(str, arguments))).exit_code == 0
    written, known = load_boxes(out), load_boxes(nudged)
    for series in FeaturesReader(features / "features").persons():
        person = series.movie_id, series.person_id
        there = np.isin(series.status, HAS_BOX)
        boxes, true = written[person].at(series.time_s), known[person].at(series.time_s)
        assert (np.isfinite(boxes[:, 0]) == there).all() and not there.all()
        right = there & (true[:, 0] < 0.5)
        assert right.any() and (there & ~right).any()
        np.testing.assert_allclose(boxes[right], true[right], atol=1e-6)
        np.testing.assert_allclose(boxes[there & ~right], [BOX] * (there & ~right).sum(), atol=1e-6)


def test_boxes_of_other_persons_are_refused_by_name(features: Path, tmp_path: Path) -> None:
    boxes = tmp_path / "boxes.csv"
    boxes.write_text("movie_id,person_id,time_s,x1,y1,x2,y2\nm0,somebody,0,0,0,1,1\n")
    arguments = ["calibrate", features / "features", "--boxes", boxes, "--out", tmp_path / "x.yaml"]
    result = CliRunner().invoke(commands, list(map(str, arguments)))
    assert isinstance(result.exception, InputError) and str(boxes) in str(result.exception)
    assert not (tmp_path / "x.yaml").exists()
