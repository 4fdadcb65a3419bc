"""`rhas extract --add`: persons of whom only everybody's tracks told get features, and others keep theirs to the bit.

The truth of boxes is the made world's; features are those of an extraction that knew of everybody from the beginning.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from extractions import problems, series
from seen_world import SeenWorld, extract_seen, true_pool
from typer.testing import CliRunner, Result

from rhas.extract.config import RunOptions
from rhas.extract.run.accounts import EXIT_DONE, Summary
from rhas.extract.run.adding import add
from rhas.extract.run.workers import ModelWorker, WindowTask, WriteWorker
from rhas.manifests.common.errors import InputError
from rhas.manifests.shards.layout import FeaturesFolder
from rhas.manifests.shards.people import read_people
from rhas.manifests.shards.reader import FeaturesReader
from rhas.manifests.shards.status import HAS_PARTIAL
from rhas.pipeline.cli import app
from rhas.pipeline.world.lives.layers import FPS

MOVIE = "world_0000"
TINY = "encoder.weights=random:tiny"  # features without meaning, in no time
WITH_TRACKS = "movie_id,person_id,reference,tracks"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> SeenWorld:
    return SeenWorld.made(tmp_path_factory.mktemp("add") / "world", 1, 3, (12, 14))


@pytest.fixture(scope="module")
def extracted(world: SeenWorld) -> Path:
    out = world.root / "features"
    summary = extract_seen(world, world.manifest_of(world.root / "asked.csv"), out, TINY)
    assert summary.exit_code == EXIT_DONE
    return out


@pytest.fixture
def out(extracted: Path, tmp_path: Path) -> Path:
    shutil.copytree(extracted, tmp_path / "features")
    return tmp_path / "features"


def rows(path: Path, *lines: str, header: str = "movie_id,person_id,reference") -> Path:
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def added(world: SeenWorld, persons: Path, out: Path) -> Summary:
    with true_pool(world):
        return add(persons, out, RunOptions(batch=16))


def tracks_of(world: SeenWorld, out: Path, person: int) -> list[int]:
    """By the truth."""
    people, truth = read_people(FeaturesFolder(out).people(MOVIE)), world.truth[MOVIE]
    assert people is not None
    arrays, found = people.arrays, []
    for track in range(people.tracks):
        first = np.flatnonzero(arrays["track"] == track)[0]
        away = np.abs(truth.boxes[round(arrays["time_s"][first] * FPS)] - arrays["box"][first]).max(axis=-1)
        if np.where(np.isnan(away), np.inf, away).argmin() == person:
            found.append(track)
    return found


def line(world: SeenWorld, out: Path, person: int, name: str, sentence: str = "somebody") -> str:
    """A row of who is added, with all of their tracks."""
    return f"{MOVIE},{name},{sentence},{' '.join(map(str, tracks_of(world, out, person)))}"


def same(before: dict, after: dict, person: str) -> bool:
    """Of one person, in every bit."""
    mine = [key for key in before if key[1] == person]
    return bool(mine) and all(np.array_equal(before[key], after[key], equal_nan=True) for key in mine)


def test_the_features_are_those_of_an_extraction_that_knew(
    world: SeenWorld, out: Path, tmp_path: Path
) -> None:
    """Of the same boxes the same features, as far as rounding goes: crops share their batches with others."""
    sentence = str(world.table("references.csv").query("person_id == 'p2'")["reference"].iloc[0])
    added(world, rows(tmp_path / "p.csv", line(world, out, 1, "p2", sentence), header=WITH_TRACKS), out)
    manifest = world.manifest_of(tmp_path / "both.csv", ("p1", "p2"))
    extract_seen(world, manifest, tmp_path / "knew", TINY)
    late, early = (FeaturesReader(folder).person(MOVIE, "p2") for folder in (out, tmp_path / "knew"))
    assert late.reference == early.reference == sentence
    boxes = np.isin(late.status, HAS_PARTIAL) & np.isin(early.status, HAS_PARTIAL)
    boxes &= np.abs(late.box[...] - early.box[...]).max(axis=1) < 1e-6
    assert boxes.sum() > 15
    for stream, where in (("partial", boxes), ("holistic", np.ones(len(boxes), bool))):
        one, other = (np.asarray(getattr(own, stream)[...][where], float) for own in (late, early))
        np.testing.assert_allclose(one, other, atol=4e-3)


class _Killed(BaseException):
    pass


def test_a_killed_run_goes_on_where_it_was(world: SeenWorld, out: Path, tmp_path: Path) -> None:
    before = series(out)
    both = line(world, out, 1, "red"), line(world, out, 2, "yellow")
    persons = rows(tmp_path / "p.csv", *both, header=WITH_TRACKS)
    whole = tmp_path / "whole"
    shutil.copytree(out, whole)
    added(world, persons, whole)
    write, seal = WriteWorker.write, WriteWorker.seal_added
    written: list[int] = []

    def killed(self: WriteWorker, window: object) -> float:
        if len(written) == 2:
            raise _Killed
        written.append(1)
        return write(self, window)  # type: ignore[arg-type]

    with patch.object(WriteWorker, "write", killed), pytest.raises(_Killed):
        added(world, persons, out)
    assert same(before, series(out), "p1")  # nothing of it is lost
    with patch.object(WriteWorker, "seal_added", side_effect=_Killed), pytest.raises(_Killed):
        added(world, persons, out)
    with patch.object(WriteWorker, "seal_added", seal):
        summary = added(world, persons, out)
    assert summary.exit_code == EXIT_DONE and problems(out) == []
    after, expected = series(out), series(whole)
    assert all(same(expected, after, person) for person in ("p1", "red", "yellow"))
    assert not FeaturesFolder(out).parts(MOVIE).exists()
    stamp = FeaturesFolder(out).shard(MOVIE).stat().st_mtime_ns
    idle = added(world, persons, out)
    assert idle.idle and FeaturesFolder(out).shard(MOVIE).stat().st_mtime_ns == stamp


def test_everybodys_pictures_survive_a_kill(world: SeenWorld, extracted: Path, tmp_path: Path) -> None:
    """Of the first extraction: none is made twice, and the file is the same as if nothing had been."""
    out, manifest = tmp_path / "killed", world.root / "asked.csv"
    write, encode = WriteWorker.write, ModelWorker.encode
    kills = iter([7, 1, None])  # windows stored until then, of five in pass one and five in pass two
    encoded: list[int] = []

    def count(self: ModelWorker, task: WindowTask, *read: Any) -> Any:
        encoded.append(task.index)
        return encode(self, task, *read)

    for left in kills:
        stored: list[int] = []

        def store(
            self: WriteWorker, window: Any, left: int | None = left, stored: list[int] = stored
        ) -> float:
            if len(stored) == left:
                raise _Killed
            stored.append(1)
            return write(self, window)

        with patch.object(WriteWorker, "write", store), patch.object(ModelWorker, "encode", count):
            if left is None:
                assert extract_seen(world, manifest, out, TINY).exit_code == EXIT_DONE
            else:
                with pytest.raises(_Killed):
                    extract_seen(world, manifest, out, TINY)
    path = FeaturesFolder(extracted).people(MOVIE)
    assert FeaturesFolder(out).people(MOVIE).read_bytes() == path.read_bytes()
    assert problems(out) == []
    windows = FeaturesReader(out).shard(MOVIE).windows()
    # What was on its way to the writer when it was killed is made again, and nothing else.
    assert len(windows) <= len(encoded) <= len(windows) + 2


def test_a_window_that_failed_lacks_pictures_and_gets_them_later(
    world: SeenWorld, extracted: Path, tmp_path: Path
) -> None:
    encode = ModelWorker.encode

    def fail(self: ModelWorker, task: WindowTask, *read: Any) -> Any:
        if task.index == 2:
            raise ValueError("on purpose")
        return encode(self, task, *read)

    out, manifest = tmp_path / "failed", world.root / "asked.csv"
    with patch.object(ModelWorker, "encode", fail):
        assert [f.window for f in extract_seen(world, manifest, out, TINY).failures] == [2]
    assert problems(out) == []  # it is recorded
    extract_seen(world, manifest, out, TINY)
    path = FeaturesFolder(extracted).people(MOVIE)
    assert FeaturesFolder(out).people(MOVIE).read_bytes() == path.read_bytes()


def test_the_manifest_with_everybody_has_nothing_left_to_do(
    world: SeenWorld, out: Path, tmp_path: Path
) -> None:
    added(world, rows(tmp_path / "p.csv", line(world, out, 1, "red"), header=WITH_TRACKS), out)
    shutil.copy(FeaturesFolder(out).manifest, tmp_path / "now.csv")
    assert extract_seen(world, tmp_path / "now.csv", out, TINY).idle
    with pytest.raises(InputError, match="persons"):  # the one of before lacks somebody
        extract_seen(world, world.manifest_of(tmp_path / "before.csv"), out, TINY)


@pytest.mark.parametrize(
    ("header", "row", "said"),
    [
        ("movie_id,person_id,reference", "other,x,the man", "a movie of the features folder's manifest"),
        ("movie_id,person_id,reference", f"{MOVIE},p1,the man", "an id that nobody of this movie has"),
        ("movie_id,person_id,reference", f"{MOVIE},x,", "not empty"),
        (WITH_TRACKS, f"{MOVIE},x,the man,99", "from 0 to"),
        (WITH_TRACKS, f"{MOVIE},x,the man,one", "divided by spaces"),
    ],
)
def test_who_cant_be_added_is_refused(out: Path, tmp_path: Path, header: str, row: str, said: str) -> None:
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    with pytest.raises(InputError, match=said):
        add(rows(tmp_path / "p.csv", row, header=header), out, RunOptions())
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["extract", *map(str, arguments)])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "one of them"),
        (["--movies", "m.csv", "--add", "p.csv"], "one of them"),
        (["--add", "p.csv"], "on this machine"),
        (["--add", "p.csv", "--out", "f", "--preset", "mini"], "--preset"),
        (["--add", "p.csv", "--out", "f", "--set", "decode.fps=3"], "--set"),
        (["--add", "p.csv", "--out", "nowhere"], "config.json"),
    ],
)
def test_the_command_takes_movies_or_persons(
    arguments: Sequence[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert said in str(run(*arguments).exception)
