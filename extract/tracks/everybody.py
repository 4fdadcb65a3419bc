"""Everybody's tracks: who is seen where in which shot, whoever was asked for, and which sights are to have a picture.

In: all windows of a movie as pass one saw them, and where shots begin. Out: `People`, whose pictures are still to be
made. A track is the sights in one shot that `linking` takes to be of one person; those that were seen only once, or
never as well as a detection has to be, are none. Windows have no part in it.

Shapes: S samples looked at, O sights, F numbers of colours.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from rhas.extract.config import ExtractConfig
from rhas.extract.tracks import linking, shots
from rhas.extract.tracks.sights import Sights
from rhas.manifests.shards.format import MovieHeader
from rhas.manifests.shards.layout import FeaturesFolder
from rhas.manifests.shards.people import (
    PENDING,
    People,
    is_of,
    made_of,
    read_people,
    taken_over,
    write_people,
)
from rhas.manifests.shards.reader import end_s
from rhas.manifests.shards.seen import Seen
from rhas.manifests.shards.tracks import MovieTracks

PICTURES = 4  # of a track, spread over it
FEWEST = 2  # sights that make a track


def people_of(
    header: MovieHeader, seen: Mapping[int, Seen], cuts: NDArray[np.int64], config: ExtractConfig
) -> People:
    sights, colours_OF = _sights(seen)
    time_S = header.time_s[sights.sample]
    shot_S = shots.shot_of(sights.sample, cuts)
    linked_O = linking.tracks_of(sights, colours_OF, time_S, shot_S, config.tracks.longest_gap_s)
    track_O = _kept(linked_O, sights.score[:, 0], config.detector.box_threshold)
    order = np.lexsort((sights.at, track_O))
    order = order[track_O[order] >= 0]
    at, track = sights.at[order], track_O[order]
    clear = _clearness(sights)[order]
    crop = _chosen(track, time_S[at], clear)
    arrays = {
        "sample": sights.sample[at].astype(np.int32),
        "time_s": time_S[at],
        "track": track.astype(np.int32),
        "box": sights.box[order].astype(np.float32),
        "score": sights.score[order, 0].astype(np.float32),
        "cut_s": header.time_s[cuts],
        "crop": crop,
        "colours": colours_OF[order][crop].astype(np.uint8),
        "state": np.full(len(crop), PENDING, np.uint8),
        "end": np.zeros(len(crop), np.int64),
        "bytes": np.zeros(0, np.uint8),
        "vectors": np.zeros((0, 0, 0), np.int8),
    }
    length_s = end_s(header.time_s) if len(header.time_s) else 0.0
    identity = header.identity
    return People(
        header.movie_id, identity["video"], identity["extraction"], made_of(seen, cuts), length_s, arrays
    )


def kept_people(
    folder: FeaturesFolder, header: MovieHeader, tracks: MovieTracks, config: ExtractConfig
) -> People:
    """Those of a movie whose tracks are there; made again where they are not those of these tracks."""
    people = read_people(folder.people(header.movie_id))
    if people is None or not is_of(people, header.identity, tracks):
        earlier, people = people, people_of(header, tracks.seen, tracks.cuts, config)
        if earlier is not None:
            people = taken_over(people, earlier)
        write_people(folder, people)
    return people


def _sights(seen: Mapping[int, Seen]) -> tuple[Sights, NDArray[np.float64]]:
    """Of all windows in order, with one score each; and their colours."""
    windows = [seen[index].arrays for index in sorted(seen) if "all_at" in seen[index].arrays]
    samples = np.cumsum([0, *(len(own["sample"]) for own in windows)])

    def all_of(name: str, otherwise: NDArray) -> NDArray:
        return np.concatenate([own[name] for own in windows]) if windows else otherwise

    at = [own["all_at"].astype(np.int64) + samples[i] for i, own in enumerate(windows)]
    box = all_of("all_box", np.zeros((0, 4))).astype(np.float64)
    score = all_of("all_score", np.zeros(0)).astype(np.float64)[:, None]
    widths = {own["all_colours"].shape[1] for own in windows}
    colours = all_of("all_colours", np.zeros((0, max(widths, default=0)))).astype(np.float64)
    sample = all_of("sample", np.zeros(0, np.int64))
    nothing = np.zeros((len(box), 0, 0, 3), np.uint8)  # colours are known already
    at_O = np.concatenate([np.zeros(0, np.int64), *at])
    return Sights(sample, at_O, box, score, box[:, None], nothing), colours


def _kept(track_O: NDArray[np.int64], score_O: NDArray[np.float64], threshold: float) -> NDArray[np.int64]:
    """[O] tracks that are some, counted anew in the same order; -1 for others."""
    count = int(track_O.max(initial=-1)) + 1
    best = np.zeros(count)
    np.maximum.at(best, track_O, score_O)
    sound = (np.bincount(track_O, minlength=count) >= FEWEST) & (best >= threshold)
    return np.where(sound[track_O], (np.cumsum(sound) - 1)[track_O], -1) if count else track_O


def _clearness(sights: Sights) -> NDArray[np.float64]:
    """[O] how well a sight shows its person: large, surely somebody, and with nobody else in the box."""
    box = sights.box
    area_O = np.maximum(0, box[:, 2] - box[:, 0]) * np.maximum(0, box[:, 3] - box[:, 1])
    covered_O = np.zeros(len(box))
    starts = np.searchsorted(sights.at, np.arange(len(sights.sample) + 1))
    for first, stop in pairwise(starts):
        own = box[first:stop]
        low, high = (
            np.maximum(own[:, None, :2], own[None, :, :2]),
            np.minimum(own[:, None, 2:], own[None, :, 2:]),
        )
        shared = np.maximum(0, high - low).prod(axis=-1)
        np.fill_diagonal(shared, 0)
        covered_O[first:stop] = shared.max(axis=1, initial=0) / np.maximum(1e-9, area_O[first:stop])
    return sights.score[:, 0] * np.sqrt(area_O) * (1 - 0.9 * np.clip(covered_O, 0, 1))


def _chosen(
    track_O: NDArray[np.int64], time_O: NDArray[np.float64], clear_O: NDArray[np.float64]
) -> NDArray[np.int32]:
    """Sights that are to have a picture: the clearest of each part of a track. First everybody's best, of long tracks
    before those of short ones, then everybody's second, and so on: so that any number of the first ones shows most."""
    ranked: list[tuple[int, float, int, int]] = []
    starts = np.flatnonzero(np.diff(track_O, prepend=-1))
    for first, stop in zip(starts, [*starts[1:], len(track_O)], strict=True):
        time_s, clear = time_O[first:stop], clear_O[first:stop]
        length_s = float(time_s[-1] - time_s[0])
        part = np.minimum(PICTURES - 1, (time_s - time_s[0]) / max(1e-9, length_s) * PICTURES).astype(int)
        best = [int(np.flatnonzero(part == p)[clear[part == p].argmax()]) for p in np.unique(part)]
        best.sort(key=lambda at: -clear[at])
        track = int(track_O[first])
        ranked += [(rank, -length_s, track, int(first) + at) for rank, at in enumerate(best)]
    return np.array([sight for *_, sight in sorted(ranked)], np.int32)
