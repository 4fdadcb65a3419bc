"""CVAT: its exports are read as it fills them in, by the movie's own clock; what goes out comes back."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from rhas.manifests.annotations.clocks import FrameClock, Samples
from rhas.manifests.annotations.cvat import read_cvat
from rhas.manifests.annotations.cvat_writing import SampledBoxes, labels_of, write_cvat
from rhas.manifests.common.errors import InputError
from rhas.manifests.tables.labels import Interval
from rhas.manifests.tables.manifest import Movie, Person
from rhas.manifests.tables.vocabulary import ABSENT, Vocabulary
from rhas.train.data.rasterise import rasterise

VOCABULARY = Vocabulary(("walk", 'say "a < b"', "sit"))
WALK, SAY, SIT = VOCABULARY.actions
MOVIE = Movie(
    "night", Path("night.mp4"), (Person("night", "p1", "the man & his dog"), Person("night", "p2", "she"))
)
# A phone's movie, whose frames are not equally long; at 25 a second frame 5 would begin at 0.2 s.
TIMES = FrameClock(np.array([0.0, 0.04, 0.08, 0.2, 0.24, 0.36, 0.4, 0.44, 0.6, 0.64]), 0.7)
SIZE = (100, 80)


def row(frame: int, box: str, keyframe: int, outside: int = 0, **attributes: str) -> str:
    x1, y1, x2, y2 = box.split()
    own = "".join(f'<attribute name="{name}">{text}</attribute>' for name, text in attributes.items())
    return (
        f'<box frame="{frame}" keyframe="{keyframe}" outside="{outside}" occluded="0" '
        f'xtl="{x1}" ytl="{y1}" xbr="{x2}" ybr="{y2}" z_order="0">{own}</box>'
    )


def track(number: int, label: str, *rows: str) -> str:
    return f'<track id="{number}" label="{label}" source="manual">{"".join(rows)}</track>'


def export(*tracks: str, size: int = 10, start: int = 0, frame_filter: str = "") -> str:
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n<annotations><version>1.1</version><meta><task><id>5</id>'
        f"<name>night</name><size>{size}</size><mode>interpolation</mode><overlap>5</overlap>"
        f"<start_frame>{start}</start_frame><stop_frame>9</stop_frame><frame_filter>{frame_filter}</frame_filter>"
        "<original_size><width>100</width><height>80</height></original_size></task><dumped></dumped></meta>"
        f"{''.join(tracks)}</annotations>"
    )


# What CVAT writes of three keyframes, one of them outside, and one more: all frames between, to two decimals.
OF_CVAT = (
    row(0, "10.00 20.00 30.00 60.00", 1), row(1, "12.50 20.00 32.50 60.00", 0), row(2, "15.00 20.00 35.00 60.00", 0),
    row(3, "17.50 20.00 37.50 60.00", 0), row(4, "20.00 20.00 40.00 60.00", 1), row(5, "20.00 20.00 42.00 60.00", 0),
    row(6, "20.00 20.00 44.00 60.00", 1, outside=1), row(8, "50.00 0.00 110.00 80.00", 1),
    row(9, "50.00 0.00 110.00 80.00", 0),
)  # fmt: skip


def read(folder: Path, text: str, clock: FrameClock = TIMES):
    path = folder / "night.xml"
    path.write_text(text, encoding="utf-8")
    return read_cvat(path, MOVIE, VOCABULARY, clock)


def test_boxes_are_those_of_cvat_at_the_movies_own_times(tmp_path: Path) -> None:
    drawn = read(tmp_path, export(track(0, "p1", *OF_CVAT), track(1, "car", *OF_CVAT)))
    own = drawn.boxes["p1"]
    np.testing.assert_array_equal(
        own.time_s, TIMES.start_s[[0, 1, 2, 3, 4, 5, 8, 9]]
    )  # not those of 25 a second
    stated = np.array([[float(v) for v in r.split('"')[9:16:2]] for r in OF_CVAT if 'outside="1"' not in r])
    expected = np.clip(stated / [100, 80, 100, 80], 0, 1)
    np.testing.assert_allclose(own.box, expected, atol=0.005 / 80)  # what two decimals of a pixel are off by
    assert drawn.labels == {} and dict(drawn.aside) == {"tracks of label 'car'": 1}
    # At the samples of features, each has the box of the frame that it shows.
    samples = Samples(np.array([0.0, 0.25, 0.41, 0.5, 0.6]), np.array([0, 4, 6, 7, 8]))
    own = read(
        tmp_path, export(track(0, "p1", *OF_CVAT)), FrameClock(TIMES.start_s, 0.7, 0.0, samples)
    ).boxes["p1"]
    np.testing.assert_array_equal(own.time_s, [0.0, 0.25, 0.6])
    np.testing.assert_allclose(own.box, expected[[0, 4, 6]])


def test_labels_as_people_draw_them(tmp_path: Path) -> None:
    """Tracks of an action; and attributes of a person's boxes, which hold until a keyframe says otherwise."""
    box = "10.00 20.00 30.00 60.00"
    text = export(
        track(0, "sit", row(2, box, 1, person="p1: the man"), row(5, box, 1, outside=1), row(8, box, 1)),
        track(1, ABSENT, row(5, box, 1, person="p1"), row(8, box, 1, outside=1)),
        track(
            2, "person", row(0, box, 1, person_id="p2", action="walk", sit="true", mood="good"), row(1, box, 1),
            row(3, box, 1, action="__undefined__", action_2='say "a &lt; b"'), row(4, box, 1, outside=1),
            row(6, box, 1, sit="false"),
        ),
    )  # fmt: skip
    drawn = read(tmp_path, text)
    assert drawn.intervals() == {
        ("night", "p1"): [Interval(SIT, 0.08, 0.36), Interval(ABSENT, 0.36, 0.6), Interval(SIT, 0.6, 0.7)],
        ("night", "p2"): [
            Interval(WALK, 0.0, 0.2), Interval(SIT, 0.0, 0.24), Interval(SAY, 0.2, 0.24), Interval(SAY, 0.4, 0.7),
        ],
    }  # fmt: skip
    assert "attribute 'mood'" in drawn.aside


