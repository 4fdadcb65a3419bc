"""Workers: how many, what a window's task is, and what they do apart from decoding and models."""

import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from fake_pool import make_header, make_movie
from scripted_models import ScriptedDetector, ScriptedEncoder, numbered_frames

from rhas.extract.config import ExtractConfig, RunOptions, default_memory_bytes, load_config
from rhas.extract.decode.process import Frames
from rhas.extract.decode.windows import WindowFrames
from rhas.extract.encode.windows import OnePass
from rhas.extract.run.alone import LIMIT_S, Sample, _scheduled, _waited, measured, sample_of
from rhas.extract.run.jobs import one_line
from rhas.extract.run.layout import Layout, here, lay_out, on_this_machine
from rhas.extract.run.workers import ModelWorker, ReadReport, WriteWorker, window_task, writing
from rhas.manifests.common.errors import InputError
from rhas.manifests.shards.format import SERIES, Window, empty_rows, failed_window
from rhas.manifests.shards.layout import FeaturesFolder
from rhas.manifests.shards.ledger import Finished
from rhas.manifests.shards.reader import Shard
from rhas.manifests.shards.status import FrameStatus

# --- how many workers


@pytest.mark.parametrize(
    ("options", "cpus", "gpus", "expected"),
    [
        ({}, 1, 0, Layout(1, 1, 1, 0, 0)),
        ({}, 2, 0, Layout(1, 1, 2, 0, 0)),
        ({}, 16, 0, Layout(4, 4, 4, 0, 0)),
        ({}, 16, 8, Layout(4, 4, 4, 0, 0)),  # GPUs only when asked for
        ({"cpus": 8}, 16, 0, Layout(2, 2, 4, 0, 0)),
        ({"workers": 3}, 16, 0, Layout(3, 4, 5, 0, 0)),
        ({"workers": 16, "decoders": 40}, 16, 0, Layout(16, 40, 1, 0, 0)),
        ({"gpus": 1}, 16, 1, Layout(1, 3, 1, 1, 1)),
        ({"gpus": 1}, 3, 1, Layout(1, 2, 1, 1, 1)),
        ({"gpus": 8}, 64, 8, Layout(8, 24, 1, 1, 1)),
        ({"gpus": 8}, 20, 8, Layout(8, 12, 1, 1, 1)),
        ({"gpus": 2, "decoders": 14}, 16, 8, Layout(2, 14, 1, 1, 1)),
    ],
)
def test_layout(options, cpus, gpus, expected):
    layout = lay_out(RunOptions(**options), cpus, gpus)
    assert layout == expected
    reserved = layout.models * layout.model_cpus + layout.decoders * layout.decoder_cpus
    assert reserved <= cpus and layout.models * layout.model_gpus <= gpus


@pytest.mark.parametrize(
    ("options", "cpus", "gpus", "file", "value"),
    [
        ({"gpus": 2}, 16, 1, "--gpus", 2),
        ({"cpus": 17}, 16, 0, "--cpus", 17),
        ({"workers": 5}, 4, 0, "--workers", 5),
        ({"gpus": 2}, 2, 2, "--cpus", 2),
        ({"gpus": 2, "decoders": 15}, 16, 2, "--cpus", 16),
        ({}, 0, 0, "--workers", 1),
    ],
)
def test_what_the_cluster_does_not_have_is_refused(options, cpus, gpus, file, value):
    with pytest.raises(InputError) as caught:
        lay_out(RunOptions(**options), cpus, gpus)
    assert [(p.file, p.value) for p in caught.value.problems] == [(file, value)]


def test_too_few_gpus_and_cores_are_reported_together():
    with pytest.raises(InputError) as caught:
        lay_out(RunOptions(gpus=3, cpus=9), 8, 2)
    assert [(p.file, p.value) for p in caught.value.problems] == [("--gpus", 3), ("--cpus", 9)]


@pytest.mark.parametrize(
    ("options", "cores", "alone"),
    [
        ({}, 2, True),
        ({}, 7, True),
        ({}, 8, False),  # two model workers
        ({"cpus": 4}, 64, True),
        ({"workers": 1}, 64, True),
        ({"workers": 2}, 2, False),
        ({"gpus": 1}, 64, True),
        ({"gpus": 8}, 64, False),
        ({"address": "auto"}, 2, False),
        ({"ray": True}, 2, False),
    ],
)
def test_one_model_worker_on_this_machine_needs_no_ray(monkeypatch, options, cores, alone):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(cores)))
    assert on_this_machine(RunOptions(**options)) is alone


@pytest.mark.parametrize(
    ("visible", "gpus"), [("", 0), ("-1", 0), ("0", 1), ("0,3", 2), ("GPU-5e,MIG-77", 2)]
)
def test_gpus_are_those_that_this_process_may_see(monkeypatch, visible, gpus):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert here()[1] == gpus


