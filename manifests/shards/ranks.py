"""Several runs that write into one features folder at the same time, each with its share of the movies: ranks.

In: a folder and a rank, such as 3 of 16. Out: a `RankFolder`, in which a rank has files of its own where others would
be in its way; and what all of them say together. Shards, parts and indexes are of one movie each.

    ranks/3-of-16/      share.json (its movies, and how many times these were shared out), failures.csv,
                        finished.jsonl, report.json, tracebacks.txt, lock: as those of the whole folder, of its share
    ranks/split-ID.json who has which movie: made by the first, the same for all
    failures.csv, report.json   all ranks' together, made anew whenever one of them ends

A movie's failures are those that the rank says that had it last. So a rerun may have another number of ranks, or none:
a run without takes over what ranks left. Which movies a rank has is decided elsewhere.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rhas.manifests.common.atomic import write_text_atomically
from rhas.manifests.common.errors import InputError, Problem
from rhas.manifests.common.lock import holders
from rhas.manifests.shards.failures import Failure, read_failures, write_failures
from rhas.manifests.shards.layout import FeaturesFolder
from rhas.manifests.tables.manifest import Manifest

_ONCE_MERGED = ("share.json", "failures.csv", "report.json", "finished.jsonl")


@dataclass(frozen=True)
class Rank:
    """One of `of` runs, counted from 0."""

    number: int
    of: int

    def __str__(self) -> str:
        return f"{self.number}-of-{self.of}"


@dataclass(frozen=True)
class RankFolder(FeaturesFolder):
    """A features folder as one rank sees it."""

    rank: Rank = field(kw_only=True)

    @property
    def own(self) -> Path:
        return self.ranks / str(self.rank)

    @property
    def failures(self) -> Path:
        return self.own / "failures.csv"

    @property
    def finished(self) -> Path:
        return self.own / "finished.jsonl"

    @property
    def report(self) -> Path:
        return self.own / "report.json"

    @property
    def tracebacks(self) -> Path:
        return self.own / "tracebacks.txt"

    @property
    def lock(self) -> Path:
        return self.own / "lock"


@dataclass(frozen=True)
class Share:
    """What a rank was given. `turn` counts how often its movies were shared out before: the highest one knows best."""

    rank: str
    turn: int
    movies: tuple[str, ...]


@contextmanager
def among_its_own(folder: FeaturesFolder) -> Iterator[None]:
    """For who holds the folder's lock: raises InputError beside runs that share it out otherwise."""
    others = [folder.root / "lock", *folder.ranks.glob("*-of-*/lock")]
    if isinstance(folder, RankFolder):
        others = [path for path in others if not path.parent.name.endswith(f"-of-{folder.rank.of}")]
    for path, who in holders([path for path in others if path != folder.lock]).items():
        how = "ranks of one and the same number, or one run without"
        raise InputError(Problem(path, f"no other run to be writing here but {how}", value=who))
    yield


def take_share(folder: RankFolder, movies: Sequence[str]) -> None:
    """Notes which movies the rank has from now on."""
    mine = set(movies)
    turn = 1 + max((share.turn for share in _shares(folder) if mine & set(share.movies)), default=0)
    text = json.dumps({"turn": turn, "movies": list(movies)})
    # Before it counts, what an earlier run said of other movies under this name must not be taken for theirs.
    write_failures(folder.failures, [f for f in recorded_failures(folder) if f.movie_id in mine])
    write_text_atomically(folder.own / "share.json", text)


def recorded_failures(folder: FeaturesFolder) -> list[Failure]:
    """Of all movies, whoever had them: failures.csv, and what ranks say of theirs. Raises InputError."""
    whole = FeaturesFolder(folder.root).failures
    found: dict[str, list[Failure]] = {}
    for failure in read_failures(whole) if whole.exists() else []:
        found.setdefault(failure.movie_id, []).append(failure)
    for share in sorted(_shares(folder), key=lambda share: share.turn):
        for movie_id in share.movies:
            found.pop(movie_id, None)
        path, mine = folder.ranks / share.rank / "failures.csv", set(share.movies)
        for failure in read_failures(path) if path.exists() else []:
            if failure.movie_id in mine:
                found.setdefault(failure.movie_id, []).append(failure)
    return [failure for failures in found.values() for failure in failures]