def test_a_job_of_every_third_frame_and_an_archive(tmp_path: Path) -> None:
    text = export(track(0, "walk", row(1, "0 0 9 9", 1, person="p1")), size=3, start=1, frame_filter="step=3")
    with zipfile.ZipFile(tmp_path / "night.zip", "w") as archive:
        archive.writestr("annotations.xml", text.replace("task>", "job>"))
    drawn = read_cvat(tmp_path / "night.zip", MOVIE, VOCABULARY, TIMES)
    assert drawn.labels == {"p1": {Interval(WALK, 0.04, 0.7)}}
    with pytest.raises(InputError, match="got 'frames up to 13'"):
        read(tmp_path, text.replace("<size>3", "<size>5"))


@pytest.mark.parametrize("fps", [10.0, 25.0, 40.0])
def test_what_goes_out_comes_back_to_the_bit(tmp_path: Path, fps: float) -> None:
    """Features of 10 samples a second: their boxes to the bit, labels for the same samples, by any movie's frames."""
    rng = np.random.default_rng(int(fps))
    frames, time_s = np.arange(int(4 * fps)) / fps, np.arange(40) / 10
    shown = np.searchsorted(frames - 5.5e-4, time_s, side="right") - 1
    clock = FrameClock(frames, 4.0, 5.5e-4, Samples(time_s, shown))
    box = rng.uniform(0, 0.5, (40, 4)).astype(np.float32)
    box[:, 2:] += np.float32(0.5)
    box[[0, 7, 8, 9, 20, 39]] = np.nan
    boxes = {"p2": SampledBoxes(box, rng.random(40) < 0.2)}
    labels = {
        "p1": (
            Interval(WALK, 0.0, time_s[13]),
            Interval(SAY, time_s[5], time_s[21]),
            Interval(ABSENT, time_s[21], 4.0),
        ),
        "p2": (Interval(SIT, 1.234, 2.345), Interval(WALK, 3.9, time_s[39] + 0.1), Interval(SIT, 5, 6)),
    }
    lost = write_cvat(tmp_path / "night.xml", MOVIE, labels, boxes, VOCABULARY, clock, SIZE)
    assert lost == ["night: sit of p2 at 5 s has no frame of the movie"]
    drawn = read_cvat(tmp_path / "night.xml", MOVIE, VOCABULARY, clock)
    there = np.isfinite(box).all(axis=1)
    np.testing.assert_array_equal(drawn.boxes["p2"].time_s, time_s[there])
    np.testing.assert_array_equal(drawn.boxes["p2"].box.astype(np.float32), box[there])
    for person_id, own in labels.items():
        back = sorted(drawn.labels[person_id], key=lambda interval: interval.place)
        for before, after in zip(
            rasterise(own, time_s, VOCABULARY), rasterise(back, time_s, VOCABULARY), strict=True
        ):
            np.testing.assert_array_equal(after, before)
        assert len(back) == len([i for i in own if i.start_s < 4])
    written = (tmp_path / "night.xml").read_text(encoding="utf-8")
    assert written.count('occluded="1"') == (boxes["p2"].doubtful & there).sum()
    names = [label["name"] for label in json.loads(labels_of(MOVIE, VOCABULARY))]
    assert names == ["person", *VOCABULARY.actions, ABSENT]


