"""What the data of a training run is configured by. Which folder it comes from is left to the caller."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from rhas.manifests.common.checks import at_least, one_of, require

# Samples in train, val and test of RHAS133 (HopaDIFF, Section 5).
PAPER_PROPORTIONS = {"random": (626.0, 82.0, 82.0), "cross-movie": (566.0, 61.0, 163.0)}


@dataclass(frozen=True)
class DataConfig:
    """How a features folder becomes samples, and how these are split.

    Splits: `random` draws samples, so the same person may be on both sides; `cross-movie` draws whole films;
    `manifest` follows the manifest's column `split`, which may part the persons of one film; `fold` follows
    splits.csv, which has a test half for each fold, and draws validation films from the training half.
    """

    window: int = 3000  # frames of a sample; a clip's last one may be shorter
    min_frames: int = 1  # shorter last samples are left out, and counted
    split: Literal["random", "cross-movie", "manifest", "fold"] = "cross-movie"
    fold: int = 1  # of split fold
    validation_share: float = 0.1  # of split fold: films of the training half that validate
    proportions: tuple[float, float, float] | None = None  # train, val, test in any unit; None: the paper's
    films_apart: bool = False  # refuse a manifest's split that has one film on two sides
    seed: int = 0  # of the split
    sample_rate: int = 1  # the model sees every so many frames of a window
    unlabelled: Literal["error", "skip"] = "error"  # persons who are in a film, but not in labels.csv
    feature_size: int | None = None  # F that the run is made for; None: whatever the folder has

    def __post_init__(self) -> None:
        parts = self.proportions
        three = parts is None or (len(parts) == 3 and all(0 < part < math.inf for part in parts))
        require(
            *at_least(self, 1, "window", "sample_rate", "fold"),
            (1 <= self.min_frames <= self.window, "min_frames", self.min_frames, "1 to window"),
            one_of(self, "split"),
            (three, "proportions", parts, "three numbers above 0: train, val, test"),
            (
                parts is None or self.split not in ("manifest", "fold"), "proportions", parts,
                "none, since a file says who is in which split",
            ),
            (
                0 < self.validation_share < 1, "validation_share", self.validation_share,
                "a share between 0 and 1",
            ),
            (
                not (self.films_apart and self.split == "random"), "films_apart", True,
                "false with split random, which may part a film",
            ),
            (0 <= self.seed < 2**64, "seed", self.seed, "0 to 2^64 - 1"),
            one_of(self, "unlabelled"),
            (
                self.feature_size is None or self.feature_size >= 1, "feature_size", self.feature_size,
                "at least 1, or none",
            ),
            file="data config",
        )  # fmt: skip


@dataclass(frozen=True)
class TargetConfig:
    """Which curves are made from labels besides the labels themselves; widths in frames, None leaves one out."""

    boundary_sigma: float | None = 1.0
    soft_sigma: float | None = None

    def __post_init__(self) -> None:
        require(
            *(
                (value is None or 0 < value < math.inf, name, value, "above 0 frames, or none")
                for name, value in vars(self).items()
            ),
            file="target config",
        )
