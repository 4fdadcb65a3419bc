"""`rhas annotate`: predictions go out, are corrected and come back as labels; times are the movie's own."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from feature_folders import make_movie, make_windows, write_folder
from made_index import made_index
from training_folders import labelled_movie, write_training_folder
from typer.testing import CliRunner

from rhas.manifests.shards.format import write_shard
from rhas.manifests.shards.layout import FeaturesFolder
from rhas.manifests.shards.reader import FeaturesReader
from rhas.manifests.shards.status import HAS_BOX
from rhas.manifests.tables.boxes import load_boxes
from rhas.manifests.tables.labels import Interval, load_labels
from rhas.manifests.tables.vocabulary import load_vocabulary
from rhas.pipeline.cli import app

TRUTH = Path(__file__).parents[1] / "truth"
SHOWN = json.loads((TRUTH / "shown.json").read_text())
HEADER = "movie_id,person_id,action,start_s,end_s"
ACTION = load_vocabulary(None).actions[0]


def rhas(*arguments: object, code: int = 0) -> str:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert done.exit_code == code, (done.output, done.exception)
    return done.output if code == 0 else str(done.exception)


def manifest_of(folder: Path, name: str) -> Path:
    path = folder / "movies.csv"
    path.write_text(f"movie_id,video,person_id,reference\nm,{TRUTH / 'movies' / name},p,the man\n")
    (folder / "actions.csv").write_text("action\nwalk\nsit\n")
    return path


@pytest.mark.parametrize("tool", ["elan", "via"])
def test_predict_correct_train(tmp_path: Path, tool: str) -> None:
    features = write_training_folder(tmp_path / "features", [labelled_movie("m1"), labelled_movie("m2")]).root
    segments = tmp_path / "segments.csv"
    segments.write_text(
        f"{HEADER},score\nm1,a,running,0.0,0.5,0.81\nm1,a,walking,0.3,0.7,0.5\nm1,a,N/A,0.7,2.0,\n"
        "m1,b,walking,1.1,1.3,0.9\n"
    )
    said = rhas(
        "annotate", "to", tool, features, "--labels", segments, "--movie", "m1", "--out", tmp_path / "out"
    )
    assert "1 movies, 4 intervals" in said
    (file,) = (tmp_path / "out").iterdir()
    assert file.stem == "m1"
    if tool == "elan":  # somebody sees that it wasn't running
        file.write_text(file.read_text().replace("<ANNOTATION_VALUE>running", "<ANNOTATION_VALUE>walking"))
    else:
        file.write_text(re.sub('"2": "1"', '"2": "2"', file.read_text(), count=1))
    corrected = tmp_path / "corrected.csv"
    before = load_labels(FeaturesFolder(features).labels, None, None).intervals
    said = rhas("annotate", "from", tool, tmp_path / "out", features, "--out", corrected, "--keep")
    found = load_labels(corrected, None, None).intervals
    assert found["m1", "a"] == [
        Interval("walking", 0, 0.5),
        Interval("walking", 0.3, 0.7),
        Interval("N/A", 0.7, 2),
    ]
    assert found["m1", "b"] == [Interval("walking", 1.1, 1.3)]
    assert {key: own for key, own in found.items() if key[0] == "m2"} == {
        key: own for key, own in before.items() if key[0] == "m2"
    }
    rhas("labels", features, "--labels", corrected)
    without = rhas("annotate", "from", tool, file, features, "--out", corrected)
    assert "1 movies have no file here" in without and len(load_labels(corrected, None, None).intervals) == 2
    file.rename(file.with_stem("m7"))
    assert "got 'm7': expected the movie_id of a movie" in rhas(
        "annotate", "from", tool, tmp_path / "out", features, "--out", corrected, code=1
    )


def test_times_count_as_players_do(tmp_path: Path) -> None:
    """The picture of this movie begins 1.2 s after its sound, and with that the player's clock."""
    movies = manifest_of(tmp_path, "late_video.mp4")
    labels = tmp_path / "labels.csv"
    labels.write_text(f"{HEADER}\nm,p,walk,0.5,1.25\n")
    for origin, expected in (("first-frame", ["1700", "2450"]), ("container", ["500", "1250"])):
        out, back = tmp_path / origin, tmp_path / "back.csv"
        rhas("annotate", "to", "elan", movies, "--out", out, "--time-origin", origin)
        assert re.findall(r'TIME_VALUE="(\d+)"', (out / "m.eaf").read_text()) == expected
        rhas("annotate", "from", "elan", out / "m.eaf", movies, "--out", back, "--time-origin", origin)
        assert load_labels(back, None, None).intervals == {("m", "p"): [Interval("walk", 0.5, 1.25)]}
    again = rhas("annotate", "to", "elan", movies, "--out", out, code=1)
    assert (
        "with m.eaf': expected a folder without files of these movies" in again
    )  # they may be somebody's work


