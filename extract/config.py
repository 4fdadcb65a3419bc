"""What an extraction is configured by: frozen dataclasses, checked on construction, and their YAML presets.

Everything in `ExtractConfig` shapes the features and is part of every window's identity: a change of any of
it asks for another output folder. How fast they are made (workers, batch sizes, memory) is `RunOptions`,
which may change from run to run.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

from rhas.manifests.common import configs
from rhas.manifests.common.checks import one_of, require
from rhas.manifests.common.configs import from_mapping, overridden, preset_path, read_yaml

PRESETS = Path(__file__).parent / "presets"
DECODERS_PER_GPU = 3  # 200 frames/s of 1080p film per GPU, at about 86 frames/s a core
# Decoded frames in flight. A window of 1080p film takes 0.3 GB; a GPU that never waits has two at work, and for each
# some that wait or are being read.
MEMORY_BYTES, MEMORY_BYTES_PER_GPU = 4 << 30, 2 << 30
_require = partial(require, file="extraction config")


@dataclass(frozen=True)
class DecodeConfig:
    """How films become frames."""

    fps: float | None = 15.0  # frames per second of film time; None keeps every frame at its own time stamp
    short_side: int = 480  # frames are shrunk in the decoder to this shorter side, never enlarged
    window_frames: int = 256  # the unit of work, of resume and of an HDF5 chunk

    def __post_init__(self) -> None:
        fps, side, window = self.fps, self.short_side, self.window_frames
        _require(
            (fps is None or 0 < fps <= 1000, "decode.fps", fps, "0 < fps <= 1000, or native"),
            (16 <= side <= 8192, "decode.short_side", side, "16 to 8192 pixels"),
            (1 <= window <= 65536, "decode.window_frames", window, "1 to 65536"),
        )


@dataclass(frozen=True)
class DetectorConfig:
    """How the sentence is grounded: which GroundingDINO, and what counts as a detection."""

    implementation: Literal["groundingdino", "transformers", "boxes"] = "groundingdino"
    # A released checkpoint (.pth), a local directory or a hub id; `shipped:mini`; or `random:tiny` / `random:full`. For
    # `boxes`, a CSV of boxes that are known already (see rhas.manifests.tables.boxes).
    weights: str = "IDEA-Research/grounding-dino-tiny"
    backbone: Literal["swin-t", "swin-b"] = "swin-t"  # which released architecture a .pth checkpoint holds
    text_encoder: str = "bert-base-uncased"  # local directory or hub id, used by .pth checkpoints
    short_side: int = 800
    long_side: int = 1333
    box_threshold: float = 0.35
    score: Literal["max", "mean"] = "max"  # over the sentence's own tokens
    nms_iou: float = 0.7
    carry_frames: int = 15  # a lost person keeps the last box for so many frames, then counts as missing
    # One caption for all persons of a film instead of one each. Cheaper, but a box then depends on who else
    # is referred to.
    joint: bool = False

    def __post_init__(self) -> None:
        sides = f"16 <= short_side <= long_side <= 8192 (long_side is {self.long_side})"
        _require(
            one_of(self, "detector.implementation"),
            one_of(self, "detector.backbone"),
            one_of(self, "detector.score"),
            (16 <= self.short_side <= self.long_side <= 8192, "detector.short_side", self.short_side, sides),
            (
                0 <= self.box_threshold <= 1,
                "detector.box_threshold",
                self.box_threshold,
                "a number from 0 to 1",
            ),
            (0 <= self.nms_iou <= 1, "detector.nms_iou", self.nms_iou, "a number from 0 to 1"),
            (0 <= self.carry_frames <= 4096, "detector.carry_frames", self.carry_frames, "0 to 4096 frames"),
        )


@dataclass(frozen=True)
class EncoderConfig:
    """Which vision-language encoder turns frames and crops into features."""

    kind: Literal["blip2", "clip"] = "blip2"
    weights: str = (
        "Salesforce/blip2-itm-vit-g"  # local directory, hub id, shipped:mini, random:tiny or random:full
    )
    tokens: Literal["mean", "all"] = "mean"  # of the Q-Former's query tokens; `all` is 32 times the disk
    crop_margin: float = 0.1  # added on each side of the person's box, as a share of its longer side

    def __post_init__(self) -> None:
        margin = self.crop_margin
        _require(
            one_of(self, "encoder.kind"),
            one_of(self, "encoder.tokens"),
            (
                not (self.kind == "clip" and self.tokens == "all"), "encoder.tokens", self.tokens,
                "mean, the only choice for clip, which has no query tokens",
            ),
            (0 <= margin <= 2, "encoder.crop_margin", margin, "a number from 0 to 2"),
        )  # fmt: skip


@dataclass(frozen=True)
class ExtractConfig:
    """Everything that shapes the features. Saved beside them; a rerun with another one is refused."""

    decode: DecodeConfig = field(default_factory=DecodeConfig)
    detector: DetectorConfig = field(default_factory=DetectorConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    precision: Literal["auto", "float32", "bfloat16"] = "auto"  # auto: bfloat16 on a GPU, float32 on a CPU

    def __post_init__(self) -> None:
        _require(one_of(self, "precision"))

    def resolved(self, on_gpu: bool) -> ExtractConfig:
        """The same configuration with `auto` precision replaced by what it means on this hardware."""
        if self.precision != "auto":
            return self
        return dataclasses.replace(self, precision="bfloat16" if on_gpu else "float32")

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class RunOptions:
    """How an extraction runs: speed and patience, nothing that changes a feature."""

    gpus: int = 0  # model workers, one GPU each; 0 runs the models on CPUs
    cpus: int | None = None  # cores to use; None takes all that the cluster has
    workers: int | None = None  # model workers when gpus is 0; None is one per four cores
    decoders: int | None = None  # decoder processes; None is three per GPU, or one per four cores on CPUs
    address: str | None = None  # of a Ray cluster to join; None starts Ray on this machine
    batch: int = 16  # frames or crops in one model call; halved when memory runs out
    memory_bytes: int = MEMORY_BYTES  # decoded frames in flight, over all workers
    span_windows: int = 32  # consecutive windows of a film that one decoder reads in a row
    deadline_s: float = 60.0  # a decoder without progress for so long is killed
    attempts: int = 3  # of a window that loses its worker
    elastic: bool = False  # begin with the nodes that are there; workers on others join when these do
    patience_s: float = 1800.0  # how long to wait while no worker is there, before giving up
    max_failure_rate: float = 0.5  # of promised frames and of films; more ends with exit code 4
    update: bool = False  # redo films whose sentences or file changed, instead of refusing
    retry_failed: bool = False  # redo windows that were written with undecodable frames

    def __post_init__(self) -> None:
        lowest = {"gpus": 0, "batch": 1, "memory_bytes": 1 << 20, "span_windows": 1, "attempts": 1}
        lowest |= {n: 1 for n in ("cpus", "workers", "decoders") if getattr(self, n) is not None}
        values = {name: getattr(self, name) for name in lowest}
        rate = self.max_failure_rate
        _require(
            *((values[n] >= low, n, values[n], f"at least {low}") for n, low in lowest.items()),
            (not (self.gpus and self.workers), "workers", self.workers, "none: with gpus, each GPU has one"),
            (self.deadline_s > 0, "deadline_s", self.deadline_s, "more than 0 seconds"),
            (self.patience_s > 0, "patience_s", self.patience_s, "more than 0 seconds"),
            (
                not self.elastic or self.address is not None,
                "elastic",
                True,
                "with address: the cluster that grows",
            ),
            (0 <= rate <= 1, "max_failure_rate", rate, "a number from 0 to 1"),
            file="run options",
        )


def default_memory_bytes(gpus: int) -> int:
    """As much as so many model workers need, not to wait."""
    return max(MEMORY_BYTES, gpus * MEMORY_BYTES_PER_GPU)


def config_from_dict(values: Any, file: str | Path = "extraction config") -> ExtractConfig:
    """The inverse of `ExtractConfig.to_dict`; errors name `file`. An fps of `native` is that of None."""
    decode = values.get("decode") if isinstance(values, dict) else None
    if isinstance(decode, dict) and decode.get("fps") == "native":
        values = values | {"decode": decode | {"fps": None}}
    return from_mapping(ExtractConfig(), values, file)


def preset_names() -> list[str]:
    return configs.preset_names(PRESETS)


def load_config(preset: str, overrides: Sequence[str] = ()) -> ExtractConfig:
    """Reads a preset (a shipped name or a path to a YAML file) and applies `section.key=value` overrides.

    Raises InputError for an unknown preset, an unknown key or a value of the wrong type or range.
    """
    path = preset_path(preset, PRESETS, "--preset")
    config = config_from_dict(read_yaml(path), path)
    return config_from_dict(overridden(config.to_dict(), overrides), "--set") if overrides else config