# --- a window's task


def test_window_tasks():
    movie = make_movie("a", [(0, 5), (3, 100)])
    header = make_header(movie, 10, window_frames=4)
    first = window_task(header, 0, movie.persons, lead_frames=3, short_side=240)
    assert (first.start, first.stop, first.lead, first.size) == (0, 4, 0, (240, 320))
    assert first.source_frame.tolist() == [0, 1, 2, 3]
    last = window_task(header, 2, movie.persons, lead_frames=3, short_side=480)
    assert (last.start, last.stop, last.lead) == (8, 10, 3)
    assert last.source_frame.tolist() == [5, 6, 7, 8, 9]
    assert last.frame_bytes == 5 * 480 * 640 * 3
    assert last.window_id == header.window_id(2) and last.video == Path("/movies/a")
    second = window_task(header, 1, movie.persons, lead_frames=9, short_side=480)
    assert second.lead == 4  # no more than there is
    masks = [mask.astype(int).tolist() for mask in second.inside]
    assert masks == [[1, 1, 1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1, 1, 1]]


# --- the model worker


def model_worker(movie, batch=2):
    worker = ModelWorker(ExtractConfig(precision="float32"), batch, "cpu")
    references = [person.reference for person in movie.persons]
    detector = ScriptedDetector({r: {3, 4} for r in references}, {r: {5: 4} for r in references})
    worker.__dict__["models"] = OnePass(
        detector, ScriptedEncoder(), worker.config, torch.device("cpu"), batch
    )
    return worker


def task_and_frames(movie, index, ok=None):
    task = window_task(make_header(movie, 10, window_frames=8), index, movie.persons, 3, 480)
    pixels = numbered_frames([number + 1 for number in task.source_frame])
    ok = np.ones(len(pixels), bool) if ok is None else ok
    return task, WindowFrames(Frames(pixels, ok, "frame 2: damaged", False, 5), task.lead)


def test_encode_makes_a_window():
    movie = make_movie("a", [(0, 5), (9, 10)])
    task, frames = task_and_frames(movie, 0)
    report, window = model_worker(movie).encode(task, ReadReport(8, 8, "", False, 0.0), frames)
    assert report.frames == 5  # in the other three nobody is promised
    assert report.busy_s >= report.ground_s + report.encode_s > 0
    assert list(window.persons) == ["p0"]  # the other one comes later
    assert (window.index, window.start, window.stop, window.window_id) == (0, 0, 8, task.window_id)
    assert (window.stage, window.reason, window.decoder_messages) == ("", "", 5)
    assert window.persons["p0"].status.tolist() == [3, 3, 1, 1, 2, 0, 0, 0]


def test_lost_frames_are_recorded_with_the_reason():
    movie = make_movie("a")
    task, frames = task_and_frames(movie, 0, ok=np.arange(8) != 2)
    _, window = model_worker(movie).encode(task, ReadReport(7, 8, "frame 2: damaged", False, 0.0), frames)
    assert (window.stage, window.reason) == ("decode", "frame 2: damaged")
    assert window.persons["p0"].status[2] == FrameStatus.UNDECODABLE


