"""What the data of a training run is configured by. Which folder it comes from is left to the caller."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from rhas.manifests.common.configs import Settings
from rhas.train.data.boxes import BoxConfig

# Samples in train, val and test of RHAS133 (HopaDIFF, Section 5).
PAPER_PROPORTIONS = {"random": (626.0, 82.0, 82.0), "cross-movie": (566.0, 61.0, 163.0)}


Positive = Annotated[float, Field(gt=0)]


class DataConfig(Settings):
    """How a features folder becomes samples, and how these are split.

    Splits: `random` draws samples, so the same person may be on both sides; `cross-movie` draws whole movies;
    `manifest` follows the manifest's column `split`, which may part the persons of one movie; `fold` follows
    splits.csv, which has a test half for each fold, and draws validation movies from the training half.
    """

    window: int = Field(3000, ge=1)
    """Most frames of a sample; who is there for longer is cut in equal parts."""
    overlap: float = Field(0.25, ge=0, le=0.5)
    """Share of a part that it has in common with the next, where scores are blended: what stands at the edge of one has
    frames around it in the other, for a third more work on those who are cut at all. Of parts to validate, test and
    predict: in training, frames in two parts would weigh double. None with split random, which may part the parts."""
    min_frames: int = Field(1, ge=1)
    """Who is there for fewer is left out, and counted."""
    split: Literal["random", "cross-movie", "manifest", "fold"] = "cross-movie"
    fold: int = Field(1, ge=1)
    """Of split fold."""
    validation_share: float = Field(0.1, gt=0, lt=1)
    """Of split fold: movies of the training half that validate."""
    proportions: tuple[Positive, Positive, Positive] | None = None
    """Train, val, test in any unit; null: the paper's."""
    movies_apart: bool = False
    """Refuse a manifest's split that has one movie on two sides."""
    seed: int = Field(0, ge=0, lt=2**64)
    """Of the split."""
    sample_rate: int = Field(1, ge=1)
    """The model sees every so many frames of a window."""
    soft_sigma: float | None = Field(None, gt=0)
    """Frames of the features: losses see labels softened along time by a Gaussian of this width; null: as they are."""
    in_memory: Literal["auto"] | bool = "auto"
    """Features to train and validate on stay in memory once they were read; auto: if they are at most a quarter of what
    is available, or of each process's part of it."""
    tokens: Literal["mean", "all"] = "mean"
    """Of features that hold all query tokens of a frame: samples have their mean, or one after the other. A model that
    takes all of them sets that itself."""
    sentence: bool = False
    """Samples hold the vector of the person's sentence. A model that takes it sets that itself."""
    boxes: BoxConfig = BoxConfig()
    unlabelled: Literal["error", "skip"] = "error"
    """Persons who are in a movie, but not in labels.csv."""
    feature_size: int | None = Field(None, ge=1)
    """F of the folder that the run is made for; null: whatever it has."""

    def overlap_in(self, split: str | None) -> float:
        """Of the samples of a split; None: of all that is predicted, whichever split it was in."""
        parted = split is not None and (split == "train" or self.split == "random")
        return 0.0 if parted else self.overlap

    def conflicts(self) -> Iterator[tuple[str, str]]:
        if self.min_frames > self.window:
            yield "min_frames", f"at most window, which is {self.window}"
        if self.proportions is not None and self.split in ("manifest", "fold"):
            yield "proportions", "null, since a file says who is in which split"
        if self.movies_apart and self.split == "random":
            yield "movies_apart", "false with split random, which may part a movie"