def test_ids_may_be_any_text(tmp_path: Path) -> None:
    movies = tmp_path / "movies.csv"
    movies.write_text("movie_id,video,person_id,reference\nnuit/1 été,a.mp4,p: 1,the man\n")
    (tmp_path / "labels.csv").write_text(f"{HEADER}\nnuit/1 été,p: 1,{ACTION},0.5,1.25\n")
    for tool in ("elan", "via"):
        out, back = tmp_path / tool, tmp_path / f"{tool}.csv"
        options = ("--time-origin", "container")
        rhas("annotate", "to", tool, movies, "--out", out, *options)
        (file,) = out.iterdir()
        assert file.stem == "nuit%2F1%20%C3%A9t%C3%A9"
        rhas("annotate", "from", tool, out, movies, "--out", back, *options)
        assert load_labels(back, None, None).intervals == {
            ("nuit/1 été", "p: 1"): [Interval(ACTION, 0.5, 1.25)]
        }


def test_frames_of_cvat_have_the_times_that_a_player_shows_them_at(tmp_path: Path) -> None:
    movies = manifest_of(tmp_path, "uneven.mkv")
    times = [time_s for time_s, _ in SHOWN["uneven.mkv"]["frames"]]
    box = 'outside="{}" keyframe="1" xtl="1" ytl="2" xbr="96" ybr="48"'
    (tmp_path / "m.xml").write_text(
        f"<annotations><meta><task><size>{len(times)}</size><original_size><width>192</width><height>96</height>"
        '</original_size></task></meta><track id="0" label="p">'
        f'<box frame="7" {box.format(0)}><attribute name="action">walk</attribute></box>'
        f'<box frame="11" {box.format(1)}/></track></annotations>'
    )
    out = tmp_path / "labels.csv", tmp_path / "boxes.csv"
    rhas("annotate", "from", "cvat", tmp_path / "m.xml", movies, "--out", out[0], "--boxes", out[1])
    (found,) = load_labels(out[0], None, None).intervals["m", "p"]
    assert found.action == "walk"
    assert (found.start_s, found.end_s) == pytest.approx((times[7], times[11]), abs=1e-3)
    track = load_boxes(out[1])["m", "p"]
    np.testing.assert_allclose(track.time_s, times[7:11], atol=1e-3)
    np.testing.assert_allclose(track.box, [[1 / 192, 2 / 96, 0.5, 0.5]] * 4)
    rhas(
        "annotate", "to", "cvat", movies, "--out", tmp_path / "again"
    )  # with the labels that are beside it now
    written = (tmp_path / "again" / "m.xml").read_text()
    assert re.findall(r'box frame="(\d+)" keyframe="1" outside="(\d)"', written) == [("7", "0"), ("11", "1")]


def test_boxes_of_features_come_back_as_boxes_that_are_known(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    movie = make_movie("m1", video_id="video 1")
    folder = write_folder(tmp_path / "features", [movie])
    windows = make_windows(movie)
    for window in windows.values():
        for rows in window.persons.values():
            there = np.isfinite(rows.score)
            rows.box[there] = rng.uniform((0, 0, 0.5, 0.5), (0.5, 0.5, 1, 1), (int(there.sum()), 4))
    write_shard(folder, movie, windows.__getitem__)
    arguments = ("annotate", "to", "cvat", folder.root, "--out", tmp_path / "out")
    assert "the movie, to know when each of its frames is shown" in rhas(*arguments, code=1)
    folder.index("m1").parent.mkdir()
    folder.index("m1").write_bytes(made_index(120, 30.0, 90, 160, digest="video 1").to_bytes())
    (tmp_path / "labels.csv").write_text(f"{HEADER}\nm1,p1,running,0.2,1.1\nm1,p2,N/A,2,2.5\n")
    rhas(*arguments, "--labels", tmp_path / "labels.csv")
    out = tmp_path / "back.csv", tmp_path / "boxes.csv"
    rhas("annotate", "from", "cvat", tmp_path / "out", folder.root, "--out", out[0], "--boxes", out[1])
    tracks = dict(load_boxes(out[1]))
    for series in FeaturesReader(folder.root).persons():
        there = np.isin(series.status, HAS_BOX)
        if there.any():
            track = tracks.pop(("m1", series.person_id))
            np.testing.assert_array_equal(track.time_s, series.time_s[there])
            np.testing.assert_array_equal(track.box, series.box[...][there])
    assert not tracks
    found = load_labels(out[0], None, None).intervals
    assert [(i.action, round(i.start_s, 2), round(i.end_s, 2)) for own in found.values() for i in own] == [
        ("running", 0.2, 1.1), ("N/A", 2.0, 2.5),
    ]  # fmt: skip
