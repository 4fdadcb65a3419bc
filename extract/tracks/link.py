"""A movie's tracks from what was seen of it: all steps in a row, on a CPU, the same every time.

In: the windows of pass one. Out: `MovieTracks`, with each person's box in every sample. The status says where a box
is from: `detected` and `followed` have one of the person's own sentence in that very frame, above the detector's
threshold or below it; `tracked` have that of the track, seen for another's sentence or between two sights; `doubtful`
are less sure than not. The score is how much speaks for the track being the person's, from 0 to 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from rhas.extract.config import ExtractConfig
from rhas.extract.tracks import assignment, interpolation, linking, looks, shots
from rhas.extract.tracks.sights import Sights, changes_of, together
from rhas.extract.tracks.tracklets import Tracklet, follow, with_tracklets
from rhas.manifests.shards.boxes import PersonBoxes, no_boxes
from rhas.manifests.shards.format import MovieHeader
from rhas.manifests.shards.seen import Seen
from rhas.manifests.shards.status import FrameStatus
from rhas.manifests.shards.tracks import MovieTracks


def link(
    header: MovieHeader,
    seen: Mapping[int, Seen],
    failed: Mapping[int, tuple[str, str]],
    config: ExtractConfig,
) -> MovieTracks:
    """`seen`: all windows with somebody in them but those that `failed`."""
    inside = np.array([header.inside(person) for person in header.persons])
    sights = together(seen, len(header.persons))
    decoded = np.zeros(len(header.time_s), bool)
    for window in seen.values():
        decoded[window.start : window.stop] = window.arrays["decoded"]
    change = changes_of(seen, len(header.time_s))
    first = shots.cuts(change, np.asarray(inside.any(axis=0)), config.tracks.cut)
    sights, tracklets = with_tracklets(sights, seen)
    rows = decide(sights, header.time_s, inside, first, config, tracklets)
    boxes = {}
    for person, own in zip(header.persons, rows, strict=True):
        lost = np.zeros(len(decoded), bool)
        for index in failed:
            lost[slice(*header.bound(index))] = True
        own = own.without(~decoded & ~lost)
        own.status[lost & (own.status != FrameStatus.OUTSIDE)] = FrameStatus.FAILED
        boxes[person.person_id] = own
    return MovieTracks(header.identity, header.window_frames, boxes, first, dict(seen), dict(failed))


def decide(
    sights: Sights,
    time_s: NDArray[np.float64],
    inside_PT: NDArray[np.bool_],
    cuts: NDArray[np.int64],
    config: ExtractConfig,
    tracklets: Sequence[Tracklet] = (),
) -> list[PersonBoxes]:
    """Each person's boxes in all T samples of the movie. `tracklets`: those that `sights.track` counts."""
    tracks, detector = config.tracks, config.detector
    shot_T = shots.shot_of(np.arange(len(time_s)), cuts)
    time_S, shot_S = time_s[sights.sample], shot_T[sights.sample]
    colours_O = looks.colours(sights.look)
    track_O = linking.tracks_of(sights, colours_O, time_S, shot_S, tracks.longest_gap_s)
    nothing = detector.lowest_threshold / 2
    worth_OP = assignment.worths(sights, colours_O, time_S, shot_S, detector.box_threshold, nothing)
    score_OP = 1 / (1 + np.exp(-worth_OP))
    asked_OP = inside_PT[:, sights.sample[sights.at]].T
    chosen_SP = assignment.given_out(sights, np.where(asked_OP, worth_OP, -1.0), len(inside_PT))
    return [
        _boxes(
            sights,
            chosen_SP[:, p],
            p,
            score_OP[:, p],
            track_O,
            time_s,
            inside_PT[p],
            shot_T,
            config,
            tracklets,
        )
        for p in range(len(inside_PT))
    ]


def _boxes(
    sights: Sights, chosen_S: NDArray[np.int64], person: int, score_O: NDArray[np.float64], track_O: NDArray[np.int64],
    time_s: NDArray[np.float64], inside_T: NDArray[np.bool_], shot_T: NDArray[np.int64], config: ExtractConfig,
    tracklets: Sequence[Tracklet],
) -> PersonBoxes:  # fmt: skip
    boxes = no_boxes(inside_T, FrameStatus.MISSING)
    found_S = chosen_S >= 0
    if not found_S.any():
        return boxes
    own_O4 = np.where(np.isnan(sights.own[:, person]), sights.box, sights.own[:, person])
    path = interpolation.path(time_s, sights.sample, found_S, shot_T, config.tracks.longest_gap_s)
    box_T4, score_T = path.between(own_O4[chosen_S]), path.between(score_O[chosen_S])
    if sights.track is not None:
        follow(box_T4, score_T, path, sights, chosen_S, tracklets)
    at = np.flatnonzero((path.left >= 0) & inside_T)
    boxes.box[at], boxes.score[at] = box_T4[at], score_T[at]
    boxes.status[at] = FrameStatus.TRACKED
    boxes.track[at] = track_O[chosen_S[path.left[at]]]
    for place in np.flatnonzero(found_S):
        t, o = sights.sample[place], chosen_S[place]
        if inside_T[t]:
            boxes.status[t] = _status(sights.score[o, person], config.detector.box_threshold)
            boxes.candidates[t] = np.searchsorted(sights.at, place + 1) - np.searchsorted(sights.at, place)
    for t in at:
        boxes.sure[t] = config.sure.of(FrameStatus(int(boxes.status[t])), float(boxes.score[t]))
    return boxes


def _status(score: float, threshold: float) -> FrameStatus:
    """Of a sight, by the score of the person's own sentence; 0: it has no box there."""
    if score == 0:
        return FrameStatus.TRACKED
    return FrameStatus.DETECTED if score >= threshold else FrameStatus.FOLLOWED
