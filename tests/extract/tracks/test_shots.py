"""Cuts in series whose cuts are known, and in a made movie."""

from __future__ import annotations

import numpy as np

from rhas.extract.decode.thumbnails import changes, difference
from rhas.extract.tracks.shots import cuts, shot_of
from rhas.pipeline.world import HELD_OUT
from rhas.pipeline.world.lives.layers import FPS
from rhas.pipeline.world.movie import MadeMovie

ALWAYS = np.ones(12, bool)


def series(**at: float) -> np.ndarray:
    change = np.full(12, 3.0)
    change[0] = np.nan
    for name, value in at.items():
        change[int(name[1:])] = value
    return change


def test_a_change_that_stands_alone_is_a_cut() -> None:
    assert cuts(series(_4=30.0, _9=12.0), ALWAYS, 8.0).tolist() == [4, 9]


def test_a_change_that_lasts_is_a_movement() -> None:
    assert cuts(series(_4=20.0, _5=21.0, _6=19.0, _7=20.0), ALWAYS, 8.0).tolist() == []


def test_small_changes_are_no_cuts_however_still_it_is() -> None:
    assert cuts(np.where(np.arange(12) == 6, 7.9, 0.1), ALWAYS, 8.0).tolist() == []


def test_behind_what_nobody_asked_for_a_shot_begins() -> None:
    promised = ALWAYS.copy()
    promised[5:8] = False
    # What the picture did meanwhile, some window may have seen or not.
    for unseen in (np.nan, 90.0):
        change = series(_5=unseen, _6=unseen, _7=unseen, _8=unseen)
        assert cuts(change, promised, 8.0).tolist() == [8]


def test_samples_know_their_shot() -> None:
    assert shot_of(np.array([0, 3, 4, 8, 9, 11]), np.array([4, 9])).tolist() == [0, 0, 1, 1, 2, 2]


def test_changes_skip_what_was_not_decoded() -> None:
    pixels = np.zeros((5, 48, 80, 3), np.uint8)
    pixels[3:] = 100
    ok = np.array([False, True, False, True, True])
    pixels[~ok] = 0
    found = changes(pixels, ok)
    np.testing.assert_array_equal(found.change, [np.nan, np.nan, np.nan, 100, 0])
    assert difference(*found.ends) == 100
    assert len(changes(pixels, np.zeros(5, bool)).ends) == 0


def test_the_cuts_of_made_movies_are_found() -> None:
    step, missed, invented, there = FPS // 5, 0, 0, 0
    for number in range(2):
        movie = MadeMovie.made(HELD_OUT, 9, number, seconds=(20, 24))
        pixels = np.stack([movie.picture(frame).image for frame in range(0, movie.frames, step)])
        always = np.ones(len(pixels), bool)
        found = set(cuts(changes(pixels, always).change, always, 8.0).tolist())
        true = {-(-shot.start // step) for shot in movie.shots[1:]}
        missed, invented, there = missed + len(true - found), invented + len(found - true), there + len(true)
    assert there >= 3 and missed <= 1 and invented <= 1