@pytest.mark.parametrize(
    ("tracks", "said"),
    [
        (
            [track(0, "person", row(0, "0 0 1 1", 1))],
            r"track 0 \(person\): expected an attribute person: one of p1, p2",
        ),
        ([track(0, "p1", row(0, "0 0 1 1", 1, person="p9"))], "got 'p9'"),
        ([track(0, "p1", row(0, "0 0 x 1", 1))], "frame 0: .*an upright box with four corners"),
        ([track(0, "p1", row(0, "0 0 1 1", 1).replace("z_order", 'rotation="9" z_order'))], "an upright box"),
        (
            [track(0, "p1", row(0, "5 0 5 1", 1))],
            "boxes of p1: got 'none in frame 0': expected boxes with an area",
        ),
        (
            [track(0, "p1", row(3, "0 0 1 1", 1), row(3, "0 0 1 1", 1))],
            "keyframes in the order of their frames",
        ),
        ([track(n, "p1", row(3, "0 0 1 1", 1)) for n in (0, 1)], "got 'two in frame 3, and 6 more'"),
        (
            [track(0, "p1", row(999999999, "0 0 1 1", 1))],
            "got 999999999: expected frames of the task, up to 9",
        ),
        ([track(0, "p1", row(0, "0 0 1 1", 1, action="wolk"))], "got 'wolk': .*did you mean 'walk'"),
        (
            ['<image id="0" name="a.png" width="9" height="9"></image>'],
            "expected tracks, as “CVAT for video 1.1” has",
        ),
        (["</annotations><!--"], "well-formed XML"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, tracks: list[str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        read(tmp_path, export(*tracks))


def test_a_task_of_another_movie_and_a_project_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match="got 'frames up to 10': expected a task of this movie, which shows frames 0 to 9"
    ):
        read(tmp_path, export(size=11))
    with pytest.raises(InputError, match="one task or job of CVAT"):
        read(tmp_path, export().replace("task>", "project>"))
    assert dict(read(tmp_path, export(size=9)).aside) == {
        "frames 9 to 9 of the movie, which the task doesn't have": 1
    }
    (tmp_path / "night.zip").write_bytes(b"PK\x03\x04 damaged")
    with pytest.raises(InputError, match="well-formed XML"):
        read_cvat(tmp_path / "night.zip", MOVIE, VOCABULARY, TIMES)
