"""Whole extractions with the small random models: accounts, agreement, resume, refusals."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from extractions import assert_same, problems, series
from numbered_movies import regular, write_movie

from rhas.extract.config import ExtractConfig, RunOptions, load_config
from rhas.extract.run import ray_pool
from rhas.extract.run.accounts import EXIT_DONE, EXIT_SOME_FAILED, EXIT_TOO_MANY_FAILED, Summary
from rhas.extract.run.pool import WorkerUnfit
from rhas.extract.run.run import extract
from rhas.extract.run.workers import ModelWorker
from rhas.extract.weights.shipped_weights import FOLDER
from rhas.manifests.common.errors import InputError
from rhas.manifests.shards.failures import read_failures
from rhas.manifests.shards.reader import FeaturesReader
from rhas.manifests.shards.status import FrameStatus
from rhas.manifests.tables.inputs import load_inputs

SMALL = ["decode.window_frames=16", "detector.follow_frames=4"]


def config(*settings: str) -> ExtractConfig:
    return load_config("tiny-random", SMALL + list(settings))


def run(manifest: Path, out: Path, *settings: str, **options: object) -> Summary:
    values = {"batch": 8, "max_failure_rate": 0.9} | options
    return extract(load_inputs(manifest), out, config(*settings), RunOptions(**values))  # type: ignore[arg-type]


def write_manifest(folder: Path, rows: list[str]) -> Path:
    path = folder / "manifest.csv"
    path.write_text("\n".join(["movie_id,video,person_id,reference,start_s,end_s", *rows]) + "\n")
    return path


@pytest.fixture(scope="module")
def movies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two good movies, one cut off, one that is no movie; the manifest names one more that isn't there."""
    folder = tmp_path_factory.mktemp("movies")
    write_movie(folder / "a.mp4", regular(120))
    write_movie(folder / "b.mp4", regular(45, start_s=3.0))
    cut = write_movie(folder / "cut.mp4", regular(120), index_in_front=True, b_frames=0)
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    (folder / "noise.mp4").write_bytes(os.urandom(4096))
    rows = [
        "a,a.mp4,red,the person in the red shirt,,",
        "a,a.mp4,tall,the tall person,1,3",
        "b,b.mp4,p,the person on the left,,",
        "cut,cut.mp4,p,the person on the left,,",
        "noise,noise.mp4,p,the person on the left,,",
        "gone,gone.mp4,p,the person on the left,,",
    ]
    write_manifest(folder, rows)
    return folder


@pytest.fixture(scope="module")
def undisturbed(movies: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Summary]:
    out = tmp_path_factory.mktemp("features") / "undisturbed"
    return out, run(movies / "manifest.csv", out)


def test_every_frame_is_accounted_for(undisturbed: tuple[Path, Summary]) -> None:
    out, summary = undisturbed
    assert summary.exit_code == EXIT_SOME_FAILED
    assert problems(out) == []
    assert (summary.movies, summary.movies_failed) == (6 - 1, 2)
    statuses = {
        (p.movie_id, p.person_id): np.bincount(p.status, minlength=6) for p in FeaturesReader(out).persons()
    }
    # 120 frames at 30/s are 60 samples at 15/s; `tall` is promised in [1 s, 3 s).
    assert statuses["a", "red"][FrameStatus.OUTSIDE] == 0 and statuses["a", "red"].sum() == 60
    assert statuses["a", "tall"].tolist()[0] == 30 and statuses["a", "tall"].sum() == 60
    assert statuses["b", "p"].sum() == 23
    lost = statuses["cut", "p"][FrameStatus.UNDECODABLE]
    assert 20 < lost < 40 and summary.tally.lost == lost
    recorded = read_failures(out / "failures.csv")
    assert {(f.movie_id, f.stage) for f in recorded} == {
        ("cut", "decode"),
        ("noise", "probe"),
        ("gone", "probe"),
    }
    assert sum(f.frames for f in recorded) == lost
    assert {f.reason for f in recorded if f.movie_id == "gone"} == {"no such file"}


