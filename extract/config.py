"""What an extraction is configured by: frozen settings, checked on construction, and their YAML presets.

Everything in `ExtractConfig` shapes the features and is part of every window's identity: a change of any of
it asks for another output folder. How fast they are made (workers, batch sizes, memory) is `RunOptions`,
which may change from run to run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator, Field, field_validator

from rhas.manifests.common import configs
from rhas.manifests.common.configs import Settings, from_mapping, overridden, preset_path, read_yaml
from rhas.manifests.common.plugins import listed, one_of
from rhas.manifests.shards.status import FrameStatus

PRESETS = Path(__file__).parent / "presets"
DETECTORS, ENCODERS, TRACKERS = "rhas.detectors", "rhas.encoders", "rhas.trackers"  # groups of entry points
OUR_DETECTORS, OUR_ENCODERS = ("groundingdino", "transformers", "boxes"), ("blip2", "clip")
OUR_TRACKERS = ("frames", "builtin", "boxes")
DECODERS_PER_GPU = 3  # 200 frames/s of 1080p movie per GPU, at about 86 frames/s a core
# Decoded frames in flight. A window of 1080p movie takes 0.9 GB; a GPU that never waits has two at work, and for each
# some that wait or are being read.
MEMORY_BYTES_PER_GPU = 6 << 30


Fps = Annotated[float, Field(gt=0, le=1000)]


class DecodeConfig(Settings):
    """How movies become frames."""

    fps: Fps | None = 15.0
    """Frames per second of movie time; null, or `native`, keeps every frame at its own time stamp."""
    short_side: int = Field(800, ge=16, le=8192)
    """Frames are shrunk to this shorter side, in pixels, never enlarged; detector and crops see no more. Best at the
    detector's: smaller loses small persons, larger gains nothing that was seen (`make bench decode_size`)."""
    deinterlace: bool = True
    """Shows the first field of frames that are marked as interlaced, in full height; else both at once."""
    time_origin: Literal["first-frame", "container"] = "first-frame"
    """What time 0 is, of the manifest's intervals, labels, boxes and results: the first frame that is shown, or the
    container's own, which players count from."""
    window_frames: int = Field(256, ge=1, le=65536)
    """The unit of work, of resume and of an HDF5 chunk."""

    @field_validator("fps", mode="before", json_schema_input_type=Fps | Literal["native"] | None)
    @classmethod
    def _native(cls, fps: Any) -> Any:
        return None if fps == "native" else fps


Point = tuple[Annotated[float, Field(ge=0, le=1)], Annotated[float, Field(ge=0, le=1)]]
Curve = Annotated[tuple[Point, ...], Field(min_length=2)]
_AS_IT_IS: Curve = ((0.0, 0.0), (1.0, 1.0))


class SurenessConfig(Settings):
    """How probable it is that a box is that of the person meant, by its score: corners (score, probability) of a curve
    for each status. At first the scores themselves; `rhas calibrate` measures it where boxes are known."""

    detected: Curve = _AS_IT_IS
    followed: Curve = _AS_IT_IS
    doubtful: Curve = _AS_IT_IS
    tracked: Curve = _AS_IT_IS

    def conflicts(self) -> Iterator[tuple[str, str]]:
        for name, curve in (
            ("detected", self.detected),
            ("followed", self.followed),
            ("doubtful", self.doubtful),
            ("tracked", self.tracked),
        ):
            scores = [score for score, _ in curve]
            if any(later <= earlier for earlier, later in pairwise(scores)):
                yield name, "corners in the order of their scores"

    def of(self, status: FrameStatus, score: float) -> float:
        """The probability at a score."""
        scores, probabilities = zip(*getattr(self, status.name.lower()), strict=True)
        return float(np.interp(score, scores, probabilities))


