"""Everybody who is seen in a movie, with pictures, whoever was asked for: `people/ID.npz`.

In: tracks that pass one's sights were linked into, and what pass two made of the sights that are to have a picture: a
small JPEG, and vectors that sentences can be compared with, where the encoder has such. Out: one file, from which
persons are found by sentences that nobody had thought of, without the movie and without a detector.

    sample     [O] int32      the movie's sample of each sight, ascending within a track
    time_s     [O] float64    when that is
    track      [O] int32      which of K tracks it belongs to, ascending; counted in the order in which they begin
    box        [O, 4] float32 x1 y1 x2 y2 as shares of the frame
    score      [O] float32    the detector's
    cut_s      [..] float64   when shots begin, but the first
    crop       [C] int32      sights that are to have a picture, the most important ones first
    colours    [C, F] uint8   how they look (rhas.extract.tracks.looks)
    state      [C] uint8      PENDING, KEPT, THINNED (it would be too much), LOST (the movie gave no frame)
    end        [C] int64      where the JPEG ends in `bytes`; it begins where the one before ends
    bytes      [B] uint8
    vectors    [V, Q, D] int8 of those that are KEPT, Q of length 1 each; without any where the encoder has none

Both passes of a window may be killed at any moment: the file is there, with all pictures pending, before tracks are;
pictures of a window are a part of their own, written before the window's, and gathered when the movie is sealed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rhas.manifests.common.atomic import write_bytes_atomically
from rhas.manifests.shards.format import MovieHeader
from rhas.manifests.shards.identity import content_id
from rhas.manifests.shards.layout import FeaturesFolder
from rhas.manifests.shards.packed import pack, require, unpack
from rhas.manifests.shards.pictures import Pictures, Wanted, part_of, read_pictures
from rhas.manifests.shards.seen import EVERYBODY, Seen
from rhas.manifests.shards.tracks import MovieTracks

KIND, VERSION = "everybody seen in a movie", 1
PENDING, KEPT, THINNED, LOST = range(4)
BYTES_A_SECOND = 10_000  # of a movie: all that is kept of everybody, here and in what its tracks were made of
_REST = 6_000  # of the file, beside its arrays
ARRAYS: dict[str, tuple[Any, tuple[int | None, ...]]] = {
    "sample": (np.int32, (None,)), "time_s": (np.float64, (None,)), "track": (np.int32, (None,)),
    "box": (np.float32, (None, 4)), "score": (np.float32, (None,)), "cut_s": (np.float64, (None,)),
    "crop": (np.int32, (None,)), "colours": (np.uint8, (None, None)), "state": (np.uint8, (None,)),
    "end": (np.int64, (None,)), "bytes": (np.uint8, (None,)), "vectors": (np.int8, (None, None, None)),
}  # fmt: skip


@dataclass(frozen=True)
class People:
    """The file's contents, as above. `made_of` tells what the tracks were linked from."""

    movie_id: str
    video: str  # the digest of the movie's bytes
    extraction: str
    made_of: str
    duration_s: float
    arrays: Mapping[str, NDArray]

    @property
    def people_id(self) -> str:
        """The same for everything that pictures depend on."""
        return content_id([self.video, self.extraction, self.made_of])

    @property
    def tracks(self) -> int:
        return int(self.arrays["track"].max(initial=-1)) + 1

    def crops_of_tracks(self) -> NDArray[np.int32]:
        """[C] the track of each picture."""
        return self.arrays["track"][self.arrays["crop"]]

    def jpeg(self, crop: int) -> bytes:
        """Empty where there is none."""
        end = self.arrays["end"]
        return self.arrays["bytes"][end[crop - 1] if crop else 0 : end[crop]].tobytes()

    def places(self) -> NDArray[np.int64]:
        """[C] where in `vectors` each picture's are; -1 where it has none."""
        kept = self.arrays["state"] == KEPT
        return np.where(kept & (self.arrays["vectors"].shape[1] > 0), np.cumsum(kept) - 1, -1)

    def to_bytes(self) -> bytes:
        return pack(KIND, VERSION, {name: getattr(self, name) for name in _SAID}, self.arrays)

    @classmethod
    def from_bytes(cls, data: bytes) -> People:
        """Raises ValueError for anything else than what `to_bytes` gave."""
        said, arrays = unpack(KIND, VERSION, data)
        require(arrays, ARRAYS)
        try:
            people = cls(**{name: said[name] for name in _SAID}, arrays=arrays)
        except (LookupError, TypeError) as error:
            raise ValueError(f"not {KIND}: {error!r}") from error
        if not _sound(arrays):
            raise ValueError(f"{KIND} of movie {people.movie_id} contradicts itself")
        return people