def test_samples_carry_their_time_and_source_frame(undisturbed: tuple[Path, Summary]) -> None:
    person = FeaturesReader(undisturbed[0]).person("b", "p")  # its first time stamp is 3 s
    np.testing.assert_allclose(person.time_s, np.arange(23) / 15)
    np.testing.assert_array_equal(person.source_frame, np.arange(0, 45, 2))


def test_the_report_says_where_the_time_went(undisturbed: tuple[Path, Summary]) -> None:
    report = undisturbed[1].report
    assert report["frames"] == 60 + 23 + 60 - undisturbed[1].tally.lost  # those that the models got
    assert set(report["stage_s"]) == {"decode", "ground", "encode", "write"}
    assert all(seconds > 0 for seconds in report["stage_s"].values())
    assert report["limiting_stage"] in report["stage_s"]
    assert report["model_cpu_s_per_frame"] > 0 and report["models_alone_cpu_s_per_frame"] > 0
    assert (report["share_of_models_alone"] is None) == bool(
        report["models_alone_note"]
    )  # a busy machine has none


def test_two_workers_give_the_features_of_one(
    movies: Path, undisturbed: tuple[Path, Summary], tmp_path: Path
) -> None:
    run(movies / "manifest.csv", tmp_path / "f", workers=2, decoders=2, batch=5)
    assert_same(series(undisturbed[0]), series(tmp_path / "f"), ties=True)


def test_windows_of_another_length_give_the_same_features(
    movies: Path, undisturbed: tuple[Path, Summary], tmp_path: Path
) -> None:
    run(movies / "manifest.csv", tmp_path / "f", "decode.window_frames=23")
    assert_same(series(undisturbed[0]), series(tmp_path / "f"), ties=True)


def test_a_rerun_does_nothing(movies: Path, undisturbed: tuple[Path, Summary]) -> None:
    out, first = undisturbed
    before = {path: path.stat().st_mtime_ns for path in (out / "shards").iterdir()}
    again = run(movies / "manifest.csv", out)
    assert {path: path.stat().st_mtime_ns for path in (out / "shards").iterdir()} == before
    assert again.report["frames"] == 0
    assert (again.tally, again.exit_code) == (first.tally, first.exit_code)


