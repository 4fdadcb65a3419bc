"""Sights to tracks, tracks to sentences: in made-up scenes whose truth is plain."""

from __future__ import annotations

import numpy as np
import pytest

from rhas.extract.tracks.assignment import given_out, worths
from rhas.extract.tracks.linking import tracks_of
from rhas.extract.tracks.looks import colours, unlike
from rhas.extract.tracks.sights import Sights

RED, BLUE, GREEN = (200, 30, 30), (30, 30, 200), (30, 180, 30)


def scene(rows: list[tuple[int, float, tuple[int, int, int], list[float]]], samples: int) -> Sights:
    """`rows`: sample, centre, colour and scores of each sight; persons are .1 wide and .4 high."""
    rows = sorted(rows, key=lambda row: row[0])
    centre = np.array([row[1] for row in rows])
    box = np.stack([centre - 0.05, np.full(len(rows), 0.3), centre + 0.05, np.full(len(rows), 0.7)], 1)
    score = np.array([row[3] for row in rows])
    own = np.where(score[..., None] > 0, box[:, None], np.nan)
    look = np.stack([np.broadcast_to(np.array(row[2], np.uint8), (12, 6, 3)) for row in rows])
    return Sights(np.arange(samples) * 2, np.array([row[0] for row in rows]), box, score, own, look)


def linked(sights: Sights, shot: np.ndarray, longest_gap_s: float = 1.5) -> np.ndarray:
    return tracks_of(sights, colours(sights.look), sights.sample / 5, shot, longest_gap_s)


def test_two_who_cross_keep_their_tracks() -> None:
    rows = [(t, 0.2 + 0.04 * t, RED, [0.9, 0.0]) for t in range(12)]
    rows += [(t, 0.64 - 0.04 * t, BLUE, [0.0, 0.9]) for t in range(12)]
    sights = scene(rows, 12)
    found = linked(sights, np.zeros(12, int))
    for colour in (RED, BLUE):
        own = found[(sights.look[:, 0, 0] == colour).all(axis=1)]
        assert len(set(own.tolist())) == 1
    assert len(set(found.tolist())) == 2


@pytest.mark.parametrize(("longest_gap_s", "tracks"), [(1.0, 2), (1.6, 1)])
def test_who_is_hidden_for_a_while_goes_on(longest_gap_s: float, tracks: int) -> None:
    rows = [(t, 0.3, RED, [0.9]) for t in range(10) if t not in (4, 5, 6)]  # 1.6 s between two sights
    assert linked(scene(rows, 10), np.zeros(10, int), longest_gap_s).max() + 1 == tracks


def test_no_track_goes_over_a_cut() -> None:
    rows = [(t, 0.3, RED, [0.9]) for t in range(6)]
    assert linked(scene(rows, 6), np.array([0, 0, 0, 1, 1, 1])).tolist() == [0, 0, 0, 1, 1, 1]


def given(sights: Sights, shot: np.ndarray) -> np.ndarray:
    worth = worths(sights, colours(sights.look), sights.sample / 5, shot, 0.5, 0.1)
    return given_out(sights, worth, sights.score.shape[1])


def test_a_path_goes_to_the_sentence_that_most_of_its_sights_speak_for() -> None:
    # In two samples of ten the wrong sentence has the higher score for the first of two persons.
    rows = [(t, 0.2, RED, [0.9, 0.1] if t % 5 else [0.4, 0.6]) for t in range(10)]
    rows += [(t, 0.7, BLUE, [0.1, 0.8]) for t in range(10)]
    sights = scene(rows, 10)
    chosen = given(sights, np.zeros(10, int))
    assert (sights.box[chosen[:, 0], 0] < 0.3).all() and (sights.box[chosen[:, 1], 0] > 0.5).all()


def test_nobody_is_given_what_nothing_speaks_for() -> None:
    sights = scene([(t, 0.2, RED, [0.15, 0.9]) for t in range(8)], 8)
    chosen = given(sights, np.zeros(8, int))
    assert (chosen[:, 0] == -1).all() and (chosen[:, 1] >= 0).all()


def test_looks_tell_who_it_is_behind_a_cut() -> None:
    """Behind the cut both sentences are as sure of both persons; before it they weren't."""
    shot = (np.arange(16) >= 10).astype(int)
    rows = [(t, 0.2, RED, [0.9, 0.1]) for t in range(10)] + [(t, 0.7, GREEN, [0.1, 0.9]) for t in range(10)]
    rows += [(t, 0.2, GREEN, [0.6, 0.6]) for t in range(10, 16)] + [
        (t, 0.7, RED, [0.6, 0.6]) for t in range(10, 16)
    ]
    sights = scene(rows, 16)
    chosen = given(sights, shot)[10:]
    assert (sights.look[chosen[:, 0], 0, 0] == RED).all() and (sights.look[chosen[:, 1], 0, 0] == GREEN).all()


def test_colours_are_those_of_the_middle() -> None:
    look = np.zeros((2, 12, 6, 3), np.uint8)
    look[:, :, 2:4] = RED
    look[1, :, :2], look[1, :, 4:] = BLUE, BLUE  # behind the person
    one, other = colours(look)
    assert unlike(one, other) == 0 and len(one) == 18
    assert colours(look[:0]).shape == (0, 18)
    look[1, :, 2:4] = GREEN
    assert unlike(*colours(look)) > 30