def merge(folder: RankFolder, manifest: Manifest) -> None:
    """Writes failures.csv and report.json of all ranks; whoever ends last writes what is true of all."""
    whole = FeaturesFolder(folder.root)
    places = {movie.movie_id: at for at, movie in enumerate(manifest.movies)}
    written = None
    while True:
        failures = sorted(recorded_failures(folder), key=lambda f: places.get(f.movie_id, len(places)))
        reports = _reports(folder)
        if (failures, reports) == written:
            return
        write_failures(whole.failures, failures)
        if reports:
            write_text_atomically(whole.report, json.dumps(merged_report(reports), indent=2) + "\n")
        written = failures, reports


def take_over(folder: FeaturesFolder) -> None:
    """For a run without ranks, before it works: what ranks said becomes the folder's own."""
    if not (rank_folders := [path for path in folder.ranks.glob("*-of-*") if path.is_dir()]):
        return
    write_failures(folder.failures, recorded_failures(folder))
    lines = b"".join(
        _bytes(path / "finished.jsonl") + b"\n" for path in _by_time(rank_folders, "finished.jsonl")
    )
    if lines.strip():
        with folder.finished.open("ab") as file:
            file.write(b"\n" + lines)
    for path in rank_folders:
        for name in _ONCE_MERGED:
            (path / name).unlink(missing_ok=True)


def ledgers(folder: FeaturesFolder) -> list[Path]:
    """All files in the form of finished.jsonl, the one that was written last at the end."""
    whole = FeaturesFolder(folder.root).finished
    ranks = [path / whole.name for path in folder.ranks.glob("*-of-*")]
    return [path.parent / path.name for path in sorted([whole, *ranks], key=_time) if path.exists()]


def merged_report(reports: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """report.json of several runs as if they had been one, at the same time: rates and workers add up."""
    frames = sum(report["frames"] for report in reports)
    stages: Counter[str] = Counter()
    workers: Counter[str] = Counter()
    for report in reports:
        stages.update(report.get("stage_s", {}))
        workers.update(report.get("workers", {}))
    rates = [report["frames_per_s"] for report in reports if report.get("frames_per_s")]
    alone = [report.get("models_alone_frames_per_s") for report in reports]
    known = [rate for rate in alone if rate]
    return {
        "ranks": len(reports),
        "frames": frames,
        "elapsed_s": max((report.get("elapsed_s", 0.0) for report in reports), default=0.0),
        "frames_per_s": round(sum(rates), 3) if rates else None,
        "stage_s": {name: round(seconds, 3) for name, seconds in stages.items()},
        "workers": dict(workers),
        "limiting_stage": max(stages, key=lambda name: stages[name]) if frames and stages else None,
        "models_alone_frames_per_s": round(sum(known), 3) if known else None,
        "share_of_models_alone": round(sum(rates) / sum(known), 4)
        if len(known) == len(reports) and rates
        else None,
    }


def _shares(folder: FeaturesFolder) -> list[Share]:
    found = []
    for path in sorted(folder.ranks.glob("*-of-*/share.json")):
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            found.append(Share(path.parent.name, int(values["turn"]), tuple(map(str, values["movies"]))))
        except FileNotFoundError:
            continue
        except (OSError, ValueError, TypeError, LookupError) as error:
            raise InputError(Problem(path, f"the share of a rank ({error})")) from error
    return found


def _reports(folder: RankFolder) -> list[dict[str, Any]]:
    """Of the ranks of this number that have ended."""
    found = []
    for path in sorted(folder.ranks.glob(f"*-of-{folder.rank.of}/report.json")):
        with suppress(OSError, ValueError):
            found.append(json.loads(path.read_text(encoding="utf-8")))
    return [report for report in found if isinstance(report, dict) and report.get("frames")]


def _by_time(folders: Sequence[Path], name: str) -> list[Path]:
    return sorted((path for path in folders if (path / name).exists()), key=lambda path: _time(path / name))


def _time(path: Path) -> int:
    with suppress(OSError):
        return path.stat().st_mtime_ns
    return 0


def _bytes(path: Path) -> bytes:
    with suppress(OSError):
        return path.read_bytes()
    return b""