class DetectorConfig(Settings):
    """How the sentence is grounded: which GroundingDINO, and what counts as a detection."""

    implementation: Annotated[str, AfterValidator(one_of(DETECTORS, OUR_DETECTORS))] = Field(
        "groundingdino", json_schema_extra=listed(DETECTORS, OUR_DETECTORS)
    )
    """groundingdino, transformers, boxes, or the name of a detector of another package (see `rhas.extract.ground`)."""
    weights: str = "IDEA-Research/grounding-dino-tiny"
    """A released checkpoint (.pth), a local directory or a hub id; `shipped:mini`; or `random:tiny` / `random:full`.
    For `boxes`, a CSV of boxes that are known already (see rhas.manifests.tables.boxes). Of another package's
    detector, what it says."""
    backbone: Literal["swin-t", "swin-b"] = "swin-t"
    """Which released architecture a .pth checkpoint holds."""
    text_encoder: str = "bert-base-uncased"
    """Local directory or hub id, used by .pth checkpoints."""
    short_side: int = Field(800, ge=16)
    long_side: int = Field(1333, le=8192)
    box_threshold: float = Field(0.35, ge=0, le=1)
    score: Literal["max", "mean"] = "max"
    """Over the sentence's own tokens."""
    nms_iou: float = Field(0.7, ge=0, le=1)
    exclusive: bool = True
    """In a frame each person seen is given to one sentence at most, so that the sum of scores is the highest."""
    same_iou: float = Field(0.5, ge=0, le=1)
    """Boxes that overlap by more are of the same person."""
    follow_threshold: float = Field(0.25, ge=0, le=1)
    """Candidates below `box_threshold`, but not below this, are weak: who was detected shortly before is followed to
    one that overlaps the last box; what else there is of them is kept as doubtful."""
    follow_frames: int = Field(15, ge=0, le=4096)
    """So many frames after a detection a person is still followed."""
    sure: SurenessConfig = SurenessConfig()
    refine: str | None = Field(None, min_length=1)
    """A net that looks at a cut-out around each box, in its own frame, and moves its sides to where the person ends:
    `shipped:mini`, or a folder (see `rhas.extract.refine`). None: boxes are as they are found, or lie between two."""
    joint: bool = False
    """One caption for all persons of a movie instead of one each. Cheaper, but a box then depends on who else is
    referred to."""

    def conflicts(self) -> Iterator[tuple[str, str]]:
        if self.short_side > self.long_side:
            yield "short_side", f"at most long_side, which is {self.long_side}"
        if self.refine is not None and self.implementation == "boxes":
            yield "refine", "none, where implementation is boxes: they are known"

    @property
    def lowest_threshold(self) -> float:
        """From which a candidate is one at all."""
        return min(self.follow_threshold, self.box_threshold)


class TracksConfig(Settings):
    """Whether each frame is grounded by itself, or persons are tracked and the sentences given to whole tracks."""

    implementation: Annotated[str, AfterValidator(one_of(TRACKERS, OUR_TRACKERS))] = Field(
        "frames", json_schema_extra=listed(TRACKERS, OUR_TRACKERS)
    )
    """frames: every sample by itself. builtin: sparse detections, followed through the movie (`rhas.extract.tracks`).
    boxes: those of a file, with its tracks and scores (`detector.implementation: boxes`). Or the name of a tracker of
    another package, which follows whom builtin detects (see `rhas.extract.tracks.outside`)."""
    weights: str = ""
    """Of another package's tracker: what it says."""
    every_s: float = Field(0.4, gt=0, le=60)
    """Seconds between detections."""
    cut: float = Field(8.0, ge=0, le=255)
    """Change of the picture's thumbnail, in grey levels, from which it may be a cut."""
    longest_gap_s: float = Field(2.5, ge=0, le=3600)
    """So long a person may be out of sight, within a shot, and still go on in the same track."""
    everybody: str | None = Field(None, min_length=1)
    """With builtin: a caption that means anybody, such as `the person`, for which each frame that is looked at is
    searched once more. Everybody's tracks are then kept, with pictures, so that `rhas find` can be asked who somebody
    else is. None: only persons of the manifest are looked for."""

    sure: SurenessConfig | None = None
    """As `detector.sure`, of persons who are tracked in two passes: their boxes' scores are another thing, how much
    speaks for the whole track. None: `detector.sure`."""

    @property
    def two_passes(self) -> bool:
        """Whether movies are seen as a whole before anything is encoded."""
        return self.implementation not in ("frames", "boxes")

    @property
    def outside(self) -> bool:
        """Whether a tracker of another package follows persons through the samples between detections."""
        return self.implementation not in OUR_TRACKERS

    def conflicts(self) -> Iterator[tuple[str, str]]:
        if self.everybody is not None and not self.two_passes:
            yield "everybody", "none, or implementation: builtin"
        if self.weights and not self.outside:
            yield "weights", f"none: {self.implementation} has no weights of its own"