def test_a_killed_run_is_continued(movies: Path, undisturbed: tuple[Path, Summary], tmp_path: Path) -> None:
    out = tmp_path / "f"
    settings = [argument for setting in SMALL for argument in ("--set", setting)]
    # Small batches leave time for a kill between the first window and the movie's end.
    command = [
        sys.executable, "-m", "rhas.pipeline.cli", "extract", "--movies", str(movies / "manifest.csv"),
        "--out", str(out), "--preset", "tiny-random", "--batch", "2", *settings,
    ]  # fmt: skip
    # In a session of its own, so that everything it started can be ended with it.
    process = subprocess.Popen(
        command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 600  # for what hangs
    while not list(out.glob("parts/*/*.h5")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert process.returncode == -signal.SIGKILL, "the run ended before it could be killed"
    assert not (out / "shards" / "a.h5").exists(), "too late: the first movie was done"
    time.sleep(1)  # actors notice that their driver is gone
    parts = {path: path.stat().st_mtime_ns for path in out.glob("parts/*/*.h5")}
    assert parts and problems(out) != []
    summary = run(movies / "manifest.csv", out)
    assert summary.report["frames"] < 60 + 23 + 60
    assert problems(out) == []
    assert list(out.glob("**/*.tmp")) == [] and not (out / "parts").exists()
    assert_same(series(undisturbed[0]), series(out))


def test_other_settings_are_refused_by_name(movies: Path, undisturbed: tuple[Path, Summary]) -> None:
    with pytest.raises(InputError, match=r"detector\.nms_iou was 0\.7, now 0\.5"):
        run(movies / "manifest.csv", undisturbed[0], "detector.nms_iou=0.5")


@pytest.fixture(scope="module")
def one_movie(movies: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A features folder with one movie of one person, and its manifest."""
    folder = tmp_path_factory.mktemp("one")
    shutil.copy(movies / "b.mp4", folder)
    manifest = write_manifest(folder, ["b,b.mp4,p,the person on the left,,"])
    assert run(manifest, folder / "f").exit_code == EXIT_DONE
    return folder


@pytest.fixture
def small(one_movie: Path, tmp_path: Path) -> Path:
    """A copy for a test to change: movies are known by their bytes, wherever they are."""
    return shutil.copytree(one_movie, tmp_path, dirs_exist_ok=True)


def test_a_folder_of_another_format_is_refused_though_nothing_is_left_to_do(small: Path) -> None:
    config = small / "f" / "config.json"
    config.write_text(config.read_text().replace('"format_version": 4', '"format_version": 3'))
    with pytest.raises(InputError, match=r"into another folder.*format_version was 3, now 4"):
        run(small / "manifest.csv", small / "f")


def test_a_folder_from_before_there_was_a_setting_has_its_default(small: Path) -> None:
    """Whatever is left is then extracted with the default; another value is refused as for any setting."""
    manifest, config, shard = (
        small / "manifest.csv",
        small / "f" / "config.json",
        small / "f" / "shards" / "b.h5",
    )
    record, whole = json.loads(config.read_text()), series(small / "f")
    del record["config"]["encoder"]["crop_margin"], record["config"]["tracks"]["everybody"]
    config.write_text(json.dumps(record))
    assert run(manifest, small / "f").exit_code == EXIT_DONE
    with pytest.raises(InputError, match=r"encoder\.crop_margin was 0\.1, now 0\.3"):
        run(manifest, small / "f", "encoder.crop_margin=0.3")
    shard.unlink()
    assert run(manifest, small / "f").exit_code == EXIT_DONE
    assert_same(whole, series(small / "f"))
    assert json.loads(config.read_text())["extraction"] == record["extraction"]


def test_a_touched_movie_is_the_same_and_one_changed_byte_makes_it_another(small: Path) -> None:
    manifest, movie, shard = small / "manifest.csv", small / "b.mp4", small / "f" / "shards" / "b.h5"
    written = shard.stat().st_mtime_ns
    os.utime(movie)
    assert run(manifest, small / "f").exit_code == EXIT_DONE and shard.stat().st_mtime_ns == written
    data = bytearray(movie.read_bytes())
    data[len(data) // 3] ^= 1
    movie.write_bytes(data)
    with pytest.raises(InputError, match="movie b: video was"):
        run(manifest, small / "f")
    assert shard.stat().st_mtime_ns == written
    run(manifest, small / "f", update=True)
    assert shard.stat().st_mtime_ns != written and problems(small / "f") == []


def test_a_rerun_with_nothing_to_do_needs_neither_ray_nor_models(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for pool in ("ray_pool.ray_pool", "run.local_pool"):  # whoever asks for one fails
        monkeypatch.setattr(f"rhas.extract.run.{pool}", None)
    rows = ["b,b.mp4,p,the person on the left,,", "gone,gone.mp4,p,the person on the left,,"]
    again = run(write_manifest(small, rows), small / "f")
    assert (again.idle, again.movies_skipped, again.tally.written) == (True, 1, 23)
    assert [(f.movie_id, f.reason) for f in read_failures(small / "f" / "failures.csv")] == [
        ("gone", "no such file")
    ]


def test_a_file_that_is_no_movie_is_found_out_once(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And a column that means nothing here is with the shards of the movies that are new with it."""
    (small / "noise.mp4").write_bytes(bytes(range(256)) * 100)
    shutil.copy(small / "b.mp4", small / "c.mp4")
    header = "movie_id,video,person_id,reference,start_s,end_s,licence"
    rows = [
        f"{name},{name}.mp4,p,the person on the left,,,CC{at}" for at, name in enumerate(("b", "noise", "c"))
    ]
    manifest = small / "licences.csv"
    manifest.write_text("\n".join([header, *rows]))
    first = run(manifest, small / "f")
    assert not first.idle and (first.movies_skipped, first.movies_failed) == (1, 1)
    reader = FeaturesReader(small / "f")
    assert reader.person("b", "p").others == {} and reader.person("c", "p").others == {"licence": "CC2"}
    assert problems(small / "f") == []
    monkeypatch.setattr("rhas.extract.run.run.local_pool", None)  # whoever asks for a pool fails
    again = run(manifest, small / "f")
    assert again.idle and again.failures == first.failures and again.failures[0].movie_id == "noise"
    with pytest.raises(TypeError):
        run(manifest, small / "f", retry_failed=True)


def test_a_changed_sentence_is_refused_unless_update(small: Path) -> None:
    before = series(small / "f")
    manifest = write_manifest(small, ["b,b.mp4,p,the person on the right,,"])
    with pytest.raises(InputError, match=r"movie b: persons\.p"):
        run(manifest, small / "f")
    assert_same(before, series(small / "f"), 0)
    run(manifest, small / "f", update=True)
    assert FeaturesReader(small / "f").person("b", "p").reference == "the person on the right"
    assert problems(small / "f") == []


def test_a_dropped_movie_is_refused_and_a_new_one_is_added(small: Path) -> None:
    with pytest.raises(InputError, match="movie b is no longer in the manifest"):
        run(write_manifest(small, ["c,b.mp4,p,the person on the left,,"]), small / "f")
    manifest = write_manifest(
        small, ["b,b.mp4,p,the person on the left,,", "c,b.mp4,p,the person on the left,,"]
    )
    summary = run(manifest, small / "f")
    assert (summary.exit_code, summary.movies_skipped, summary.report["frames"]) == (EXIT_DONE, 1, 23)
    assert FeaturesReader(small / "f").movie_ids == ["b", "c"]


def test_an_unusable_sentence_names_the_manifest_and_the_person(small: Path) -> None:
    manifest = write_manifest(small, [f"c,b.mp4,p,{'the very tall person ' * 90},,", "d,b.mp4,p,...,,"])
    with pytest.raises(InputError) as error:
        run(manifest, small / "g")
    assert len(error.value.problems) == 2
    assert "manifest.csv" in str(error.value) and "movie c, person p" in str(error.value)


def test_a_person_outside_the_movie_is_reported(small: Path) -> None:
    rows = ["b,b.mp4,p,the person on the left,,", "b,b.mp4,late,the tall person,100,200"]
    summary = run(write_manifest(small, rows), small / "g")
    assert summary.exit_code == EXIT_SOME_FAILED
    assert [(f.movie_id, f.stage) for f in summary.failures] == [("b", "interval")]
    assert "late" in summary.failures[0].reason
    assert problems(small / "g") == []


def test_too_many_failures_have_their_own_exit_code(movies: Path, tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.csv"
    manifest.write_text((movies / "manifest.csv").read_text().replace(",a.mp4", f",{movies}/none.mp4"))
    assert run(manifest, tmp_path / "f", max_failure_rate=0.1).exit_code == EXIT_TOO_MANY_FAILED


def test_more_gpus_than_there_are_is_an_error_at_once(movies: Path, tmp_path: Path) -> None:
    clock = time.monotonic()
    with pytest.raises(InputError, match="at most 0, all the GPUs that there are"):
        run(movies / "manifest.csv", tmp_path / "f", gpus=8)
    assert time.monotonic() - clock < 10


@pytest.mark.parametrize(("fps", "basketball", "corrupted", "nonzero", "rotated"), [
    (5, 51, 25, 2, 1), (15, 151, 75, 6, 2), (30, 301, 150, 12, 3), (None, 300, 50, 12, 3),
])  # fmt: skip
def test_real_clips_at_every_rate(
    clips: Path,
    tmp_path: Path,
    fps: float | None,
    basketball: int,
    corrupted: int,
    nonzero: int,
    rotated: int,
) -> None:
    rows = [
        f"basketball,{clips}/basketball_two_people.mp4,white,the person in the white shirt and black shorts,,",
        f"basketball,{clips}/basketball_two_people.mp4,blue,the person in the blue shirt,,",
        f"nonzero,{clips}/non_zero_start.mp4,p,the person on the left,,",
        f"rotated,{clips}/rotated_90.mov,p,the person on the left,,",
        f"corrupted,{clips}/corrupted.mp4,p,the person on the left,,",
        "missing,not_there.mp4,p,the person on the left,,",
    ]
    summary = run(
        write_manifest(tmp_path, rows), tmp_path / "f", f"decode.fps={'null' if fps is None else fps}"
    )
    assert summary.exit_code == EXIT_SOME_FAILED
    assert problems(tmp_path / "f") == []
    counts = {"basketball": basketball, "corrupted": corrupted, "nonzero": nonzero, "rotated": rotated}
    duration_s = {"basketball": 10.01, "corrupted": 5.0, "nonzero": 0.4, "rotated": 0.1}
    for person in FeaturesReader(tmp_path / "f").persons():
        assert len(person) == counts[person.movie_id]
        assert person.time_s[0] == 0 and person.time_s[-1] < duration_s[person.movie_id]
        if fps is not None:
            np.testing.assert_allclose(np.diff(person.time_s), 1 / fps)
        # The corrupted movie's first 29 of 50 frames, shot at 10/s, are decoded before its damaged packet is.
        intact = person.source_frame < 29 if person.movie_id == "corrupted" else np.ones(len(person), bool)
        np.testing.assert_array_equal(person.status != FrameStatus.UNDECODABLE, intact)
    assert {f.movie_id for f in read_failures(tmp_path / "f" / "failures.csv")} == {"corrupted", "missing"}


def test_options_are_checked() -> None:
    with pytest.raises(InputError, match="gpus"):
        RunOptions().replace(gpus=-1)


@pytest.mark.parametrize("when", ["__init__", "describe"])
def test_what_fails_for_good_before_a_workers_first_work_ends_the_run_at_once(
    movies: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    class Broken(ModelWorker):
        pass

    def fail(*_: object) -> None:
        import a_package_that_is_not_there  # type: ignore[import-not-found]  # noqa: F401

    setattr(Broken, when, fail)
    monkeypatch.setattr(ray_pool, "ModelWorker", Broken)
    began = time.monotonic()
    with pytest.raises(WorkerUnfit) as caught:
        run(movies / "manifest.csv", tmp_path / "out", ray=True)
    traceback = tmp_path / "out" / "worker-error.txt"
    reason = "ModuleNotFoundError: No module named 'a_package_that_is_not_there'"
    assert str(caught.value) == f"a worker can't begin: {reason} (its traceback is in {traceback})"
    assert "in fail" in traceback.read_text() and "\x1b" not in traceback.read_text()
    assert time.monotonic() - began < 60, "it was asked again"


@pytest.mark.parametrize("content", [None, b"broken"])
def test_weights_that_can_not_be_read_end_the_run_at_once(
    movies: Path, tmp_path: Path, content: bytes | None
) -> None:
    weights = tmp_path / "detector"
    shutil.copytree(FOLDER / "mini" / "detector", weights)
    (weights / "model.safetensors").unlink()
    if content is not None:
        (weights / "model.safetensors").write_bytes(content)
    mini = load_config("mini", [f"detector.weights={weights}"])
    began = time.monotonic()
    with pytest.raises(InputError, match=f"detector.weights: got '{weights}': expected .*model.safetensors"):
        extract(load_inputs(movies / "manifest.csv"), tmp_path / "out", mini, RunOptions())
    assert time.monotonic() - began < 60, "it was asked again"
