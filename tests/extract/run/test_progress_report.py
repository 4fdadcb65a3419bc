from types import SimpleNamespace

import pytest
from fake_pool import make_header, make_movie

from rhas.extract.run.alone import Alone
from rhas.extract.run.progress import Progress, Snapshot
from rhas.extract.run.report import speed_report
from rhas.extract.run.workers import ModelReport


def header(movie_id="a", frames=10):
    return make_header(make_movie(movie_id), frames, window_frames=4)


# --- progress


def test_counts_follow_the_events():
    told = []
    progress = Progress(on_movie=lambda movie_id, _: told.append(movie_id))
    progress.now.movies = 3
    progress.movie_opened(header(), {0, 2})  # windows of 4 and 2 frames
    progress.movie_opened(header("b", 4), {0})
    now = progress.now
    assert (now.movies_opened, now.windows, now.frames, now.current) == (2, 3, 10, "b")
    progress.window_done(header(), 0)
    assert (now.windows_done, now.frames_done, now.current) == (1, 4, "a")
    progress.window_failed(header(), 2)
    assert (now.windows_failed, now.frames) == (1, 8)
    progress.movie_done(header())
    progress.movie_failed("c", "probe", "not a movie")
    assert (now.movies_done, now.movies_failed) == (1, 1)
    assert told == ["a", "c"]
    assert progress.failed_movies == {"c": ("probe", "not a movie")}


def test_stage_seconds_add_up():
    progress = Progress()
    progress.stage("decode", 1.5)
    progress.stage("decode", 0.5)
    progress.stage("write", 0.25)
    progress.models(ModelReport(frames=7, ground_s=2.0, encode_s=1.0, busy_s=3.5))
    progress.models(ModelReport(frames=3, ground_s=0.5, encode_s=0.25, busy_s=1.0))
    assert progress.stages == {"decode": 2.0, "ground": 2.5, "encode": 1.25, "write": 0.25}
    assert (progress.model_frames, progress.model_busy_s) == (10, 4.5)


def test_the_listener_is_told_a_few_times_a_second(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("rhas.extract.run.progress.time", SimpleNamespace(monotonic=lambda: clock[0]))
    seen = []
    progress = Progress(callback=lambda now: seen.append(now.elapsed_s))
    clock[0] = 5.0
    progress.start()
    for clock[0] in (5.0, 5.1, 5.2, 5.3, 5.5, 5.6):
        progress.tick()
    progress.tick(force=True)
    assert seen == pytest.approx([0.0, 0.3, 0.6, 0.6])
    assert progress.now.elapsed_s == pytest.approx(0.6)


# --- time left


def test_no_estimate_before_the_first_window():
    assert Snapshot(movies=3, movies_opened=1, frames=100).left_s is None
    assert Snapshot(movies=3, movies_opened=1, frames=100, elapsed_s=9.0).left_s is None


def test_movies_to_come_are_taken_to_be_like_those_opened():
    now = Snapshot(movies=4, movies_opened=2, frames=200, frames_done=50, elapsed_s=10.0)
    assert now.frames_per_s == 5.0
    assert now.left_s == (400 - 50) / 5.0


def test_skipped_and_failed_movies_are_not_waited_for():
    now = Snapshot(
        movies=10,
        movies_skipped=5,
        movies_failed=3,
        movies_opened=2,
        frames=200,
        frames_done=100,
        elapsed_s=10,
    )
    assert now.left_s == 10.0
    now.frames_done = 200
    assert now.left_s == 0.0


# --- report


QUIET = Alone(in_run_s=0.08, wall_s=0.064, cpu_s=0.05, waited=0.0)


def report(
    stages,
    frames=100,
    elapsed_s=10.0,
    decoders=2,
    models=1,
    busy_s=8.0,
    alone=(QUIET,),
):
    progress = Progress()
    progress.stages.update(stages)
    progress.now.elapsed_s = elapsed_s
    progress.now.frames_done = 999  # counts frames without anybody in them too
    progress.model_frames, progress.model_busy_s, progress.model_cpu_s = frames, busy_s, 7.0
    return speed_report(progress, SimpleNamespace(decoders=decoders, models=models), list(alone))


@pytest.mark.parametrize(
    ("stages", "limiting"),
    [
        ({"decode": 18.0, "ground": 4.0, "encode": 1.0, "write": 1.0}, "decode"),  # 90 % of two decoders
        ({"decode": 18.0, "ground": 5.0, "encode": 4.5, "write": 1.0}, "ground"),  # 95 % of one model worker
        ({"decode": 18.0, "ground": 4.5, "encode": 5.0, "write": 1.0}, "encode"),
        ({"decode": 18.0, "ground": 4.0, "encode": 1.0, "write": 9.5}, "write"),
    ],
)
def test_the_limiting_stage_is_the_busiest_for_its_workers(stages, limiting):
    assert report(stages)["limiting_stage"] == limiting


def test_numbers():
    found = report({"decode": 18.0, "ground": 4.0, "encode": 2.0, "write": 1.0})
    assert found == {
        "frames": 100,
        "looked_frames": 0,
        "elapsed_s": 10.0,
        "frames_per_s": 10.0,
        "stage_s": {"decode": 18.0, "ground": 4.0, "encode": 2.0, "write": 1.0},
        "workers": {"decoders": 2, "models": 1},
        "busy_share": {"decode": 0.9, "models": 0.6, "write": 0.1},
        "limiting_stage": "decode",
        "model_cpu_s_per_frame": 0.07,
        "models_alone_cpu_s_per_frame": 0.05,
        "models_alone_frames_per_s": 15.625,  # 100 frames in 8 s, 1.25 times as fast alone
        "share_of_models_alone": 0.64,
        "models_alone_note": "",
    }


@pytest.mark.parametrize(
    ("alone", "share", "note"),
    [
        (Alone(0.08, 0.064, 0.05, 0.09), 0.64, ""),
        (Alone(0.08, 0.064, 0.05, None), 0.64, ""),  # a kernel that keeps no account of waits
        (Alone(0.08, 0.064, 0.05, 0.4), None, "waited 40% of the time for a core"),
        (Alone(0.08, 0.104, 0.05, 0.0), 1.0, ""),  # 1.04 by rounding
        (Alone(0.08, 0.159, 0.05, 0.0), None, "slower alone than in the run"),
    ],
)
def test_a_busy_machine_gives_no_share(alone, share, note):
    found = report({}, alone=[alone])
    assert found["share_of_models_alone"] == share and note in found["models_alone_note"]
    assert (found["models_alone_frames_per_s"] is None) == (share is None)
    assert found["models_alone_cpu_s_per_frame"] == 0.05 and found["model_cpu_s_per_frame"] == 0.07
    assert bool(found["models_alone_note"]) == (share is None)


def test_more_workers_raise_the_ceiling():
    found = report(
        {"ground": 16.0}, models=2, busy_s=20.0, alone=[Alone(1.0, 1.0, 1.0), None, Alone(1.5, 1.0, 1.0)]
    )
    assert found["models_alone_frames_per_s"] == 12.5  # 5 frames/s each, 1.25 times
    assert found["share_of_models_alone"] == 0.8
    assert found["busy_share"]["models"] == 0.8


def test_a_run_without_work_has_no_rates():
    found = report({}, frames=0, busy_s=0.0, alone=[None])
    assert (found["limiting_stage"], found["frames_per_s"]) == (None, 0.0)
    assert found["models_alone_frames_per_s"] is None and found["share_of_models_alone"] is None
    assert report({}, frames=0, elapsed_s=0.0)["frames_per_s"] is None