_SAID = ("movie_id", "video", "extraction", "made_of", "duration_s")


def _sound(arrays: Mapping[str, NDArray]) -> bool:
    sights, crops = len(arrays["track"]), len(arrays["crop"])
    crop, state, end, track = (arrays[name] for name in ("crop", "state", "end", "track"))
    kept = int((state == KEPT).sum())
    return bool(
        all(len(arrays[name]) == sights for name in ("sample", "time_s", "box", "score"))
        and all(len(arrays[name]) == crops for name in ("colours", "state", "end"))
        and (np.isin(np.diff(track, prepend=-1), (0, 1))).all()
        and (not crops or (crop.min() >= 0 and crop.max() < sights))
        and np.isin(state, (PENDING, KEPT, THINNED, LOST)).all()
        and ((np.diff(end, prepend=0) > 0) == (state == KEPT)).all()
        and (not crops or end[-1] == len(arrays["bytes"]))
        and len(arrays["vectors"]) in ((kept,) if arrays["vectors"].shape[1] else (0, kept))
        and all(np.isfinite(arrays[name]).all() for name in ("time_s", "box", "score", "cut_s"))
    )


def made_of(seen: Mapping[int, Seen], cuts: NDArray[np.int64]) -> str:
    """A digest of all from which everybody's tracks follow."""
    digest = hashlib.blake2b(np.ascontiguousarray(cuts).tobytes(), digest_size=16)
    for index in sorted(seen):
        for name in ("sample", *EVERYBODY):
            array = seen[index].arrays.get(name, np.zeros(0))
            digest.update(f"{index} {name} {array.shape}\0".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def wanted(people: People, start: int, stop: int) -> Wanted | None:
    """The pictures that lie in the samples [start, stop); None where there are none."""
    arrays = people.arrays
    sample = arrays["sample"][arrays["crop"]]
    crop = np.flatnonzero((sample >= start) & (sample < stop)).astype(np.int32)
    if not len(crop):
        return None
    rows = (sample[crop] - start).astype(np.int64)
    return Wanted(people.people_id, crop, rows, arrays["box"][arrays["crop"][crop]])


def windows_left(folder: FeaturesFolder, header: MovieHeader, people: People) -> set[int]:
    """Windows of which a picture is neither in the file nor in a part."""
    arrays = people.arrays
    pending = arrays["sample"][arrays["crop"]][arrays["state"] == PENDING]
    indices = {int(index) for index in pending // header.window_frames}
    return {
        i for i in indices if read_pictures(part_of(folder, header.movie_id, i, people.people_id)) is None
    }


def read_people(path: Path) -> People | None:
    """None where there is none, or nothing that can be read as one."""
    try:
        return People.from_bytes(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None


def write_people(folder: FeaturesFolder, people: People) -> None:
    path = folder.people(people.movie_id)
    path.parent.mkdir(exist_ok=True)
    write_bytes_atomically(path, people.to_bytes())


def gather(folder: FeaturesFolder, header: MovieHeader, seen: Mapping[int, Seen]) -> None:
    """Puts the pictures in a movie's parts into its file. `seen`: what it was made of."""
    people = read_people(folder.people(header.movie_id))
    if people is None:
        return
    places = (part_of(folder, header.movie_id, index, people.people_id) for index in header.planned())
    found = [pictures for pictures in map(read_pictures, places) if pictures is not None]
    if found:
        write_people(folder, filled(people, found, room_for_pictures(people, seen)))


def filled(people: People, found: Iterable[Pictures], room: int) -> People:
    """With some more pictures, the most important ones of which stay, as long as there is room."""
    arrays = people.arrays
    places = people.places()
    jpegs: list[bytes] = [people.jpeg(crop) for crop in range(len(arrays["crop"]))]
    vectors: list[NDArray[np.int8] | None] = [arrays["vectors"][at] if at >= 0 else None for at in places]
    state = arrays["state"].copy()
    for pictures in found:
        for crop, jpeg, own in zip(pictures.crop.tolist(), pictures.jpegs, pictures.vectors, strict=True):
            jpegs[crop], vectors[crop] = jpeg, own if own.size else None
            state[crop] = KEPT if jpeg else LOST
    for crop in np.flatnonzero(state == KEPT):
        own_vectors = vectors[crop]
        room -= len(jpegs[crop]) + (0 if own_vectors is None else own_vectors.nbytes)
        if room < 0:
            state[crop] = THINNED
    kept = [crop for crop in range(len(jpegs)) if state[crop] == KEPT]
    sizes = [len(jpeg) if state[crop] == KEPT else 0 for crop, jpeg in enumerate(jpegs)]
    changed = {
        "state": state, "end": np.cumsum(sizes, dtype=np.int64),
        "bytes": np.frombuffer(b"".join(jpegs[crop] for crop in kept), np.uint8),
        "vectors": _stacked([vectors[crop] for crop in kept]),
    }  # fmt: skip
    return replace(people, arrays={**arrays, **changed})


def _stacked(vectors: Sequence[NDArray[np.int8] | None]) -> NDArray[np.int8]:
    there = [own for own in vectors if own is not None]
    return np.stack(there) if there and len(there) == len(vectors) else np.zeros((0, 0, 0), np.int8)


def room_for_pictures(people: People, seen: Mapping[int, Seen]) -> int:
    """What is left of the bytes that a movie of this length may have."""
    said = sum(array.nbytes for name, array in people.arrays.items() if name not in ("bytes", "vectors"))
    said += sum(own.arrays[name].nbytes for own in seen.values() for name in EVERYBODY if name in own.arrays)
    return max(0, int(BYTES_A_SECOND * people.duration_s) - said - _REST)


def taken_over(people: People, earlier: People) -> People:
    """With the pictures that an earlier file of the movie has of the very same sights."""
    if (people.video, people.extraction) != (earlier.video, earlier.extraction):
        return people
    there = {_sight(earlier, crop): crop for crop in np.flatnonzero(earlier.arrays["state"] == KEPT).tolist()}
    pairs = [(crop, there.get(_sight(people, crop), -1)) for crop in range(len(people.arrays["crop"]))]
    pairs = [(crop, old) for crop, old in pairs if old >= 0]
    if not pairs:
        return people
    crops, olds = (list(column) for column in zip(*pairs, strict=True))
    at = earlier.places()[olds]
    vectors = earlier.arrays["vectors"][at] if (at >= 0).all() else np.zeros((len(at), 0, 0), np.int8)
    jpegs = tuple(earlier.jpeg(old) for old in olds)
    own = Pictures(people.people_id, np.array(crops, np.int32), jpegs, vectors)
    return filled(people, [own], 1 << 62)


def _sight(people: People, crop: int) -> tuple[int, bytes]:
    at = people.arrays["crop"][crop]
    return int(people.arrays["sample"][at]), people.arrays["box"][at].tobytes()


def with_everybody(config: Mapping[str, Any]) -> bool:
    """Whether an extraction with this configuration looks for everybody."""
    tracks = config.get("tracks")
    return isinstance(tracks, dict) and tracks.get("everybody") is not None


def is_of(people: People, identity: Mapping[str, Any], tracks: MovieTracks) -> bool:
    """Whether it is everybody of this movie, by this extraction, linked from what these tracks were made of."""
    return (people.video, people.extraction, people.made_of) == (
        identity["video"], identity["extraction"], made_of(tracks.seen, tracks.cuts),
    )  # fmt: skip


def people_problems(
    path: Path, identity: Mapping[str, Any], tracks: MovieTracks, window_frames: int, lost: Collection[int]
) -> list[str]:
    """All that is wrong with a movie's file beside its tracks. `lost`: windows of which nothing could be computed."""
    try:
        people = People.from_bytes(path.read_bytes())
    except FileNotFoundError:
        return [f"{path}: not there, though everybody was looked for; a rerun makes it again"]
    except (OSError, ValueError) as error:
        return [f"{path}: {error}; a rerun makes it again"]
    if not is_of(people, identity, tracks):
        return [
            f"{path}: everybody of another movie, or by other settings, weights or tracks; a rerun makes it again"
        ]
    arrays = people.arrays
    pending = arrays["sample"][arrays["crop"]][arrays["state"] == PENDING] // window_frames
    left = len(set(pending.tolist()) - set(lost))
    return [f"{path}: pictures of {left} windows are missing; a rerun makes them"] if left else []
