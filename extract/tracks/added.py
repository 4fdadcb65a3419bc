"""Where a person is of whom it is known, long after a movie was looked at, which of everybody's tracks are theirs.

In: everybody's tracks, the movie's tracks of those who were referred to, and which tracks are whose. Out: the movie's
tracks with somebody more. Boxes between two sights are found as for everybody else; the others stay as they are.

Shapes: T samples of the movie, S of them looked at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from rhas.extract.config import ExtractConfig
from rhas.extract.tracks import interpolation, shots
from rhas.manifests.shards.boxes import PersonBoxes, no_boxes
from rhas.manifests.shards.format import MovieHeader
from rhas.manifests.shards.people import People
from rhas.manifests.shards.seen import seen_id
from rhas.manifests.shards.status import FrameStatus
from rhas.manifests.shards.tracks import MovieTracks
from rhas.manifests.tables.manifest import Person

Whose = Sequence[tuple[int, float]]  # tracks, the surest first, and how sure each is


def with_added(
    tracks: MovieTracks,
    people: People,
    whose: Mapping[str, Whose],
    header: MovieHeader,
    config: ExtractConfig,
) -> MovieTracks:
    """`header`: of the movie with everybody; `whose`: by new person."""
    boxes = {
        person.person_id: boxes_of(person, whose[person.person_id], people, tracks, header, config)
        if person.person_id in whose
        else tracks.boxes[person.person_id]
        for person in header.persons
    }
    seen = {index: replace(own, window_id=seen_id(header, index)) for index, own in tracks.seen.items()}
    return replace(tracks, identity=header.identity, boxes=boxes, seen=seen)


def boxes_of(
    person: Person,
    whose: Whose,
    people: People,
    tracks: MovieTracks,
    header: MovieHeader,
    config: ExtractConfig,
) -> PersonBoxes:
    inside_T = header.inside(person)
    boxes = no_boxes(inside_T, FrameStatus.MISSING)
    sample_S = np.concatenate([tracks.seen[index].arrays["sample"] for index in sorted(tracks.seen)])
    box_S4, score_S = np.full((len(sample_S), 4), np.nan), np.full(len(sample_S), np.nan)
    arrays = people.arrays
    for track, score in whose:
        own = np.flatnonzero(arrays["track"] == track)
        at = np.searchsorted(sample_S, arrays["sample"][own])
        free = np.isnan(score_S[at])  # where somebody surer is, they are
        box_S4[at[free]], score_S[at[free]] = arrays["box"][own[free]], score
    shot_T = shots.shot_of(np.arange(len(header.time_s)), tracks.cuts)
    gap_s = config.tracks.longest_gap_s
    path = interpolation.path(header.time_s, sample_S, ~np.isnan(score_S), shot_T, gap_s)
    box_T4, score_T = path.between(np.nan_to_num(box_S4)), path.between(np.nan_to_num(score_S))
    at_T = np.flatnonzero((path.left >= 0) & inside_T)
    boxes.box[at_T], boxes.score[at_T], boxes.status[at_T] = box_T4[at_T], score_T[at_T], FrameStatus.TRACKED
    for t in at_T:
        boxes.sure[t] = config.sure.of(FrameStatus.TRACKED, float(boxes.score[t]))
    # What nobody could look at, nobody was missing from.
    lost_T = np.zeros(len(inside_T), bool)
    for own_window in tracks.seen.values():
        lost_T[own_window.start : own_window.stop] = ~own_window.arrays["decoded"]
    boxes = boxes.without(lost_T)
    for index in tracks.failed:
        failed = slice(*header.bound(index))
        boxes.status[failed] = np.where(inside_T[failed], FrameStatus.FAILED, boxes.status[failed])
    return boxes
