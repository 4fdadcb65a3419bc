"""Who is where in a movie, and what that was decided from: `tracks/ID.npz`, between the two passes of an extraction.

In: a movie's windows as pass one saw them (`seen`) and each person's boxes in all samples. Out: one file, kept beside
the movie's shard, from which pass two goes on after a kill, and damaged windows of shards are made again without
detecting anew. What it says of a window has a digest, which is part of that window's id.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rhas.manifests.common.atomic import write_bytes_atomically
from rhas.manifests.shards.boxes import PersonBoxes, no_boxes
from rhas.manifests.shards.format import MovieHeader
from rhas.manifests.shards.interpolated import reach
from rhas.manifests.shards.layout import FeaturesFolder
from rhas.manifests.shards.packed import pack, require, unpack
from rhas.manifests.shards.seen import Seen, fits
from rhas.manifests.shards.status import FrameStatus

KIND, VERSION = "tracks of a movie", 1


@dataclass(frozen=True)
class MovieTracks:
    """`boxes`: each person's, in the header's order, of all T samples. `cuts`: first samples of shots but the first.

    `failed`: windows of which pass one could see nothing, with stage and reason.
    """

    identity: Mapping[str, Any]
    window_frames: int
    boxes: Mapping[str, PersonBoxes]
    cuts: NDArray[np.int64]
    seen: Mapping[int, Seen]
    failed: Mapping[int, tuple[str, str]] = field(default_factory=dict)

    def digests(self, every: tuple[int, int] = (1, 1)) -> dict[int, str]:
        """By window: what is said of everybody in it. `every`: as in `rhas.manifests.shards.interpolated`."""
        samples = len(next(iter(self.boxes.values())).status)
        return {
            index: self.digest(start, min(start + self.window_frames, samples), every)
            for index, start in enumerate(range(0, samples, self.window_frames))
        }

    def digest(self, start: int, stop: int, every: tuple[int, int] = (1, 1)) -> str:
        """Of all that the features of a window depend on."""
        digest = hashlib.blake2b(digest_size=16)
        if max(every) > 1:
            start, stop = reach(start, stop, len(next(iter(self.boxes.values())).status), every)
            digest.update(self.cuts[(self.cuts > start) & (self.cuts < stop)].tobytes())
        for person_id in sorted(self.boxes):
            digest.update(f"{person_id}\0".encode())
            for array in vars(self.boxes[person_id].part(start, stop)).values():
                digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def to_bytes(self) -> bytes:
        said = {
            "identity": self.identity,
            "window_frames": self.window_frames,
            "persons": list(self.boxes),
            "seen": [self.seen[index].said() for index in sorted(self.seen)],
            "failed": [[index, *self.failed[index]] for index in sorted(self.failed)],
        }
        arrays = {"cuts": self.cuts}
        for place, boxes in enumerate(self.boxes.values()):
            arrays |= {f"persons/{place}/{name}": array for name, array in vars(boxes).items()}
        for index in self.seen:
            arrays |= {f"seen/{index}/{name}": array for name, array in self.seen[index].arrays.items()}
        return pack(KIND, VERSION, said, arrays)

    @classmethod
    def from_bytes(cls, data: bytes) -> MovieTracks:
        """Raises ValueError for anything else than what `to_bytes` gave."""
        said, arrays = unpack(KIND, VERSION, data)
        try:
            persons = {str(who): _own(arrays, f"persons/{i}/") for i, who in enumerate(said["persons"])}
            boxes = {}
            for who, own in persons.items():
                template = vars(no_boxes(np.zeros(len(own["status"]), bool)))
                require(own, {name: (array.dtype, array.shape) for name, array in template.items()})
                boxes[who] = PersonBoxes(**own)
            seen = {row["index"]: Seen.of(row, _own(arrays, f"seen/{row['index']}/")) for row in said["seen"]}
            require({"cuts": arrays["cuts"]}, {"cuts": (np.int64, (None,))})
            failed = {int(index): (str(stage), str(reason)) for index, stage, reason in said["failed"]}
            if not boxes or len({len(own.status) for own in boxes.values()}) != 1:
                raise ValueError("persons of different lengths, or none")
            return cls(said["identity"], int(said["window_frames"]), boxes, arrays["cuts"], seen, failed)
        except (LookupError, TypeError, AttributeError) as error:
            raise ValueError(f"not {KIND}: {error!r}") from error


def _own(arrays: Mapping[str, NDArray], place: str) -> dict[str, NDArray]:
    return {name.removeprefix(place): array for name, array in arrays.items() if name.startswith(place)}


def write_tracks(folder: FeaturesFolder, movie_id: str, tracks: MovieTracks) -> None:
    path = folder.tracks(movie_id)
    path.parent.mkdir(exist_ok=True)
    write_bytes_atomically(path, tracks.to_bytes())


def read_tracks(path: Path) -> MovieTracks | None:
    """None where there is none, or nothing that can be read as one."""
    try:
        return MovieTracks.from_bytes(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None


def of_movie(tracks: MovieTracks | None, header: MovieHeader) -> MovieTracks | None:
    """The tracks, if they are those of this movie with these settings, weights and sentences."""
    if tracks is None or tracks.identity != header.identity or tracks.window_frames != header.window_frames:
        return None
    persons = [person.person_id for person in header.persons]
    sound = (
        list(tracks.boxes) == persons
        and all(
            ((own.status != FrameStatus.OUTSIDE) == header.inside(person)).all()
            if len(own.status) == len(header.time_s)
            else False
            for person, own in zip(header.persons, tracks.boxes.values(), strict=True)
        )
        and tracks.seen.keys() | tracks.failed.keys() == header.planned().keys()
        and all(fits(header, seen, index) for index, seen in tracks.seen.items())
    )
    return tracks if sound else None
