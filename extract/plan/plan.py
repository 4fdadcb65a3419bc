"""What an extraction will cost, before any model is loaded: every movie's packets are read, nothing is decoded but its
first frames.

Out: per movie what it is, what is unusual about it, its frames, the promised person-frames, the bytes that its shard
will take, or why it can't be opened; and the hours, from the speed of an earlier run or from the models' arithmetic.
"""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rhas.extract.config import OUR_DETECTORS, DetectorConfig, ExtractConfig
from rhas.extract.decode.notes import notes_on
from rhas.extract.decode.process import DecodeError, DecoderProcess
from rhas.extract.decode.stored_movies import check_stores
from rhas.extract.tracks.sparse import looked_at
from rhas.manifests.common.errors import InputError, Problem
from rhas.manifests.shards.status import streams_of
from rhas.manifests.tables.inputs import Inputs
from rhas.manifests.tables.labels import Labels
from rhas.manifests.tables.manifest import Movie

# TFLOP of a forward pass at the released input sizes: GroundingDINO Swin-T at 800×1333 with 20 text tokens,
# of which the image backbone is 23 %; BLIP-2's ViT-g/14 and CLIP's ViT-B/32 at 224×224.
DETECTOR_TFLOP = 0.82
DETECTOR_BACKBONE_SHARE = 0.23
DETECTOR_PIXELS = 800 * 1333
ENCODER_TFLOP = {"blip2": 0.533, "clip": 0.0088}
# Feature values per frame and stream.
FEATURE_SIZE = {("blip2", "mean"): 768, ("blip2", "all"): 32 * 768, ("clip", "mean"): 512}
# Pixels that decord decodes a second on one core: 86 frames of 1080p, 147 of 720p.
DECODED_PIXELS_PER_S = 150e6
ROW_BYTES = 16 + 4 + 4 + 2 + 1 + 4  # box, score, sure, candidates, status, track


@dataclass(frozen=True)
class MoviePlan:
    """A probed movie. `reason` says why it can't be extracted; the numbers are then zero."""

    movie_id: str
    persons: int
    hours: float = 0.0
    frames: int = 0  # samples in which somebody is promised
    person_frames: int = 0
    height: int = 0
    width: int = 0
    bytes: int = 0
    tflop: float = 0.0
    decode_core_s: float = 0.0
    codec: str = ""
    rate: float = 0.0  # frames a second on average, as the container says
    reason: str = ""
    notes: tuple[str, ...] = ()  # what is unusual


def is_known(config: ExtractConfig) -> bool:
    """Whether it is known what the models cost and give: not of other packages' ones, whose features count as
    nothing."""
    ours = config.detector.implementation in OUR_DETECTORS and not config.tracks.outside
    return ours and config.encoder.kind in ENCODER_TFLOP


def plan_movies(inputs: Inputs, config: ExtractConfig, cpus: int | None = None) -> list[MoviePlan]:
    """Reads all movies' packets, of as many at a time as there are cores."""
    check_stores(inputs.manifest)
    with ThreadPoolExecutor(cpus or os.cpu_count() or 1) as threads:
        return list(threads.map(lambda movie: _plan(movie, config, inputs.labels), inputs.manifest.movies))


