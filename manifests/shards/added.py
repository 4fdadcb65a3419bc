"""A person more in a movie that has a shard: windows in which others keep their rows, to the bit.

In: the movie's shard as it is, and windows that hold rows of new persons only. Out: whole windows with the ids that
they have now that there is somebody more. A shard is never changed in place: such windows are parts, from which it is
built anew when all are there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from rhas.manifests.common.atomic import write_bytes_atomically
from rhas.manifests.shards.format import (
    MovieHeader,
    PersonRows,
    Window,
    empty_rows,
    failed_window,
    write_part,
    write_shard,
)
from rhas.manifests.shards.layout import FeaturesFolder
from rhas.manifests.shards.reader import Shard
from rhas.manifests.shards.resume import FinishedWindows
from rhas.manifests.shards.status import FrameStatus
from rhas.manifests.shards.tracks import MovieTracks


@dataclass(frozen=True)
class AddedWindow:
    """A window with rows of new persons, to be joined with those that the shard has."""

    window: Window


def tracks_part(folder: FeaturesFolder, movie_id: str) -> Path:
    """Where a movie's tracks with somebody more are, until its shard is."""
    return folder.parts(movie_id) / "added-tracks.npz"


def write_tracks_part(folder: FeaturesFolder, movie_id: str, tracks: MovieTracks) -> None:
    path = tracks_part(folder, movie_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes_atomically(path, tracks.to_bytes())


def write_added(folder: FeaturesFolder, added: AddedWindow) -> None:
    """Stores a window with everybody's rows as a part."""
    new = added.window
    with Shard(folder.shard(new.movie_id)) as shard:
        old = shard.window(next(row for row in shard.windows() if row["index"] == new.index))
    stage, reason = (old.stage, old.reason) if old.reason else (new.stage, new.reason)
    persons = {**old.persons, **new.persons}
    said = replace(old, window_id=new.window_id, tracks=new.tracks, stage=stage, reason=reason)
    write_part(folder, replace(said, persons=persons))


def undone(shard: Shard) -> dict[int, tuple[str, str]]:
    """Windows of which nothing could be computed: a new person has nothing in them either."""
    return {row["index"]: (row["stage"], row["reason"]) for row in shard.windows() if not row["done"]}


def seal_added(folder: FeaturesFolder, header: MovieHeader, failed: Mapping[int, tuple[str, str]]) -> None:
    """Builds the shard anew, from parts and from what the one that is there says of everybody else.

    `failed`: windows that could not be computed for the new persons, or by an earlier run for anybody.
    """
    kept = FinishedWindows(folder, header)
    finished = kept.indices()
    with Shard(folder.shard(header.movie_id)) as shard:
        rows, had, nothing = (
            {row["index"]: row for row in shard.windows()},
            set(shard.person_ids),
            undone(shard),
        )

        def load(index: int) -> Window:
            if index in finished:
                return kept.load(index)
            if index in nothing:
                return failed_window(header, index, *nothing[index])
            old = shard.window(rows[index])
            stage, reason = (old.stage, old.reason) if old.reason else failed.get(index, ("", ""))
            return replace(
                old, window_id=header.window_id(index), tracks=header.tracks[index], stage=stage, reason=reason,
                persons={**old.persons, **_failed_rows(header, index, had)},
            )  # fmt: skip

        # Tracks first: a shard that was made from others than are there is a damaged one.
        if (own := tracks_part(folder, header.movie_id)).exists():
            write_bytes_atomically(folder.tracks(header.movie_id), own.read_bytes())
        write_shard(folder, header, load)
    kept.remove_parts()


def _failed_rows(header: MovieHeader, index: int, had: set[str]) -> dict[str, PersonRows]:
    """Of those who are new in a window; none where they aren't promised."""
    start, stop = header.bound(index)
    return {
        person.person_id: empty_rows(
            header.inside(person, start, stop), header.feature_shape, FrameStatus.FAILED
        )
        for person in header.promised(start, stop)
        if person.person_id not in had
    }