class EncoderConfig(Settings):
    """Which vision-language encoder turns frames and crops into features."""

    kind: Annotated[str, AfterValidator(one_of(ENCODERS, OUR_ENCODERS))] = Field(
        "blip2", json_schema_extra=listed(ENCODERS, OUR_ENCODERS)
    )
    """blip2, clip, or the name of an encoder of another package (see `rhas.extract.encode`)."""
    weights: str = "Salesforce/blip2-itm-vit-g"
    """Local directory, hub id, shipped:mini, random:tiny or random:full. Of another package's encoder, what it says."""
    tokens: Literal["mean", "all"] = "mean"
    """Of the Q-Former's query tokens; `all` is 32 times the disk, and each sentence's own vector beside them."""
    streams: Literal["both", "holistic", "partial"] = "both"
    """Features of whole frames, of persons' crops, or both; what isn't wanted is not computed, and NaN in the shards.
    Boxes and statuses are the same in any case."""
    crop_margin: float = Field(0.1, ge=0, le=2)
    """Added on each side of the person's box, as a share of its longer side."""
    crop_every: int = Field(1, ge=1, le=256)
    """Persons are encoded in each so many samples, within a track; between two of these features are interpolated, and
    shards say so (see `rhas.manifests.shards.interpolated`). Only where persons are tracked in two passes."""
    frame_every: int = Field(1, ge=1, le=256)
    """The same of whole frames, within a shot."""

    @property
    def sparse(self) -> bool:
        """Whether some features are interpolated."""
        return max(self.crop_every, self.frame_every) > 1

    def conflicts(self) -> Iterator[tuple[str, str]]:
        if self.kind != "blip2" and self.tokens == "all":
            yield "tokens", f"mean, the only choice for {self.kind}, which has no query tokens"


class ExtractConfig(Settings, title="extraction config"):
    """Everything that shapes the features. Saved beside them; a rerun with another one is refused."""

    decode: DecodeConfig = DecodeConfig()
    detector: DetectorConfig = DetectorConfig()
    tracks: TracksConfig = TracksConfig()
    encoder: EncoderConfig = EncoderConfig()
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """auto: what the features folder was begun with; in a new one bfloat16 on GPUs, and CPUs, that compute in it
    themselves, float32 on others."""

    def conflicts(self) -> Iterator[tuple[str, str]]:
        known = self.detector.implementation == "boxes"
        if self.tracks.implementation == "boxes" and not known:
            yield (
                "tracks.implementation",
                "boxes only with detector.implementation: boxes, the file that holds them",
            )
        if self.tracks.two_passes and known:
            yield "tracks.implementation", "boxes or frames, where detector.implementation is boxes"
        if self.tracks.everybody is not None and self.detector.joint:
            yield (
                "tracks.everybody",
                "none with detector.joint, whose one caption is of all who are referred to",
            )
        if not self.tracks.two_passes and self.encoder.sparse:
            name = "crop_every" if self.encoder.crop_every > 1 else "frame_every"
            yield (
                f"encoder.{name}",
                f"1, where tracks.implementation is {self.tracks.implementation}: it knows no shots",
            )

    @property
    def sure(self) -> SurenessConfig:
        """What is probable at the scores that boxes have by these settings."""
        of_tracks = self.tracks.sure if self.tracks.two_passes else None
        return of_tracks or self.detector.sure

    def resolved(self, bfloat16: bool) -> ExtractConfig:
        """The same configuration with `auto` precision replaced. `bfloat16`: the hardware has it."""
        if self.precision != "auto":
            return self
        return self.replace(precision="bfloat16" if bfloat16 else "float32")

    def as_begun(self, recorded: Any) -> ExtractConfig:
        """The same with `auto` precision as the config has it that a folder was begun with, wherever that was."""
        known = recorded.get("precision") if isinstance(recorded, dict) else None
        return self.resolved(known == "bfloat16") if known in ("float32", "bfloat16") else self


