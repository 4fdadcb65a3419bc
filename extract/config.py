"""What an extraction is configured by: frozen dataclasses, checked on construction, and their YAML presets.

Everything in `ExtractConfig` shapes the features and is part of every window's identity: a change of any of
it asks for another output folder. How fast they are made (workers, batch sizes, memory) is `RunOptions`,
which may change from run to run.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from manifests.errors import InputError, Problem

PRESETS = Path(__file__).parent / "presets"


def _require(condition: bool, field_name: str, value: object, expected: str) -> None:
    if not condition:
        raise InputError(Problem("extraction config", expected, column=field_name, value=value))


@dataclass(frozen=True)
class DecodeConfig:
    """How films become frames."""

    fps: float | None = 15.0  # frames per second of film time; None keeps every frame at its own time stamp
    short_side: int = 480  # frames are shrunk in the decoder to this shorter side, never enlarged
    window_frames: int = 256  # the unit of work, of resume and of an HDF5 chunk

    def __post_init__(self) -> None:
        _require(self.fps is None or 0 < self.fps <= 1000, "decode.fps", self.fps, "0 < fps <= 1000 or null")
        _require(16 <= self.short_side <= 8192, "decode.short_side", self.short_side, "16 to 8192 pixels")
        _require(1 <= self.window_frames <= 65536, "decode.window_frames", self.window_frames, "1 to 65536")


@dataclass(frozen=True)
class DetectorConfig:
    """How the sentence is grounded: which GroundingDINO, and what counts as a detection."""

    implementation: Literal["groundingdino", "transformers"] = "groundingdino"
    # A released checkpoint (.pth), a local directory or a hub id; or `random:tiny` / `random:full`.
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
        _require(self.implementation in ("groundingdino", "transformers"), "detector.implementation",
                 self.implementation, "groundingdino or transformers")  # fmt: skip
        _require(
            self.backbone in ("swin-t", "swin-b"), "detector.backbone", self.backbone, "swin-t or swin-b"
        )
        _require(16 <= self.short_side <= self.long_side, "detector.short_side", self.short_side,
                 f"16 <= short_side <= long_side ({self.long_side})")  # fmt: skip
        for name in ("box_threshold", "nms_iou"):
            value = getattr(self, name)
            _require(0 <= value <= 1, f"detector.{name}", value, "a number from 0 to 1")
        _require(self.score in ("max", "mean"), "detector.score", self.score, "max or mean")
        _require(
            0 <= self.carry_frames <= 4096, "detector.carry_frames", self.carry_frames, "0 to 4096 frames"
        )


@dataclass(frozen=True)
class EncoderConfig:
    """Which vision-language encoder turns frames and crops into features."""

    kind: Literal["blip2", "clip"] = "blip2"
    weights: str = "Salesforce/blip2-itm-vit-g"  # local directory or hub id; or `random:tiny` / `random:full`
    tokens: Literal["mean", "all"] = "mean"  # of the Q-Former's query tokens; `all` is 32 times the disk
    crop_margin: float = 0.1  # added on each side of the person's box, as a share of its longer side

    def __post_init__(self) -> None:
        _require(self.kind in ("blip2", "clip"), "encoder.kind", self.kind, "blip2 or clip")
        _require(self.tokens in ("mean", "all"), "encoder.tokens", self.tokens, "mean or all")
        _require(self.tokens == "mean" or self.kind == "blip2", "encoder.tokens", self.tokens,
                 "mean, the only choice for clip, which has no query tokens")  # fmt: skip
        _require(0 <= self.crop_margin <= 2, "encoder.crop_margin", self.crop_margin, "a number from 0 to 2")


@dataclass(frozen=True)
class ExtractConfig:
    """Everything that shapes the features. Saved beside them; a rerun with another one is refused."""

    decode: DecodeConfig = field(default_factory=DecodeConfig)
    detector: DetectorConfig = field(default_factory=DetectorConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    precision: Literal["auto", "float32", "bfloat16"] = "auto"  # auto: bfloat16 on a GPU, float32 on a CPU

    def __post_init__(self) -> None:
        _require(self.precision in ("auto", "float32", "bfloat16"), "precision", self.precision,
                 "auto, float32 or bfloat16")  # fmt: skip

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
    memory_bytes: int = 4 << 30  # decoded frames in flight, over all workers
    span_windows: int = 32  # consecutive windows of a film that one decoder reads in a row
    deadline_s: float = 60.0  # a decoder without progress for so long is killed
    attempts: int = 3  # of a window that loses its worker
    max_failure_rate: float = 0.5  # of promised frames and of films; more ends with exit code 4
    update: bool = False  # redo films whose sentences or file changed, instead of refusing
    retry_failed: bool = False  # redo windows that were written with undecodable frames

    def __post_init__(self) -> None:
        for name, low in [
            ("gpus", 0),
            ("batch", 1),
            ("memory_bytes", 1 << 20),
            ("span_windows", 1),
            ("attempts", 1),
        ]:
            _require(getattr(self, name) >= low, name, getattr(self, name), f"at least {low}")
        for name in ("cpus", "workers", "decoders"):
            value = getattr(self, name)
            _require(value is None or value >= 1, name, value, "at least 1")
        _require(self.deadline_s > 0, "deadline_s", self.deadline_s, "more than 0 seconds")
        _require(0 <= self.max_failure_rate <= 1, "max_failure_rate", self.max_failure_rate, "0 to 1")


def _build(cls: type, values: dict[str, Any], where: str, file: str | Path) -> Any:
    """Builds the dataclass `cls` from a mapping; unknown keys and wrong types are errors."""
    fields = {f.name: f for f in dataclasses.fields(cls)}
    if not isinstance(values, dict):
        raise InputError(
            Problem(file, f"a mapping of {', '.join(fields)}", column=where or None, value=values)
        )
    built = {}
    for name, value in values.items():
        path = f"{where}.{name}" if where else name
        if name not in fields:
            raise InputError(Problem(file, f"one of {', '.join(fields)}", column=path, value=value))
        default = getattr(cls(), name)
        if dataclasses.is_dataclass(default):
            value = _build(type(default), value, path, file)
        elif path == "decode.fps" and value in (None, "native"):
            value = None
        elif isinstance(default, bool) or isinstance(value, bool):
            if not (isinstance(default, bool) and isinstance(value, bool)):
                raise InputError(Problem(file, f"a {type(default).__name__}", column=path, value=value))
        elif isinstance(default, float) and isinstance(value, int):
            value = float(value)
        elif not isinstance(value, type(default)):
            raise InputError(Problem(file, f"a {type(default).__name__}", column=path, value=value))
        built[name] = value
    return cls(**built)


def config_from_dict(values: dict[str, Any], file: str | Path = "extraction config") -> ExtractConfig:
    """The inverse of `ExtractConfig.to_dict`; errors name `file`."""
    return _build(ExtractConfig, values, "", file)


def preset_names() -> list[str]:
    return sorted(p.stem for p in PRESETS.glob("*.yaml"))


def load_config(preset: str, overrides: list[str] | None = None) -> ExtractConfig:
    """Reads a preset (a shipped name or a path to a YAML file) and applies `section.key=value` overrides.

    Raises InputError for an unknown preset, an unknown key or a value of the wrong type.
    """
    path = PRESETS / f"{preset}.yaml" if preset in preset_names() else Path(preset)
    if not path.is_file():
        raise InputError(
            Problem("--preset", f"one of {', '.join(preset_names())} or a YAML file", value=preset)
        )
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(Problem(path, f"readable YAML ({error})")) from error
    for override in overrides or []:
        key, equals, text = override.partition("=")
        if not equals:
            raise InputError(Problem("--set", "section.key=value", value=override))
        section = values
        *parents, leaf = key.split(".")
        for parent in parents:
            section = section.setdefault(parent, {})
            if not isinstance(section, dict):
                raise InputError(Problem("--set", "section.key=value", value=override))
        section[leaf] = yaml.safe_load(text)
    return config_from_dict(values, path)
