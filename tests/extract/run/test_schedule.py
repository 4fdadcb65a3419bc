"""The scheduler on a pool without processes: what must hold for any movies, workers, orders and faults."""

import random
from collections import Counter
from itertools import pairwise

import pytest
from fake_pool import FRAME_BYTES, FakePool, make_header, make_movie
from hypothesis import given, settings
from hypothesis import strategies as st

from rhas.extract.config import DecodeConfig, DetectorConfig, ExtractConfig, RunOptions
from rhas.extract.decode.process import DecodeError
from rhas.extract.run.jobs import ENCODING, HOPELESS_AFTER, LOOKING, MovieJob, one_line, spans_of
from rhas.extract.run.pool import Pauses, WorkerUnfit
from rhas.extract.run.progress import Progress
from rhas.extract.run.schedule import NobodyThere, Scheduler, WriteFailed
from rhas.extract.run.workers import ReadReport
from rhas.manifests.common.errors import InputError, Problem, RhasError

WINDOW = 4
LEAD = 2


def run(pool, movies, *, finished=None, open_movie=None, memory_bytes=1 << 40, **options):
    """Runs `movies` through `pool`; returns the progress. `finished`: windows by movie that need no work."""
    detector = DetectorConfig(follow_frames=LEAD)
    config = ExtractConfig(decode=DecodeConfig(window_frames=WINDOW), detector=detector)
    progress = Progress()
    progress.now.movies = len(movies)
    pool.memory_bytes = memory_bytes

    def opened(movie, index, grid):
        header = make_header(movie, index.facts.frames, WINDOW)
        return MovieJob(header, set(header.planned()) - (finished or {}).get(movie.movie_id, set()), ENCODING)

    scheduler = Scheduler(
        pool, config, RunOptions(memory_bytes=memory_bytes, **options), progress, open_movie or opened
    )
    scheduler.run(iter(movies))
    assert (scheduler.bytes_in_flight, scheduler.unwritten, scheduler.open_movies) == (0, 0, 0)
    # Every worker is free, or about to say that it is there (again).
    workers = len(pool.decoders) + len(pool.models)
    assert len(scheduler.idle) + len(scheduler.there) + len(scheduler.awaited) == workers
    assert set(scheduler.load.values()) == {0}
    return progress


def two_passes(movie, index, grid):
    header = make_header(movie, index.facts.frames, WINDOW)
    return first_pass(header, set(header.planned()), True)


def first_pass(header, todo, two):
    """The one pass of a movie, or the first of two: what that fails, the second doesn't try."""
    if not two:
        return MovieJob(header, todo, ENCODING)
    return MovieJob(
        header,
        set(todo),
        LOOKING,
        then=lambda failed: MovieJob(header, todo - failed.keys(), ENCODING, failed=dict(failed)),
    )


def calls(pool, method):
    return [(worker, movie_id, window) for worker, m, movie_id, window in pool.log if m == method]


