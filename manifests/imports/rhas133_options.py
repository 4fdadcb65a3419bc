"""How a folder of RHAS133 is to be read; what the authors' loaders do is the default."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

from pydantic import Field, field_validator

from rhas.manifests.common.configs import Settings
from rhas.manifests.imports.arrays import Tokens
from rhas.manifests.imports.frames import MAX_FPS
from rhas.manifests.imports.rhas133_pickles import MOVIE_PATTERN
from rhas.manifests.imports.rhas133_places import FeatureKind
from rhas.manifests.tables.manifest import SPLITS


class Rhas133Options(Settings, title="options of the import"):
    """How the folder is laid out; `{split}` in a folder's name stands for the split's."""

    features: FeatureKind = "blip2"
    protocol: Literal["cross-movie", "random"] = "cross-movie"
    """random: the samples and sides of the lists in randomsplits."""
    splits: dict[str, str] = Field({})
    """Name in file names -> train, val or test; {}: all."""
    holistic: str | None = None
    """Folder of whole frames' features; null: the authors'."""
    partial: str | None = None
    """Folder of persons' features; null: the authors'."""
    numbering: Literal["per-split", "through"] = "per-split"
    """through: on from the split before."""
    tokens: Tokens = "mean"
    fps: float = Field(15.0, ge=1 / MAX_FPS, le=MAX_FPS)
    tolerance: int = Field(0, ge=0)
    """Frames by which labels or whole frames may be shorter than the person's features."""
    count_from: Literal[0, 1] = 0
    """What the first class is counted as."""
    frame_ids: bool = True
    """false: they are not read, and each sample counts as a movie of its own."""
    movie_pattern: str = MOVIE_PATTERN

    @field_validator("splits")
    @classmethod
    def _sides(cls, splits: dict[str, str]) -> dict[str, str]:
        if not set(splits.values()) <= set(SPLITS):
            raise ValueError(f"names of splits and, for each, one of {', '.join(SPLITS)}")
        return splits

    @field_validator("movie_pattern")
    @classmethod
    def _has_movie(cls, pattern: str) -> str:
        try:
            if "movie" in re.compile(pattern).groupindex:
                return pattern
        except (re.error, RecursionError, OverflowError):
            pass
        raise ValueError("a regular expression with (?P<movie>…)")

    def conflicts(self) -> Iterator[tuple[str, str]]:
        if self.protocol == "random" and self.numbering == "through":
            yield "numbering", "per-split with protocol random, whose lists name each file"

    @property
    def pattern(self) -> re.Pattern[str] | None:
        return re.compile(self.movie_pattern) if self.frame_ids else None
