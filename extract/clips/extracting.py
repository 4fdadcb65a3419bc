"""All clips of a table, movie by movie: a movie whose file is there, and of these clips, is left alone.

A clip is lost where its movie can't be decoded, its moment lies behind the movie's end, one of its frames can't be
had, or its features can't be stored; it is then in no file, and in failures.csv. Models and sentences that don't go
together are told before any movie is read.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rhas.extract.clips.config import ClipConfig
from rhas.extract.clips.seeing import Seen, Seer
from rhas.extract.config import ExtractConfig
from rhas.extract.decode.index import MovieIndex
from rhas.extract.decode.process import DecodeError, DecoderProcess, fit_short_side
from rhas.extract.decode.sampling import ROUNDING_S
from rhas.extract.encode import load_encoder
from rhas.extract.encode.windows import FeatureError
from rhas.extract.ground import load_detector
from rhas.extract.refine.refiner import refiner_of
from rhas.extract.weights.hardware import cpu_has_bfloat16, gpus_have_bfloat16
from rhas.manifests.common.atomic import write_text_atomically
from rhas.manifests.common.errors import InputError, Problem
from rhas.manifests.common.interruption import check
from rhas.manifests.common.lock import locked
from rhas.manifests.shards.clip_tokens import (
    ClipFolder,
    ClipTokens,
    clips_id,
    read_movie,
    write_arrays,
    write_clip_failures,
    write_movie,
)
from rhas.manifests.shards.format import one_line
from rhas.manifests.shards.identity import content_id
from rhas.manifests.tables.clips import Clip, load_clips, write_clips
from rhas.manifests.tables.vocabulary import load_vocabulary, write_vocabulary


@dataclass(frozen=True)
class Extracted:
    """What came of it."""

    clips: int
    there_already: int  # of these, in files that were
    lost: int
    reasons: tuple[str, ...]


class _Lost(Exception):
    """Why a moment can't be seen."""


