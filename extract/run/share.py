"""Which movies of a manifest a rank works on: the same for all ranks, without a word between them.

In: a manifest, and a rank of so many. Out: its part of the manifest. Movies are shared out by what they take, bytes
times persons: the largest first, each to who has least. What a file's size was when the first rank looked is kept in
the folder, so that a file that comes or grows later changes nobody's share.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

from rhas.extract.decode.stored_movies import VideoKeys
from rhas.manifests.common.atomic import write_new_atomically
from rhas.manifests.common.errors import InputError, Problem
from rhas.manifests.shards.identity import content_id
from rhas.manifests.shards.ranks import RankFolder
from rhas.manifests.tables.manifest import Manifest


def share_of(folder: RankFolder, manifest: Manifest) -> Manifest:
    """The rank's movies, in the manifest's order. Raises InputError for a split that can't be read."""
    ids = [movie.movie_id for movie in manifest.movies]
    path = folder.ranks / f"split-{content_id([folder.rank.of, ids])}.json"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        made = split(weights_of(manifest), folder.rank.of)
        write_new_atomically(path, json.dumps(made).encode())
    try:
        shares = json.loads(path.read_text(encoding="utf-8"))
        mine = set(shares[folder.rank.number])
        whole = sorted(movie_id for share in shares for movie_id in share) == sorted(ids)
    except (OSError, ValueError, TypeError, LookupError) as error:
        raise InputError(Problem(path, f"the movies of each rank ({error})")) from error
    if not whole:
        raise InputError(
            Problem(path, "each movie of the manifest once; remove the file, and it is made anew")
        )
    return replace(manifest, movies=tuple(movie for movie in manifest.movies if movie.movie_id in mine))


def weights_of(manifest: Manifest) -> dict[str, int]:
    """What each movie takes: its bytes times its persons. One that isn't there, or not yet, takes little."""
    keys = VideoKeys(movie.video for movie in manifest.movies)
    weights = {}
    for movie in manifest.movies:
        try:
            key = keys.of(movie.video)
        except OSError:
            key = None
        weights[movie.movie_id] = (1 if key is None else 1 + key[0]) * len(movie.persons)
    return weights


def split(weights: Mapping[str, int], of: int) -> Sequence[Sequence[str]]:
    """Movies by rank: the heaviest first, each to the rank that has least, of several the first.

    No rank then has more than 4/3 of what the best split would give the one that has most (Graham 1969, LPT).
    """
    shares: list[list[str]] = [[] for _ in range(of)]
    loads = [(0, number) for number in range(of)]
    for movie_id in sorted(weights, key=lambda name: (-weights[name], name)):
        load, number = heapq.heappop(loads)
        shares[number].append(movie_id)
        heapq.heappush(loads, (load + weights[movie_id], number))
    return shares