class RunOptions(Settings, title="run options"):
    """How an extraction runs: speed and patience, nothing that changes a feature."""

    gpus: int = Field(0, ge=0)
    """Model workers, one GPU each; 0 runs the models on CPUs."""
    cpus: int | None = Field(None, ge=1)
    """Cores to use; None takes all that the cluster has."""
    workers: int | None = Field(None, ge=1)
    """Model workers when gpus is 0; None is one per four cores."""
    decoders: int | None = Field(None, ge=1)
    """Decoder processes; None is three per GPU, or one per four cores on CPUs."""
    address: str | None = None
    """Of a Ray cluster to join; None works on this machine."""
    ray: bool = False
    """Ray on this machine even where one model worker is all there is to feed, which processes do without it."""
    reader: Literal["packets", "decord"] = "packets"
    """Frames by their packets, or by decord where it shows a movie exactly: the same pictures, to the bit. decord reads
    a movie four times and takes longer (`make bench decode`)."""
    batch: int = Field(16, ge=1)
    """Frames or crops in one model call; halved when memory runs out."""
    memory_bytes: int = Field(MEMORY_BYTES_PER_GPU, ge=1 << 20)
    """Decoded frames in flight, over all workers."""
    span_windows: int = Field(32, ge=1)
    """Consecutive windows of a movie that one decoder reads in a row."""
    deadline_s: float = Field(60.0, gt=0)
    """A decoder without progress for so long is killed."""
    attempts: int = Field(3, ge=1)
    """Of a window that loses its worker."""
    elastic: bool = False
    """Begin with the nodes that are there; workers on others join when these do."""
    patience_s: float = Field(1800.0, gt=0)
    """How long to wait while no worker is there, before giving up."""
    cache: str | None = None
    """Where movies are fetched to that are in a store, on each machine; None is as the environment says."""
    cache_bytes: int | None = Field(None, ge=0)
    """That it may hold; None is as the environment says, or half of the disk's free room."""
    max_failure_rate: float = Field(0.5, ge=0, le=1)
    """Of promised frames and of movies; more ends with exit code 4."""
    rank: int | None = Field(None, ge=0)
    """Which of `world_size` runs this is that share the movies and the folder; None: the only one."""
    world_size: int | None = Field(None, ge=1)
    update: bool = False
    """Redo movies whose sentences or file changed, instead of refusing."""
    retry_failed: bool = False
    """Redo windows that were written with undecodable frames."""
    verify: bool = False
    """Read all finished shards from end to end, not only those whose files have changed since they were read last."""
    speed_check: bool = True
    """At the end, at most 3 s of the models alone, fed from memory: what of their speed the run has reached."""

    def conflicts(self) -> Iterator[tuple[str, str]]:
        if self.gpus and self.workers:
            yield "workers", "none: with gpus, each GPU has one"
        if self.elastic and self.address is None:
            yield "elastic", "with address: the cluster that grows"
        if (self.rank is None) != (self.world_size is None):
            yield "rank", "with world_size: how many ranks there are"
        elif self.rank is not None and self.world_size is not None and self.rank >= self.world_size:
            yield "rank", "below world_size: ranks count from 0"


def default_memory_bytes(gpus: int) -> int:
    """As much as so many model workers need, not to wait."""
    return max(1, gpus) * MEMORY_BYTES_PER_GPU


def object_store_bytes(memory_bytes: int) -> int:
    """What Ray is to have in shared memory for so many bytes of decoded frames in flight."""
    return int(1.5 * memory_bytes) + (512 << 20)


def config_from_dict(values: Any, file: str | Path = "extraction config") -> ExtractConfig:
    """The inverse of `ExtractConfig.to_dict`; errors name `file`."""
    return from_mapping(ExtractConfig(), values, file)


def preset_names() -> list[str]:
    return configs.preset_names(PRESETS)


def load_config(preset: str, overrides: Sequence[str] = ()) -> ExtractConfig:
    """Reads a preset (a shipped name or a path to a YAML file) and applies `section.key=value` overrides.

    Raises InputError for an unknown preset, an unknown key or a value of the wrong type or range.
    """
    path = preset_path(preset, PRESETS, "--preset")
    config = config_from_dict(read_yaml(path), path)
    return config_from_dict(overridden(config, overrides), "--set") if overrides else config
