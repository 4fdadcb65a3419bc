"""Movies and their windows in memory: bounds, who is promised where, digests, and the tally of statuses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from feature_folders import make_movie, make_window
from hypothesis import given
from hypothesis import strategies as st

from rhas.manifests.shards.format import SERIES, failed_window
from rhas.manifests.shards.statistics import Tally
from rhas.manifests.shards.status import FrameStatus


def test_bounds_cover_the_movie_and_windows_hold_who_is_promised() -> None:
    header = make_movie(samples=20, window_frames=8)  # p2 in [0.8, 1.4) s: samples 8 to 13
    assert header.bounds() == [(0, 8), (8, 16), (16, 20)]
    who = {index: [p.person_id for p in persons] for index, persons in header.planned().items()}
    assert who == {0: ["p1"], 1: ["p1", "p2"], 2: ["p1"]}
    assert header.inside(header.persons[1]).nonzero()[0].tolist() == [8, 9, 10, 11, 12, 13]
    assert len({header.window_id(index) for index in range(3)}) == 3


def test_a_failed_window_says_so_where_somebody_was_promised() -> None:
    header = make_movie(samples=20, window_frames=8)
    window = failed_window(header, 1, "decode", "gone")
    assert (window.start, window.stop, window.stage, window.reason) == (8, 16, "decode", "gone")
    assert not window.done
    failed, outside = FrameStatus.FAILED, FrameStatus.OUTSIDE
    assert window.persons["p1"].status.tolist() == [failed] * 8
    assert window.persons["p2"].status.tolist() == [failed] * 6 + [outside] * 2
    assert np.isnan(window.persons["p2"].holistic).all()
    assert make_window(header, 1).done


@pytest.mark.parametrize(
    ("given_text", "kept"),
    [("a\nb\r\nc", "a b c"), ("a\0b", "a b"), ("caf\udce9 é", "caf é"), (" ", ""), ("“so”, 中", "“so”, 中")],
)
def test_reasons_are_kept_as_one_line(given_text: str, kept: str) -> None:
    assert failed_window(make_movie(), 0, "decode", given_text).reason == kept


def test_digest_changes_with_every_part_of_a_window() -> None:
    header = make_movie()
    window = make_window(header, 2)
    person_id, rows = next(iter(window.persons.items()))
    others = [
        replace(window, window_id="x"),
        replace(window, stage="x"),
        replace(window, reason="x"),
        replace(window, decoder_messages=7),
        replace(window, persons={k: v for k, v in window.persons.items() if k != person_id}),
    ]
    for name in SERIES:
        array = getattr(rows, name).copy()
        array.view(np.uint8).flat[-1] ^= 1
        others.append(replace(window, persons={**window.persons, person_id: replace(rows, **{name: array})}))
    assert len({w.digest() for w in (window, *others)}) == 1 + len(others)
    assert make_window(header, 2).digest() == window.digest()


@given(st.lists(st.lists(st.sampled_from(list(FrameStatus)), max_size=30), max_size=5))
def test_promised_is_written_and_missing_and_lost(persons: list[list[FrameStatus]]) -> None:
    tallies = [Tally.of(np.array(statuses, np.uint8)) for statuses in persons]
    total = Tally.sum(tallies)
    every = [status for statuses in persons for status in statuses]
    promised = [status for status in every if status != FrameStatus.OUTSIDE]
    assert total.promised == total.written + total.missing + total.lost == len(promised)
    written = (FrameStatus.DETECTED, FrameStatus.FOLLOWED, FrameStatus.IMPORTED, FrameStatus.DOUBTFUL,
               FrameStatus.TRACKED)  # fmt: skip
    assert total.written == sum(map(every.count, written))
    assert total.missing == every.count(FrameStatus.MISSING)
    assert total.lost == every.count(FrameStatus.UNDECODABLE) + every.count(FrameStatus.FAILED)
    assert all(total[status] == promised.count(status) for status in FrameStatus)