def test_speed_alone_repeats_the_first_two_batches_of_the_last_window_with_somebody_in_it():
    movie = make_movie("a", [(0, 5)])
    worker = model_worker(movie)
    assert worker.speed_alone() is None
    task, frames = task_and_frames(movie, 0)
    report, _ = worker.encode(task, ReadReport(8, 8, "", False, 0.0), frames)
    assert report.cpu_s > 0
    calls = worker.models.grounder.detector.calls
    for window in (0, 1):  # nobody is in the second one: it says nothing of the speed
        calls.clear()
        if window:
            task, frames = task_and_frames(movie, 1)
            worker.encode(task, ReadReport(2, 2, "", False, 0.0), frames)
        found = worker.speed_alone()
        assert found.wall_s > 0 and found.cpu_s > 0 and found.in_run_s == report.busy_s / report.frames
        assert [numbers for numbers, _ in calls] == [[1, 2], [3, 4]] * (len(calls) // 2) and calls


def test_a_sample_is_what_can_be_repeated_in_time():
    movie = make_movie("a", [(0, 5)])
    task, frames = task_and_frames(movie, 0)

    def taken(batch, in_run_s, part=slice(None)):
        inside = [np.logical_and(mask, np.arange(len(mask)) >= (part.start or 0)) for mask in task.inside]
        found = sample_of(frames, task.persons, inside, None, batch, in_run_s)
        return found and len(found.window.frames.pixels)

    assert (taken(2, 0.01), taken(2, LIMIT_S / 2 / 3), taken(16, 1e-12)) == (4, 3, 8)
    assert taken(2, LIMIT_S) is None  # a single frame takes too long
    assert taken(2, 0.01, part=slice(task.lead + 4, None)) is None  # nobody is in what would be taken


@pytest.mark.parametrize(
    ("seconds", "counted"),
    [([1.0, 0.25, 0.5, 1.0, 9.0], 4), ([0.25] * 20, 8), ([7.0, 0.5], 1), ([1.5, 1.5, 0.5], 2)],
)
def test_the_fastest_repetition_counts_and_their_time_is_bounded(monkeypatch, seconds, counted):
    now, asked = [0.0], []

    def process(*_):
        asked.append(seconds[len(asked)])
        now[0] += asked[-1]
        return {}, SimpleNamespace(frames=2)

    clocks = SimpleNamespace(perf_counter=lambda: now[0], process_time=lambda: 3 * now[0])
    monkeypatch.setattr("rhas.extract.run.alone.time", clocks)
    found = measured(SimpleNamespace(process=process), Sample(None, (), (), None, 0.5))
    fastest = min(seconds[:counted])
    assert asked == seconds[:counted]  # as many as 3 s and the number of repetitions allow
    assert (found.in_run_s, found.wall_s, found.cpu_s) == (0.5, fastest / 2, 3 * fastest / 2)


def test_who_shares_a_core_waits_for_it():
    mine = os.sched_getaffinity(0)
    core = min(mine)
    spin = f"import os; os.sched_setaffinity(0, [{core}]); print(flush=True)\nwhile True: pass"
    with subprocess.Popen([sys.executable, "-c", spin], stdout=subprocess.PIPE) as other:
        try:
            other.stdout.readline()
            os.sched_setaffinity(0, {core})
            before, until = _scheduled(), time.process_time() + 0.1
            while time.process_time() < until:
                pass
            waited = _waited(before, _scheduled())
        finally:
            os.sched_setaffinity(0, mine)
            other.kill()
    assert waited is None or 0.2 < waited < 1  # half of it, or more where others have work


def test_a_worker_out_of_memory_halves_its_batch_and_gives_the_same():
    movie = make_movie("a")
    task, frames = task_and_frames(movie, 0)
    read = ReadReport(8, 8, "", False, 0.0)
    _, expected = model_worker(movie, batch=8).encode(task, read, frames)
    worker = model_worker(movie, batch=8)
    worker.models.grounder.detector.memory, worker.models.encoder.memory = 3, 5
    _, window = worker.encode(task, read, frames)
    for name in SERIES:
        np.testing.assert_array_equal(
            getattr(window.persons["p0"], name), getattr(expected.persons["p0"], name)
        )
    assert (worker.models.grounder.batches.size, worker.models.encode_batches.size) == (2, 4)
    worker.encode(task, read, frames)  # and remembers
    assert [len(numbers) for numbers, _ in worker.models.grounder.detector.calls] == [2] * 8


def test_a_frame_that_exceeds_the_device_fails_its_window_and_not_the_worker():
    movie = make_movie("a")
    task, frames = task_and_frames(movie, 0)
    worker = model_worker(movie)
    worker.models.grounder.detector.memory = 0
    with pytest.raises(torch.OutOfMemoryError) as error:
        worker.encode(task, ReadReport(8, 8, "", False, 0.0), frames)
    assert one_line(error.value) == "OutOfMemoryError: CUDA out of memory"
    worker.models.grounder.detector.memory = 8
    assert worker.encode(task, ReadReport(8, 8, "", False, 0.0), frames)[0].frames == 8


class Exited(BaseException):
    pass


@pytest.mark.parametrize(
    ("message", "raised"),
    [("CUDA error: an illegal memory access was encountered", Exited), ("shapes differ", RuntimeError)],
)
def test_a_worker_whose_device_is_lost_ends(monkeypatch, message, raised):
    def leave(code):
        raise Exited(code)

    def process(*args):
        raise RuntimeError(message)

    monkeypatch.setattr("rhas.extract.run.workers.models.os._exit", leave)
    movie = make_movie("a")
    worker = model_worker(movie)
    worker.__dict__["models"] = SimpleNamespace(process=process)
    task, frames = task_and_frames(movie, 0)
    with pytest.raises(raised):
        worker.encode(task, ReadReport(8, 8, "", False, 0.0), frames)


# --- the writers


@pytest.mark.parametrize(("models", "writers"), [(1, 1), (8, 1), (9, 2), (64, 8)])
def test_a_writer_for_every_eight_model_workers(models, writers):
    assert Layout(models, 1, 1, 1, 1).writers == writers


def window_of(header, index, status=FrameStatus.MISSING, reason=""):
    start, stop = header.bounds()[index]
    rows = {
        p.person_id: empty_rows(header.inside(p, start, stop), header.feature_shape, status)
        for p in header.persons
    }
    stage = "decode" if reason else ""
    return Window(header.movie_id, index, start, stop, header.window_id(index), rows, stage, reason)


def shard_rows(folder):
    with Shard(folder.shard("a")) as shard:
        rows = [(int(r["index"]), bool(r["done"]), r["stage"], r["reason"]) for r in shard.windows()]
        return rows, shard.person("p0").status[...].tolist()


def test_seal_joins_parts_and_failures(tmp_path):
    folder, header = FeaturesFolder(tmp_path), make_header(make_movie("a"), 10, window_frames=4)
    writer = WriteWorker(tmp_path)
    for index in (0, 2):
        assert writer.write(window_of(header, index)) > 0
    writer.write(window_of(header, 2))  # a repeated call leaves one
    seconds, found = writer.seal(header, {1: ("model", "worker lost")})
    assert seconds > 0 and found is not None and found.lost and found.undone
    assert found == Finished.of(FeaturesFolder(tmp_path).shard(header.movie_id))
    rows, status = shard_rows(folder)
    assert rows == [(0, True, "", ""), (1, False, "model", "worker lost"), (2, True, "", "")]
    assert status == [FrameStatus.MISSING] * 4 + [FrameStatus.FAILED] * 4 + [FrameStatus.MISSING] * 2
    assert not folder.parts("a").exists()


def test_a_shard_that_is_damaged_as_soon_as_it_was_written_is_not_known(tmp_path, monkeypatch):
    header = make_header(make_movie("a"), 6, window_frames=3)
    writer = WriteWorker(tmp_path)
    for index in (0, 1):
        writer.write(window_of(header, index))
    sound = writing.write_shard

    def torn(folder, header, load):
        sound(folder, header, load)
        path = folder.shard(header.movie_id)
        path.write_bytes(path.read_bytes()[:-100])

    monkeypatch.setattr(writing, "write_shard", torn)
    assert writer.seal(header, {})[1] is None


def test_a_retry_that_fails_keeps_what_was_there(tmp_path):
    folder, header = FeaturesFolder(tmp_path), make_header(make_movie("a"), 8, window_frames=4)
    writer = WriteWorker(tmp_path)
    writer.write(window_of(header, 0))
    writer.write(window_of(header, 1, FrameStatus.UNDECODABLE, "damaged"))
    writer.seal(header, {})
    writer.seal(header, {1: ("model", "worker lost")})
    rows, status = shard_rows(folder)
    assert rows == [(0, True, "", ""), (1, True, "decode", "damaged")]
    assert status == [FrameStatus.MISSING] * 4 + [FrameStatus.UNDECODABLE] * 4


def test_a_window_that_is_nowhere_stops_the_seal(tmp_path):
    header = make_header(make_movie("a"), 8, window_frames=4)
    writer = WriteWorker(tmp_path)
    writer.write(window_of(header, 0))
    with pytest.raises(KeyError):
        writer.seal(header, {})
    assert not FeaturesFolder(tmp_path).shard("a").exists()
    assert failed_window(header, 1, "model", "x").reason == "x"


# --- imports


def test_transformers_imports_beside_a_torchvision_that_does_not_fit():
    code = (
        "from rhas.extract.weights.torchvision_fix import ensure_importable as e; e(); e()\n"
        "import sys, torch; assert 'torchvision' in sys.modules; torch.ops.torchvision.nms\n"
        "from transformers import GroundingDinoForObjectDetection as G; print(G.__name__)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (run.returncode, run.stdout) == (0, "GroundingDinoForObjectDetection\n"), run.stderr


def test_torchvision_errors_of_another_kind_pass(tmp_path):
    package = tmp_path / "torchvision"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('something else')\n")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from rhas.extract.weights.torchvision_fix import ensure_importable; ensure_importable()"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert run.returncode == 1 and run.stderr.endswith("RuntimeError: something else\n")


def test_decoders_do_not_import_torch():
    code = "import sys; from rhas.extract.run import jobs, schedule, workers; print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert run.stdout == "False\n", run.stderr


def test_gpus_that_are_not_here_are_refused_before_ray_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the memory that eight GPUs get by default, Ray would end in an error of its own on a small machine."""
    from rhas.extract.run import ray_pool

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(ray_pool.ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray_pool, "_init", lambda **_: pytest.fail("Ray was started"))
    options = RunOptions(gpus=8, memory_bytes=default_memory_bytes(8))
    with (
        pytest.raises(InputError, match=r"--gpus: got 8: expected at most 0.*0 runs the models on CPUs"),
        ray_pool.ray_pool(load_config("mini"), options, tmp_path),
    ):
        pass
