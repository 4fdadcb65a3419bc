"""Sights of one shot to tracks: which of them are of the same person, by where they are and how they look.

Tracks go on from sample to sample. Each says where it expects its person, by its last boxes; what is seen is matched
with that by overlap, distance and look, so that the sum of worths is the highest (Kuhn 1955, as SORT does it, Bewley
et al. 2016, arXiv:1602.00763). What fits nobody well begins a track: two tracks of one person may still get one
sentence, one track of two persons can't get both.

Shapes: O sights, K tracks, F numbers of colours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rhas.extract.tracks.looks import unlike
from rhas.extract.tracks.sights import Sights
from rhas.extract.tracks.tracklets import tied

STEADY = 0.5  # share of the last movement that is expected to go on
AT_ONCE, A_SECOND = 0.25, 0.6  # heights that a person may be away: detector's error, and movement
UNLIKE = 20.0  # difference of colours that speaks against the same person
FITS = 0.25  # worth from which a sight may continue a track
_LOOK_KEPT = 0.7  # of a track's look, at each new sight


@dataclass
class _Track:
    sights: list[int]
    time_s: float
    box: NDArray[np.float64]
    speed: NDArray[np.float64] = field(default_factory=lambda: np.zeros(4))  # of its corners, a second
    look: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))

    def expected(self, time_s: float) -> NDArray[np.float64]:
        return self.box + STEADY * self.speed * (time_s - self.time_s)

    def add(self, sight: int, time_s: float, box: NDArray[np.float64], look: NDArray[np.float64]) -> None:
        centre = (box - self.box) / max(1e-6, time_s - self.time_s)
        # Left and right edges swing with arms and legs; the centre says where a person goes.
        moved = (centre[:2] + centre[2:]) / 2
        self.speed = np.r_[moved, moved]
        self.look = _LOOK_KEPT * self.look + (1 - _LOOK_KEPT) * look
        self.sights.append(sight)
        self.time_s, self.box = time_s, box


def tracks_of(
    sights: Sights,
    colours_O: NDArray[np.float64],
    time_s: NDArray[np.float64],
    shot: NDArray[np.int64],
    longest_gap_s: float,
) -> NDArray[np.int64]:
    """[O] the track of each sight, counted from 0 in the order in which they begin.

    `colours_O` [O, F]: how each looks; `time_s` [S] and `shot` [S]: of the samples that were looked at.
    """
    from scipy.optimize import linear_sum_assignment

    track_O = np.full(len(sights), -1)
    current: list[tuple[int, _Track]] = []
    begun = 0
    starts = np.searchsorted(sights.at, np.arange(len(sights.sample) + 1))
    for at in range(len(sights.sample)):
        own = range(starts[at], starts[at + 1])
        now = float(time_s[at])
        if at and shot[at] != shot[at - 1]:
            current = []
        current = [(k, track) for k, track in current if now - track.time_s <= longest_gap_s]
        worth = worth_of(
            [track for _, track in current],
            now,
            sights.box[own.start : own.stop],
            colours_O[own.start : own.stop],
        )
        if sights.track is not None:
            lasts = np.array([track.sights[-1] for _, track in current], np.int64)
            worth = tied(worth, sights.track[lasts], sights.track[own.start : own.stop])
        rows, columns = linear_sum_assignment(worth, maximize=True)
        for row, column in zip(rows, columns, strict=True):
            if worth[row, column] >= FITS:
                k, track = current[row]
                o = own[column]
                track.add(o, now, sights.box[o], colours_O[o])
                track_O[o] = k
        for o in own:
            if track_O[o] < 0:
                track_O[o] = begun
                current.append((begun, _Track([o], now, sights.box[o], look=colours_O[o])))
                begun += 1
    return track_O


def worth_of(
    tracks: Sequence[_Track], time_s: float, box_N4: NDArray[np.float64], colours_NF: NDArray[np.float64]
) -> NDArray[np.float64]:
    """[K, N] how well each sight continues each track."""
    if not tracks or not len(box_N4):
        return np.zeros((len(tracks), len(box_N4)))
    expected_K4 = np.stack([track.expected(time_s) for track in tracks])
    gone_s = np.array([time_s - track.time_s for track in tracks])[:, None]
    return continues(expected_K4, np.stack([track.look for track in tracks]), box_N4, colours_NF, gone_s)


def continues(
    from_K4: NDArray[np.float64], colours_KF: NDArray[np.float64],
    to_N4: NDArray[np.float64], colours_NF: NDArray[np.float64], gone_s: NDArray[np.float64] | float,
) -> NDArray[np.float64]:  # fmt: skip
    """[K, N] from 0 to 1: nearness times likeness of boxes that are `gone_s` apart (a number, or [K, 1])."""
    size_K, size_N = (np.maximum(1e-6, box[:, 3] - box[:, 1]) for box in (from_K4, to_N4))
    # In heights of the person: on whatever part of the picture they are.
    away = np.linalg.norm(_centre(from_K4)[:, None] - _centre(to_N4)[None], axis=-1) / size_K[:, None]
    near = np.exp(-0.5 * (away / (AT_ONCE + A_SECOND * gone_s)) ** 2)
    as_high = np.exp(-np.abs(np.log(size_N[None] / size_K[:, None])))
    apart = unlike(colours_KF[:, None], colours_NF[None])
    return near * as_high * np.exp(-0.5 * (apart / UNLIKE) ** 2)


def _centre(box_N4: NDArray[np.float64]) -> NDArray[np.float64]:
    return (box_N4[:, :2] + box_N4[:, 2:]) / 2