def extract_clips(
    table: Path, actions: Path, out: Path, config: ExtractConfig, clip_config: ClipConfig, device: str = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> Extracted:  # fmt: skip
    """Writes the folder `out`; `progress` gets the clips done and all of them.

    Raises InputError for a table that can't be read, sentences that the models can't, and a folder that holds other
    clips or was made otherwise.
    """
    if config.encoder.streams != "both":
        expected = "both: a clip has features of the whole frames and of the person"
        value = config.encoder.streams
        raise InputError(Problem("extraction config", expected, column="encoder.streams", value=value))
    vocabulary = load_vocabulary(actions)
    clips = load_clips(table, vocabulary)
    if config.encoder.kind == "blip2":
        config = config.replace(encoder=config.encoder.replace(tokens="all"))
    folder = ClipFolder(out)
    if folder.config.exists():
        config = config.as_begun(folder.record()["config"])
    on_gpu = torch.device(device).type == "cuda"
    config = config.resolved(gpus_have_bfloat16() if on_gpu else cpu_has_bfloat16())
    detector, encoder = load_detector(config.detector), load_encoder(config.encoder)
    detector.to(device)
    encoder.to(device)
    models: dict[str, tuple[str, Any]] = {
        "detector": (config.detector.weights, detector), "encoder": (config.encoder.weights, encoder),
    }  # fmt: skip
    if (refiner := refiner_of(config.detector, device)) is not None:
        models["refiner"] = (str(config.detector.refine), refiner)
    seer = Seer(encoder, detector, config, clip_config, torch.device(device), refiner)
    sentences = list(dict.fromkeys(clip.reference for clip in clips))
    encoder.check(sentences)
    detector.check(sentences)
    record = {
        "config": config.to_dict(), "clips": clip_config.to_dict(), "shape": [seer.tokens, seer.width],
        "models": {part: {"name": name, "hash": own.weights_hash} for part, (name, own) in models.items()},
    }  # fmt: skip
    record = json.loads(json.dumps(record))  # as it is read again
    with locked(folder.lock):
        _begin(folder, record)
        write_vocabulary(vocabulary, folder.actions)
        write_clips(clips, folder.clips)
        write_arrays(folder.names, {"names": seer.name_embeddings()}, {})
        return _all_movies(folder, clips, content_id(record), seer, progress)


def _begin(folder: ClipFolder, record: dict[str, Any]) -> None:
    if folder.config.exists():
        before = folder.record()
        if others := [name for name in record if before.get(name) != record[name]]:
            expected = f"what it was begun with (another extraction needs another --out); another {', '.join(others)}"
            raise InputError(Problem(folder.config, expected))
    folder.root.mkdir(parents=True, exist_ok=True)
    write_text_atomically(folder.config, json.dumps(record, indent=1))


def _all_movies(
    folder: ClipFolder, clips: Sequence[Clip], extraction: str, seer: Seer, progress: Callable[[int, int], None] | None
) -> Extracted:  # fmt: skip
    by_movie: dict[str, list[int]] = {}
    for row, clip in enumerate(clips):
        by_movie.setdefault(clip.movie_id, []).append(row)
    done = there = 0
    failures: list[tuple[str, str, float, str]] = []
    with DecoderProcess(deinterlace=seer.config.decode.deinterlace) as decoder:
        for movie_id, rows in by_movie.items():
            check()
            path, own = folder.movie(movie_id), [clips[row] for row in rows]
            identity = _identity(extraction, own, rows)
            if _stored(path) != identity:
                tokens, lost = _movie(decoder, own, rows, seer)
                if tokens is None:
                    path.unlink(missing_ok=True)
                else:  # where some are lost, a rerun tries again
                    stored = tokens.row.tolist()
                    of = clips_id(stored, [clips[row] for row in stored])
                    write_movie(path, tokens, "" if lost else identity, of)
                failures += lost
            else:
                there += len(rows)
            done += len(rows)
            if progress:
                progress(done, len(clips))
    write_clip_failures(folder.failures, failures)
    reasons = tuple(dict.fromkeys(f"{movie}: {reason}" for movie, _, _, reason in failures))
    return Extracted(len(clips) - len(failures), there, len(failures), reasons)


def _identity(extraction: str, clips: Iterable[Clip], rows: Sequence[int]) -> str:
    """Of what a movie's file has to hold: the extraction, the clips, and the movie as its size and time tell."""
    said = [[clip.person_id, clip.time_s, clip.reference] for clip in clips]
    video = next(iter(clips)).video
    stamp = [video.stat().st_size, video.stat().st_mtime_ns] if video.is_file() else None
    return content_id([extraction, said, list(rows), stamp])


def _stored(path: Path) -> str | None:
    """What a file is of; None where there is none that is sound."""
    try:
        return str(read_movie(path)[1]["identity"]) if path.exists() else None
    except InputError:
        return None


def _movie(
    decoder: DecoderProcess, clips: Sequence[Clip], rows: Sequence[int], seer: Seer
) -> tuple[ClipTokens | None, list[tuple[str, str, float, str]]]:
    """What its clips give, and who is lost."""
    lost: list[tuple[str, str, float, str]] = []
    try:
        index = decoder.index(clips[0].video)
    except DecodeError as error:
        return None, [_failure(clip, str(error)) for clip in clips]
    order = sorted(range(len(clips)), key=lambda k: (clips[k].time_s, k))
    seen: dict[int, Seen] = {}
    for time_s, group in groupby(order, key=lambda k: clips[k].time_s):
        check()
        here = list(group)
        try:
            frames, key = _frames(decoder, clips[0].video, index, time_s, seer)
            found = seer.see(frames, key, [clips[k].reference for k in here])
        except (_Lost, FeatureError) as error:
            lost += [_failure(clips[k], str(error)) for k in here]
            continue
        seen.update(zip(here, found, strict=True))
    if not seen:
        return None, lost
    there = sorted(seen)
    columns = {field.name: np.stack([getattr(seen[k], field.name) for k in there]) for field in fields(Seen)}
    return ClipTokens(row=np.array([rows[k] for k in there], np.int64), **columns), lost


def _failure(clip: Clip, reason: str) -> tuple[str, str, float, str]:
    return clip.movie_id, clip.person_id, clip.time_s, one_line(reason)


def _frames(
    decoder: DecoderProcess, video: Path, index: MovieIndex, time_s: float, seer: Seer
) -> tuple[np.ndarray, int]:
    """The clip's frames [T, H, W, 3], and which is the key frame. At either end of the movie frames stand still."""
    decode = seer.config.decode
    origin_s = index.facts.offset_s if decode.time_origin == "container" else 0.0
    moment_s = time_s - origin_s
    if not -ROUNDING_S <= moment_s < index.end_s:
        raise _Lost(f"{time_s:g} s lies outside the movie, which ends at {origin_s + index.end_s:.3f} s")
    times_s = np.array(seer.clips.times_s(moment_s)).clip(0, index.end_s)
    after = np.searchsorted(index.start_s - ROUNDING_S, times_s, side="right")
    wanted = np.maximum(after, 1).astype(np.int64) - 1
    frames, back = np.unique(wanted, return_inverse=True)
    size = fit_short_side(index.facts.height, index.facts.width, decode.short_side)
    try:
        read = decoder.read(video, index, frames, size)
    except DecodeError as error:
        raise _Lost(str(error)) from error
    if not read.ok.all():
        raise _Lost(
            f"{(~read.ok).sum()} of {len(frames)} frames around {time_s:g} s can't be had: {read.reason}"
        )
    return read.pixels[back], seer.clips.key
