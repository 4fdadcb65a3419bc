"""What is known of finished shards without opening them: `finished.jsonl`, for reruns and their accounts.

In: shards that were just written, or read from end to end. Out: what a rerun asks of them, as long as their files keep
size and time; of any other there is nothing, and who asks reads the shard again. What verification finds damaged is
struck out. Of a file that is no movie it is known why, as long as that keeps size and time. A line is appended for
each; the last one of a movie counts, and one that was cut off by a kill is none.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any

from rhas.manifests.common.atomic import write_text_atomically
from rhas.manifests.common.digest import file_key
from rhas.manifests.shards.failures import Failure, shard_failures
from rhas.manifests.shards.identity import content_id
from rhas.manifests.shards.layout import FeaturesFolder, people_beside, tracks_beside
from rhas.manifests.shards.people import with_everybody
from rhas.manifests.shards.ranks import ledgers
from rhas.manifests.shards.reader import Shard, reading
from rhas.manifests.shards.statistics import Tally
from rhas.manifests.shards.status import FrameStatus

FileKey = tuple[int, int]  # as `file_key` tells it


@dataclass(frozen=True)
class Finished:
    """A movie's shard. `shard` and `video` are the files as they were then; `video` is None if there was none."""

    movie_id: str
    shard: FileKey
    video: FileKey | None
    identity: dict[str, Any]
    tally: Tally
    failures: list[Failure]
    notes: list[str]  # what is unusual about the movie
    lost: bool  # some window lost frames
    undone: bool  # of some window nothing could be computed
    windows: str = ""  # one checksum of those of all windows; empty in lines of earlier versions
    tracks: FileKey | None = None  # the file of the movie's tracks, where it has some
    people: FileKey | None = None  # that of everybody's, where everybody was looked for

    def __post_init__(self) -> None:
        """Raises ValueError for what no run of ours writes: shards and lines may come from anywhere."""
        texts = [self.movie_id, self.windows, self.identity.get("video"), *self.notes]
        for failure in self.failures:
            texts += [failure.movie_id, failure.stage, failure.reason]
            if not isinstance(failure.frames, int):
                raise ValueError(f"{failure.frames!r} frames")
        if not all(isinstance(text, str) for text in texts) or not isinstance(
            self.identity.get("persons"), dict
        ):
            raise ValueError("not what is known of a shard")

    @classmethod
    def of(cls, path: Path, video: FileKey | None = None) -> Finished:
        """Looks at a shard's statuses and windows. Raises InputError for one that can't be read."""
        with reading(path, "a feature shard"):
            key = file_key(path)
        with Shard(path) as shard, reading(path, "a feature shard"):
            table = shard.windows()
            windows = [row for row in table if row["reason"]]
            tracked = any(row["tracks"] for row in table)
            return cls(
                movie_id=shard.movie_id,
                shard=key,
                video=video,
                identity=shard.json("identity"),
                tally=Tally.sum(Tally.of(shard.person(p).status) for p in shard.person_ids),
                failures=shard_failures(shard),
                notes=[str(note) for note in shard.json("source").get("notes", [])],
                lost=bool(windows),
                undone=not all(row["done"] for row in windows),
                windows=checksum_of(table),
                tracks=_key_of(tracks_beside(path)) if tracked else None,
                people=_key_of(people_beside(path))
                if tracked and with_everybody(shard.json("config"))
                else None,
            )

    def moved(self, folder: FeaturesFolder) -> Finished:
        """The same where its files have other keys now, with the same bytes. Raises OSError without a shard."""
        shard = folder.shard(self.movie_id)
        tracks = None if self.tracks is None else _key_of(tracks_beside(shard))
        people = None if self.people is None else _key_of(people_beside(shard))
        return replace(self, shard=folder.shard_key(self.movie_id), tracks=tracks, people=people)

    def to_json(self) -> str:
        tally = {str(int(status)): count for status, count in self.tally.items()}
        failures = [astuple(failure) for failure in self.failures]
        return json.dumps({**vars(self), "tally": tally, "failures": failures})

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Finished:
        """Raises ValueError, TypeError, LookupError or AttributeError for what `to_json` didn't give."""
        size, time = values["shard"]
        video = values["video"]
        tally = Tally({FrameStatus(int(status)): int(count) for status, count in values["tally"].items()})
        failures = [Failure(*row) for row in values["failures"]]
        tracks, people = values["tracks"], values.get("people")
        keys = {
            "shard": (size, time),
            "video": None if video is None else (video[0], video[1]),
            "tracks": None if tracks is None else (tracks[0], tracks[1]),
            "people": None if people is None else (people[0], people[1]),
        }
        return cls(**{**values, **keys, "tally": tally, "failures": failures})