def _plan(movie: Movie, config: ExtractConfig, labels: Labels | None) -> MoviePlan:
    try:
        with DecoderProcess() as decoder:
            index = decoder.index(movie.video)
    except DecodeError as error:
        return MoviePlan(movie.movie_id, len(movie.persons), reason=str(error))
    facts = index.facts
    grid = index.samples(config.decode.fps, config.decode.time_origin)
    inside = np.array([(grid.time_s >= p.start_s) & (grid.time_s < p.end_s) for p in movie.persons])
    frames, person_frames = int(inside.any(axis=0).sum()), int(inside.sum())
    row_bytes = (
        len(streams_of(config.to_dict()))
        * 2
        * FEATURE_SIZE.get((config.encoder.kind, config.encoder.tokens), 0)
        + ROW_BYTES
    )
    return MoviePlan(
        movie_id=movie.movie_id,
        persons=len(movie.persons),
        hours=index.end_s / 3600,
        frames=frames,
        person_frames=person_frames,
        height=facts.height,
        width=facts.width,
        bytes=person_frames * row_bytes + 16 * len(grid),
        tflop=_tflop(
            frames, person_frames, facts.height, facts.width, config, _looked(grid.time_s, inside, config)
        ),
        # Frames between the samples are decoded too: later ones refer to them.
        codec=facts.codec,
        rate=facts.rate,
        notes=(*notes_on(index), *_out_of_it(movie, float(grid.time_s[0]) + index.end_s, labels)),
        # Each pass of a movie decodes it.
        decode_core_s=(1 + config.tracks.two_passes)
        * facts.frames
        * facts.coded_height
        * facts.coded_width
        / DECODED_PIXELS_PER_S,
    )


def _out_of_it(movie: Movie, end_s: float, labels: Labels | None) -> list[str]:
    """Where the manifest or the labels speak of times that the movie hasn't got."""
    notes = []
    for person in movie.persons:
        if person.start_s > end_s:
            notes.append(
                f"person {person.person_id} is meant from {person.start_s:g} s on, behind its end at {end_s:.1f} s"
            )
    behind = [
        interval.start_s
        for person in movie.persons
        for interval in (labels.intervals.get(person.key, ()) if labels else ())
        if interval.start_s > end_s
    ]
    if behind:
        lie = "label lies" if len(behind) == 1 else "labels lie"
        notes.append(
            f"{len(behind)} {lie} behind its end at {end_s:.1f} s, the first at {min(behind):g} s: was it cut, or "
            "are they frame numbers?"
        )
    return notes


def _looked(time_s: NDArray[np.float64], inside: NDArray[np.bool_], config: ExtractConfig) -> float:
    """The share of the frames with somebody in them that the detector sees."""
    if not config.tracks.two_passes or not inside.any():
        return 1.0
    look = looked_at(time_s, list(inside), config.tracks.every_s)
    return float(look.sum() / inside.any(axis=0).sum())


def _tflop(
    frames: int, person_frames: int, height: int, width: int, config: ExtractConfig, looked: float
) -> float:
    """Arithmetic of the models: what is paid per frame, and what per person and frame.

    `looked`: the share of frames that the detector sees.
    """
    detector = config.detector
    scale = _detector_scale(height, width, detector)
    known = detector.implementation == "boxes"
    ground = 0.0 if known else looked * DETECTOR_TFLOP * scale * height * width / DETECTOR_PIXELS
    fusion = frames if detector.joint else person_frames
    backbone = DETECTOR_BACKBONE_SHARE * ground
    encode = ENCODER_TFLOP.get(config.encoder.kind, 0.0)
    streams, encoder = streams_of(config.to_dict()), config.encoder
    # Ends of tracks and shots, which are encoded as well, aren't known yet.
    images = ("holistic" in streams) * frames / encoder.frame_every
    images += ("partial" in streams) * person_frames / encoder.crop_every
    return frames * backbone + fusion * (ground - backbone) + images * encode


def _detector_scale(height: int, width: int, detector: DetectorConfig) -> float:
    """Pixels of the detector's input over pixels of the movie's frame."""
    scale = min(detector.short_side / min(height, width), detector.long_side / max(height, width))
    return scale**2


def seconds_like(report: Path, frames: int, gpus: int) -> float:
    """Seconds for `frames` at the speed per model worker of an earlier run. Raises InputError."""
    try:
        record = json.loads(report.read_text(encoding="utf-8"))
        per_worker = float(record["frames_per_s"]) / int(record["workers"]["models"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            Problem(report, f"the report.json of an extraction that did some work ({error!r})")
        ) from error
    return frames / (per_worker * max(1, gpus))
