"""RefAVA's and RefAVA++'s pickles, as their loaders read them: what becomes of clips, and what is refused."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from rhas.manifests.common.errors import InputError
from rhas.manifests.imports.refava import NAMES, read_refava
from rhas.manifests.tables.clips import load_clips
from rhas.manifests.tables.vocabulary import load_vocabulary
from rhas.pipeline.cli import app

Entry = tuple[Any, Any, Any]  # boxes, labels, sentences
ONE: dict[str, Entry] = {"-5KQ66BBWC4___0902___7": ([[0.1, 0.2, 0.5, 0.9]], [12, 80], ["The man in black."])}


def write(
    folder: Path, splits: dict[str, dict[str, Entry]], release: str = "RefAVA", protocol: int = 4
) -> Path:
    folder.mkdir(exist_ok=True)
    for split, entries in splits.items():
        for position, what in enumerate(("keyframe", "label", "description")):
            path = folder / NAMES[release].format(split=split, what=what)
            own = {key: entry[position] for key, entry in entries.items()}
            path.write_bytes(pickle.dumps(own, protocol))
    return folder


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "-5KQ66BBWC4.mkv").touch()
    return tmp_path / "videos"


@pytest.mark.parametrize("release", NAMES)
@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_clips_are_what_the_pickles_say(tmp_path: Path, videos: Path, release: str, protocol: int) -> None:
    second = {
        # numpy's numbers and texts, several boxes and sentences, of which the first counts, a label twice.
        "xeGWXqSvC-8___1204___0": (
            [np.array([0.0, 0.25, 0.5, 1.0]), [0, 0, 1, 1]],
            [np.int64(11), "74", 11],
            [" a girl,\n left ", "x"],
        )
    }
    folder = write(tmp_path / "in", {"train": ONE, "test": second}, release, protocol)
    found = read_refava(folder, videos, 900)
    assert found.release == release and not found.left_out and len(found.vocabulary) == 80
    first, other = found.clips
    assert (first.movie_id, first.time_s, first.person_id, first.split) == ("-5KQ66BBWC4", 2, "7", "train")
    assert first.video == videos / "-5KQ66BBWC4.mkv" and first.box == (0.1, 0.2, 0.5, 0.9)
    assert first.actions == ("stand", "watch (a person)") and first.reference == "The man in black."
    assert other.video == videos / "xeGWXqSvC-8.mp4" and other.box == (0, 0.25, 0.5, 1)
    assert other.actions == ("sit", "listen to (a person)") and other.reference == "a girl, left"


def test_the_command_writes_what_is_read_again(tmp_path: Path, videos: Path) -> None:
    folder = write(tmp_path / "in", {"val": ONE})
    command = ["import", "refava", folder, "--videos", videos, "--out", tmp_path / "out", "--offset", 900]
    done = CliRunner().invoke(app, [str(part) for part in command], catch_exceptions=False)
    assert "RefAVA, 1 clips of 1 movies (0 train, 1 val, 0 test)" in done.output.replace("\n", "")
    vocabulary = load_vocabulary(tmp_path / "out" / "actions.csv")
    assert load_clips(tmp_path / "out" / "clips.csv", vocabulary) == read_refava(folder, videos, 900).clips


def test_what_says_nothing_is_counted(tmp_path: Path, videos: Path) -> None:
    box, label, said = ONE["-5KQ66BBWC4___0902___7"]
    entries: dict[str, Entry] = {
        **ONE,
        "a___902___1": ([[0.5, 0.2, 0.5, 0.9]], label, said),
        "a___902___2": ([[0.5, 0.2, 1.5, 0.9]], label, said),
        "a___902___3": ([], label, said),
        "a___902___4": (box, [], said),
        "a___902___5": (box, label, ["  "]),
        "a___902___6": (box, label, []),
    }
    found = read_refava(write(tmp_path / "in", {"train": entries}), videos)
    assert len(found.clips) == 1
    assert found.left_out == {
        "a box without an area": 1, "a box that isn't in the frame": 1, "no box of four corners": 1, "no action": 1,
        "no sentence": 2,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("key", "label", "expected"),
    [
        ("film-902-1", [1], "keys <movie>___<second>___<person>"),
        ("a___902___1", [81], "whole numbers from 1 to 80"),
        ("a___902___1", [0], "whole numbers from 1 to 80"),
        ("a___902___1", [True], "whole numbers from 1 to 80"),
        ("a___902___1", list(range(90)), "at most 80 actions"),
        ("a___800___1", [1], "a second from 900 on"),
        (3, [1], "keys <movie>___<second>___<person>"),
    ],
)
def test_what_can_not_be_meant_is_refused(
    tmp_path: Path, videos: Path, key: Any, label: Any, expected: str
) -> None:
    box, _, said = ONE["-5KQ66BBWC4___0902___7"]
    folder = write(tmp_path / "in", {"train": {key: (box, label, said)}})
    with pytest.raises(InputError, match=r"train_set_label_crr_final\.pkl") as caught:
        read_refava(folder, videos, 900)
    assert expected in str(caught.value)


def test_files_that_are_not_of_one_another_are_refused(tmp_path: Path, videos: Path) -> None:
    with pytest.raises(InputError, match="got 'none': expected the pickles of one release"):
        read_refava(tmp_path, videos)
    folder = write(tmp_path / "in", {"train": ONE})
    write(folder, {"train": ONE}, "RefAVA++")
    with pytest.raises(InputError, match=r"got 'RefAVA and RefAVA\+\+'"):
        read_refava(folder, videos)
    (folder / "train_label.pkl").unlink()
    with pytest.raises(InputError, match=r"train_label\.pkl: expected a file, beside train_keyframe\.pkl"):
        read_refava(folder, videos)
    folder = write(tmp_path / "keys", {"train": ONE})
    (folder / "train_set_keyframe_crr_final.pkl").write_bytes(pickle.dumps({"other": [[0, 0, 1, 1]]}))
    with pytest.raises(InputError) as caught:
        read_refava(folder, videos)
    assert "keyframe_crr_final.pkl: got 'no -5KQ66BBWC4___0902___7': expected the keys of the labels" in str(
        caught.value
    )
    assert "got 'no other'" in str(caught.value)


class Planted:
    def __reduce__(self) -> tuple[Any, ...]:
        return eval, ("print('it was executed')",)


def test_nothing_in_them_is_executed(
    tmp_path: Path, videos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write(tmp_path / "in", {"train": {"a___902___1": (Planted(), [1], ["x"])}})
    with pytest.raises(InputError, match=r"got 'global builtins\.eval'"):
        read_refava(folder, videos)
    assert "executed" not in capsys.readouterr().out