def windows_of(frames):
    return set(range(-(-frames // WINDOW)))


# --- everything at once


@st.composite
def situations(draw):
    movies = draw(st.lists(st.integers(1, 40), min_size=0, max_size=6))
    share = st.sampled_from([0.0, 0.0, 0.1, 0.5, 1.0])
    return {
        "movies": {f"f{i}": frames for i, frames in enumerate(movies)},
        "persons": [
            draw(st.lists(st.tuples(st.integers(0, 45), st.integers(1, 45)), min_size=1, max_size=3)) for _ in movies
        ],
        "unprobeable": draw(st.sets(st.sampled_from([f"f{i}" for i in range(6)]), max_size=2)),
        "unopenable": draw(st.sets(st.sampled_from([f"f{i}" for i in range(6)]), max_size=2)),
        "deadly": draw(st.sets(st.sampled_from([f"f{i}" for i in range(6)]), max_size=2)),
        "finished": {f"f{i}": draw(st.sets(st.integers(0, 9), max_size=5)) for i in range(len(movies))},
        "passes": draw(st.integers(1, 2)),
        "lose": {m: draw(share) for m in ("probe", "read", "look", "encode")},
        "raise": {m: draw(share) for m in ("read", "look", "encode")},
        "writer_losses": draw(st.integers(0, 2)),
        "decoders": draw(st.integers(1, 4)),
        "models": draw(st.integers(1, 3)),
        "writers": draw(st.integers(1, 3)),
        "memory_bytes": draw(st.sampled_from([1 << 20, 8 * FRAME_BYTES, 13 * FRAME_BYTES, 1 << 40])),
        "span_windows": draw(st.integers(1, 5)),
        "attempts": draw(st.integers(1, 3)),
        "seed": draw(st.integers(0, 1 << 20)),
    }  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(situations())
def test_every_window_is_written_or_recorded_and_every_movie_sealed_or_failed(case):
    chance = random.Random(case["seed"])
    written_and_lost: Counter = Counter()
    raised = {}
    writer_losses = min(case["writer_losses"], case["attempts"] - 1)

    def fault(method, movie_id, window):
        nonlocal writer_losses
        if method == "probe" and movie_id in case["unprobeable"]:
            return DecodeError("not a movie")
        if chance.random() < case["lose"].get(method, 0):
            return "lost"
        if method in ("write", "link", "seal") and writer_losses and chance.random() < 0.3:
            writer_losses -= 1
            late = method == "write" and chance.random() < 0.5
            written_and_lost[movie_id, window] += late
            return "lost late" if late else "lost"
        if method == "read" and movie_id in case["deadly"]:
            return ReadReport(0, WINDOW, "killed", True, 0.0)
        if chance.random() < case["raise"].get(method, 0):
            raised[movie_id, window] = method
            return DecodeError("gone") if method == "read" else ValueError("odd")
        return None

    movies = [
        make_movie(movie_id, [(a, a + n) for a, n in persons])
        for movie_id, persons in zip(case["movies"], case["persons"], strict=True)
    ]
    pool = FakePool(
        case["movies"], [f"d{i}" for i in range(case["decoders"])], [f"m{i}" for i in range(case["models"])],
        seed=case["seed"], fault=fault, writers=[f"w{i}" for i in range(case["writers"])],
    )  # fmt: skip

    def open_movie(movie, index, grid):
        if movie.movie_id in case["unopenable"]:
            pool.open -= 1
            raise FileNotFoundError(2, "No such file or directory")
        header = make_header(movie, index.facts.frames, WINDOW)
        return first_pass(
            header, set(header.planned()) - case["finished"][movie.movie_id], case["passes"] == 2
        )

    names = ("memory_bytes", "span_windows", "attempts")
    progress = run(pool, movies, open_movie=open_movie, **{name: case[name] for name in names})

    assert not pool.sealed.keys() & progress.failed_movies.keys()
    assert pool.sealed.keys() | progress.failed_movies.keys() == case["movies"].keys()
    assert pool.most_open <= 2 * case["decoders"]
    writers = {(movie_id, worker) for worker, _, movie_id, _ in pool.log if worker.startswith("w")}
    assert len(writers) == len({movie_id for movie_id, _ in writers})  # each movie has one
    planned = 0
    for movie in movies:
        movie_id = movie.movie_id
        if movie_id in progress.failed_movies:
            stage, reason = progress.failed_movies[movie_id]
            assert stage == "probe"
            if reason == f"worker lost ({case['attempts']} attempts)":
                assert pool.losses[movie_id, -1] == case["attempts"]
            elif reason == "not a movie":
                assert movie_id in case["unprobeable"]
            else:
                assert reason == "FileNotFoundError: [Errno 2] No such file or directory"
                assert movie_id in case["unopenable"]
            continue
        todo = (
            set(make_header(movie, case["movies"][movie_id], WINDOW).planned()) - case["finished"][movie_id]
        )
        planned += len(todo)
        failed = pool.sealed[movie_id]
        written = {window for m, window in pool.written if m == movie_id}
        assert written | failed.keys() == todo
        for window in todo:
            surplus = written_and_lost[movie_id, window]
            assert pool.written[movie_id, window] == (window not in failed) + surplus
        for window, (stage, reason) in failed.items():
            if reason.startswith("gave up"):
                assert (stage, movie_id in case["deadly"]) == ("decode", True)
            elif stage == "decode" and reason == "gone":
                assert raised[movie_id, window] == "read"
            elif stage == "model" and reason == "ValueError: odd":
                assert raised[movie_id, window] in ("look", "encode")
            else:
                assert reason == f"worker lost ({case['attempts']} attempts)"
                # Those that a first pass got over are counted with it.
                assert (
                    case["attempts"] <= pool.losses[movie_id, window] < case["attempts"] * case["passes"] + 1
                )
                assert stage in ("decode", "model", "write")
        if case["passes"] == 2:
            seen = {window for m, window in pool.seen if m == movie_id}
            assert written <= seen and todo - seen == pool.linked[movie_id].keys() <= failed.keys()
    now = progress.now
    assert (now.windows, now.windows_done + now.windows_failed) == (planned, planned)
    assert (now.movies_done, now.movies_failed) == (len(pool.sealed), len(progress.failed_movies))
    assert now.frames == now.frames_done


# --- single promises


def test_one_decoder_reads_movie_by_movie_in_ascending_windows():
    pool = FakePool({"a": 20, "b": 9})
    run(pool, [make_movie("a"), make_movie("b")], span_windows=2)
    reads = [(movie_id, window) for _, movie_id, window in calls(pool, "read")]
    assert reads == [("a", i) for i in range(5)] + [("b", i) for i in range(3)]
    assert pool.written == dict.fromkeys(reads, 1)
    assert pool.sealed == {"a": {}, "b": {}}


@pytest.mark.parametrize("seed", range(5))
def test_idle_decoders_share_the_last_span(seed):
    pool = FakePool({"a": 16 * WINDOW}, ["d0", "d1", "d2", "d3"], seed=seed)
    run(pool, [make_movie("a")], span_windows=32)
    by_decoder = {}
    for decoder, _, window in calls(pool, "read"):
        by_decoder.setdefault(decoder, []).append(window)
    assert sorted(w for windows in by_decoder.values() for w in windows) == list(range(16))
    assert len(by_decoder) == 4
    jumps = sum(b != a + 1 for w in by_decoder.values() for a, b in pairwise(w))
    assert jumps <= 4  # only spans of four windows and more are divided


def test_a_second_pass_begins_when_the_first_has_ended_and_leaves_out_what_that_failed():
    fault = {("look", 1): ValueError("odd")}
    pool = FakePool({"a": 12, "b": 8}, ["d0", "d1"], fault=lambda m, movie_id, w: fault.get((m, w)))
    movies = [make_movie("a"), make_movie("b")]
    progress = run(pool, movies, open_movie=two_passes)
    for movie_id, rest in (("a", {0, 2}), ("b", {0})):
        order = [(method, window) for _, method, m, window in pool.log if m == movie_id]
        link = order.index(("link", -1))
        assert all(
            (method == "look") == (i < link)
            for i, (method, _) in enumerate(order)
            if method in ("look", "encode")
        )
        assert {window for method, window in order if method == "encode"} == rest
        assert pool.sealed[movie_id] == pool.linked[movie_id] == {1: ("model", "ValueError: odd")}
    assert (progress.now.windows, progress.now.windows_done, progress.now.windows_failed) == (5, 3, 2)


def test_a_movie_that_can_not_be_linked_does_not_stop_the_others():
    pool = FakePool(
        {"a": 8, "b": 8},
        fault=lambda m, movie_id, _: ValueError("odd") if (m, movie_id) == ("link", "a") else None,
    )
    progress = run(pool, [make_movie("a"), make_movie("b")], open_movie=two_passes)
    assert progress.failed_movies == {"a": ("link", "ValueError: odd")} and pool.sealed == {"b": {}}


def test_a_disk_that_is_full_of_tracks_stops_the_run():
    pool = FakePool(
        {"a": 8}, fault=lambda m, *_: OSError(28, "No space left on device") if m == "link" else None
    )
    with pytest.raises(WriteFailed, match="No space left"):
        run(pool, [make_movie("a")], open_movie=two_passes)


def test_spans_are_consecutive_unfinished_windows():
    header = make_header(make_movie("a", [(0, 12), (8, 30)]), 30, WINDOW)
    config = ExtractConfig(detector=DetectorConfig(follow_frames=LEAD))
    spans = spans_of(MovieJob(header, {0, 1, 2, 5, 6, 7}, ENCODING), config, 2)
    assert [[job.task.index for job in span] for span in spans] == [[0, 1], [2], [5, 6], [7]]
    persons = [tuple(p.person_id for p in job.task.persons) for span in spans for job in span]
    assert persons == [("p0",), ("p0",), ("p0", "p1"), ("p1",), ("p1",), ("p1",)]


def test_joint_windows_hold_all_persons():
    header = make_header(make_movie("a", [(0, 4), (8, 30)]), 30, WINDOW)
    config = ExtractConfig(detector=DetectorConfig(joint=True, follow_frames=LEAD))
    (span,) = spans_of(
        MovieJob(header, {0, 1}, ENCODING), config, 9
    )  # nobody is in window 1: asked for nonetheless
    assert [[p.person_id for p in job.task.persons] for job in span] == [["p0", "p1"]] * 2
    assert [mask.any() for mask in span[1].task.inside] == [True, False]  # the lead-in holds p0


def test_windows_larger_than_the_budget_go_one_by_one():
    pool = FakePool({"a": 40}, ["d0", "d1", "d2"], ["m0", "m1"])
    run(pool, [make_movie("a")], memory_bytes=1 << 20, span_windows=2)
    assert pool.written == {("a", i): 1 for i in range(10)}


def test_a_lost_window_gets_through_a_tight_budget():
    deaths = {("read", 1): 1, ("encode", 3): 2}

    def fault(method, movie_id, window):
        if deaths.get((method, window), 0):
            deaths[method, window] -= 1
            return "lost"
        return None

    pool = FakePool({"a": 40}, ["d0", "d1"], fault=fault)
    run(pool, [make_movie("a")], memory_bytes=1 << 20)
    assert pool.written == {("a", i): 1 for i in range(10)}
    assert pool.sealed == {"a": {}}


@pytest.mark.parametrize(
    ("method", "stage", "asked"),
    [("read", "decode", 3), ("encode", "model", 3), ("write", "write", 6)],  # each window twice to the writer
)
def test_a_window_that_always_loses_its_worker_is_recorded(method, stage, asked):
    pool = FakePool({"a": 12}, fault=lambda m, _, window: "lost" if (m, window) == (method, 1) else None)
    progress = run(pool, [make_movie("a")], attempts=3, memory_bytes=1 << 20)  # one window at a time
    assert pool.sealed == {"a": {1: (stage, "worker lost (3 attempts)")}}
    assert [w for _, _, w in calls(pool, method)].count(1) == asked
    assert (progress.now.windows_done, progress.now.windows_failed) == (2, 1)


def test_a_window_whose_writer_was_lost_is_not_computed_again():
    lost = iter([True])
    pool = FakePool(
        {"a": 6},
        fault=lambda m, _, window: "lost" if (m, window) == ("write", 1) and next(lost, False) else None,
    )
    run(pool, [make_movie("a")], attempts=3)
    assert pool.sealed == {"a": {}}
    assert [w for _, _, w in calls(pool, "encode")].count(1) == 1
    assert [w for _, _, w in calls(pool, "write")].count(1) == 2


def test_errors_of_a_window_concern_it_alone_and_are_not_repeated():
    errors = {("read", 0): DecodeError("no file"), ("encode", 2): RuntimeError("first\nsecond")}
    pool = FakePool({"a": 12}, fault=lambda method, _, window: errors.get((method, window)))
    run(pool, [make_movie("a")])
    assert pool.sealed == {"a": {0: ("decode", "no file"), 2: ("model", "RuntimeError: first")}}
    assert pool.written == {("a", 1): 1}
    assert len(calls(pool, "read")) == 3


def test_a_movie_that_cant_be_probed_or_opened_does_not_stop_the_others():
    def open_movie(movie, index, grid):
        if movie.movie_id == "vanished":
            raise FileNotFoundError(2, "No such file or directory", "/movies/vanished")
        header = make_header(movie, index.facts.frames, WINDOW)
        return MovieJob(header, set(header.planned()), ENCODING)

    pool = FakePool({"vanished": 8, "good": 8}, ["d0", "d1"])
    movies = [make_movie(name) for name in ("absent", "vanished", "good")]
    progress = run(pool, movies, open_movie=open_movie)
    assert progress.failed_movies == {
        "absent": ("probe", "no such movie"),
        "vanished": ("probe", "FileNotFoundError: [Errno 2] No such file or directory: '/movies/vanished'"),
    }
    assert pool.sealed == {"good": {}}


def test_a_movie_that_only_kills_decoders_is_given_up():
    def fault(method, movie_id, window):
        return (
            ReadReport(0, WINDOW, "made no progress", True, 9.0)
            if (method, movie_id) == ("read", "bad")
            else None
        )

    pool = FakePool({"bad": 80, "good": 8}, fault=fault)
    run(pool, [make_movie("bad"), make_movie("good")])
    read = [w for _, movie_id, w in calls(pool, "read") if movie_id == "bad"]
    assert read == list(range(HOPELESS_AFTER))
    reason = "gave up after 3 windows in a row without a frame: made no progress"
    assert pool.sealed["bad"] == dict.fromkeys(range(HOPELESS_AFTER, 20), ("decode", reason))
    assert pool.sealed["good"] == {}
    assert sorted(w for movie_id, w in pool.written if movie_id == "bad") == read  # as undecodable


def test_a_movie_that_gives_some_frames_is_not_given_up():
    def fault(method, movie_id, window):
        return ReadReport(int(window % 3 == 2), WINDOW, "slow", True, 9.0) if method == "read" else None

    pool = FakePool({"a": 80}, fault=fault)
    run(pool, [make_movie("a")])
    assert pool.sealed == {"a": {}} and len(pool.written) == 20


def test_nothing_to_do_still_seals():
    pool = FakePool({"empty": 8, "finished": 8}, ["d0", "d1", "d2"])
    movies = [make_movie("empty", [(100, 200)]), make_movie("finished")]
    progress = run(pool, movies, finished={"finished": {0, 1}})
    assert pool.sealed == {"empty": {}, "finished": {}}
    assert calls(pool, "read") == [] and progress.now.movies_done == 2
    assert run(FakePool({}), []).now.windows == 0


@pytest.mark.parametrize("method", ["write", "seal"])
def test_a_full_disk_stops_the_run(method):
    error = OSError(28, "No space left on device")
    pool = FakePool({"a": 40}, fault=lambda m, *_: error if m == method else None)
    with pytest.raises(WriteFailed, match=r"OSError: \[Errno 28\] No space left on device") as caught:
        run(pool, [make_movie("a")])
    assert isinstance(caught.value, RhasError) and caught.value.exit_code == 1


def test_a_writer_that_always_dies_sealing_stops_the_run():
    pool = FakePool({"a": 4}, fault=lambda method, *_: "lost" if method == "seal" else None)
    with pytest.raises(WriteFailed, match=r"worker lost \(2 attempts\)"):
        run(pool, [make_movie("a")], attempts=2)
    assert len(calls(pool, "seal")) == 2


def test_a_slow_writer_holds_the_models_back():
    pool = FakePool({"a": 200}, ["d0", "d1"], ["m0", "m1"], slow=["writer"])
    run(pool, [make_movie("a")])
    # Two for each model at the writer, and two for each model that were under way by then.
    assert 4 <= pool.most_unwritten <= 8
    assert len(pool.written) == 50


def test_few_movies_are_open_at_once():
    movies = {f"f{i}": 4 for i in range(30)}
    pool = FakePool(movies, ["d0", "d1"], slow=["m0", "writer"])
    run(pool, [make_movie(name) for name in movies])
    assert pool.most_open == 4
    assert pool.sealed == {name: {} for name in movies}


def test_reasons_are_one_line():
    assert one_line(DecodeError("decoder died\ntrace")) == "decoder died"
    assert one_line(ValueError("  bad\nworse")) == "ValueError: bad"
    assert one_line(MemoryError()) == "MemoryError"
    assert one_line(DecodeError("")) == "DecodeError"
    assert len(one_line(ValueError("x" * 9999))) == 500 + len("ValueError: ")


# --- workers that come and go


def test_a_worker_whose_node_is_gone_is_not_waited_for():
    gone = set()

    def fault(method, movie_id, window):
        if method == "encode" and window == 1 and not gone:
            gone.update({"m1", "d1"})
            return "lost"
        return None

    pool = FakePool({"a": 60, "b": 40}, ("d0", "d1"), ("m0", "m1"), fault=fault, slow=("m0",))
    pool.absent = lambda worker: worker in gone
    run(pool, [make_movie("a"), make_movie("b")])
    assert pool.written.keys() == {(m, w) for m, n in pool.movies.items() for w in windows_of(n)}
    assert gone and pool.sealed == {"a": {}, "b": {}}


def test_a_worker_that_joins_late_gets_work():
    pool = FakePool({"a": 160}, ("d0", "d1"), ("m0", "m1"))
    pool.absent = lambda worker: worker in ("m1", "d1") and len(pool.written) < 8
    run(pool, [make_movie("a")])
    by = Counter(worker for worker, *_ in pool.log[len(pool.log) // 4 :])
    assert by["m1"] > 5 and by["d1"] > 3
    first = [worker for worker, method, *_ in pool.log if method == "encode"][:8]
    assert set(first) == {"m0"}


def test_when_nobody_is_there_any_more_the_run_ends_with_what_it_has():
    pool = FakePool({"a": 60})
    pool.absent = lambda worker: worker != "writer" and len(pool.written) >= 5
    with pytest.raises(NobodyThere, match="a rerun goes on from here"):
        run(pool, [make_movie("a")], patience_s=0.2)
    assert len(pool.written) >= 5


def test_a_worker_with_other_weights_is_refused():
    def welcome(described):
        if described == "m1":
            raise InputError(Problem("m1", "the same weights"))

    config = ExtractConfig(decode=DecodeConfig(window_frames=WINDOW))
    pool = FakePool({"a": 60}, models=("m0", "m1"))
    scheduler = Scheduler(pool, config, RunOptions(), Progress(), lambda *_: None, welcome)
    with pytest.raises(InputError, match="the same weights"):
        scheduler.run(iter([make_movie("a")]))


def test_a_worker_that_can_not_be_made_again_ends_the_run():
    """It was there once; the next process doesn't come up. Its windows are no movies' fault."""
    pool = FakePool({"a": 40}, fault=lambda method, *_: WorkerUnfit("no GPU") if method == "encode" else None)
    with pytest.raises(WorkerUnfit, match="no GPU"):
        run(pool, [make_movie("a")])
    assert not pool.sealed


def test_a_lost_worker_is_told_of_once_and_asked_again_after_growing_pauses(caplog):
    pauses = Pauses()
    assert [pauses.lost("m0", "worker lost") for _ in range(9)] == [0, 1, 2, 4, 8, 16, 32, 60, 60]
    assert [record.getMessage() for record in caplog.records] == ["m0: worker lost; asked again"]
    pauses.answered("m0")
    assert pauses.lost("m0", "worker lost") == 0 == pauses.lost("m1", "worker lost")