def checksum_of(windows: Iterable[dict[str, Any]]) -> str:
    """One checksum of those of a shard's windows, which are its table's rows."""
    return content_id([row["digest"] for row in windows])


class Ledger:
    """The file, and what it says of shards that are as they were."""

    def __init__(self, folder: FeaturesFolder):
        self.folder = folder
        self._lines = 0
        self._known: dict[str, Finished] = {}
        self._refused: dict[str, tuple[FileKey, str]] = {}
        for path in ledgers(folder):
            with suppress(OSError):
                for line in path.read_bytes().splitlines():
                    self._read(line)

    def _read(self, line: bytes) -> None:
        with suppress(ValueError, TypeError, LookupError, AttributeError, RecursionError):
            values = json.loads(line)
            self._lines += 1
            self._known.pop(values["movie_id"], None)
            self._refused.pop(values["movie_id"], None)
            if values["shard"] is not None:
                self._known[values["movie_id"]] = Finished.from_dict(values)
            elif (refused := values.get("refused")) is not None and refused["version"] == _version():
                size, time = refused["video"]
                self._refused[str(values["movie_id"])] = (size, time), str(refused["reason"])

    def known(self, movie_id: str) -> Finished | None:
        """What is known of the movie's shard, if its file is still the one that it is known of."""
        found = self._known.get(movie_id)
        if found is None:
            return None
        path = self.folder.shard(movie_id)
        try:
            same = found.shard == self.folder.shard_key(movie_id)
        except OSError:
            return None
        same &= found.tracks in (None, _key_of(tracks_beside(path)))
        return found if same and found.people in (None, _key_of(people_beside(path))) else None

    def refused(self, movie_id: str, video: FileKey | None) -> str:
        """Why this version found that a file which is as it was then is no movie; empty if it didn't."""
        found, reason = self._refused.get(movie_id, (None, ""))
        return reason if found is not None and found == video else ""

    def refuse(self, movie_id: str, video: FileKey, reason: str) -> None:
        """A file that has no shard, since its contents are no movie."""
        self._known.pop(movie_id, None)
        self._refused[movie_id] = video, reason
        self._lines += 1
        _append(self.folder.finished, [_refusal(movie_id, video, reason)])

    def add(self, finished: Finished) -> None:
        """A shard that was written whole, or read whole and found sound."""
        if self._known.get(finished.movie_id) != finished:
            self._known[finished.movie_id] = finished
            self._refused.pop(finished.movie_id, None)
            self._lines += 1
            _append(self.folder.finished, [finished.to_json()])

    def strike_out(self, movie_ids: Iterable[str]) -> None:
        """Shards that were found damaged: the next run reads them again from end to end."""
        struck = [movie_id for movie_id in movie_ids if self._known.pop(movie_id, None)]
        self._lines += len(struck)
        lines = [json.dumps({"movie_id": movie_id, "shard": None}) for movie_id in struck]
        for path in {*ledgers(self.folder), self.folder.finished}:  # whichever is read last
            _append(path, lines)

    def tidy(self) -> None:
        """Without the lines that no longer count, if they are most of them."""
        count = len(self._known) + len(self._refused)
        if self._lines > 2 * count and ledgers(self.folder) == [self.folder.finished]:
            lines = [found.to_json() for found in self._known.values()]
            lines += [_refusal(movie_id, *own) for movie_id, own in self._refused.items()]
            with suppress(OSError):
                write_text_atomically(self.folder.finished, "".join(f"{line}\n" for line in lines))
                self._lines = count


def _version() -> str:
    """Another one may decode more."""
    return importlib.metadata.version("rhas")


def _refusal(movie_id: str, video: FileKey, reason: str) -> str:
    refused = {"video": video, "reason": reason, "version": _version()}
    return json.dumps({"movie_id": movie_id, "shard": None, "refused": refused})


def _key_of(path: Path) -> FileKey:
    """Of a file beside a shard; one that no file has, where there is none."""
    try:
        return file_key(path)
    except OSError:
        return (-1, -1)


def _append(ledger: Path, lines: Sequence[str]) -> None:
    """A line that can't be written is one that a rerun does without, so a full disk is told of by what matters."""
    if not lines:
        return
    with suppress(OSError):
        descriptor = os.open(ledger, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o666)
        with open(descriptor, "ab", buffering=0) as file:  # noqa: PTH123  of a descriptor
            # Each begins a line of its own, whatever was cut off before it; at once, also beside another process.
            file.write("".join(f"\n{line}" for line in lines).encode())
