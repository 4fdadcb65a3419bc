"""Where RHAS133's files lie in a folder, as its authors' loaders look for them.

    [Processing_codes/]{actions,frame_ids,person_ref}_<split>_rhas.pkl    cross-movie: the labels of each split
    [Processing_codes/]randomsplits/<split>_{files,anno}.pkl              random: paths of features, and their labels

    whole frames, BLIP-2   RHAS_feature_blipv2[_val|_test]/<i>_blip_feat.npy    train has no suffix
    persons, BLIP-2        RHAS_feature_blipv2_<split>_grounding_dino/<i>_blip_feat.npy
    whole frames, CLIP     RHAS_1_feature_clip_<split>/RHAS_feature_clip_<split><i>_clip_feat.npy
    persons, CLIP          RHAS_feature_clip_<split>_grounding_dino/<i>_clip_feat.npy

In: the folder and the name of a split. Out: a `Place`, which knows a sample's file by its number. CLIP's whole frames
have no slash before the number, maybe by a slip: a folder `RHAS_feature_clip_<split>` is taken where there is one.
Which samples there are is left to `rhas133`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rhas.manifests.imports.files import files_in

FeatureKind = Literal["blip2", "clip"]

_SUFFIX: dict[FeatureKind, str] = {"blip2": "_blip_feat.npy", "clip": "_clip_feat.npy"}
_PERSONS: dict[FeatureKind, str] = {
    "blip2": "RHAS_feature_blipv2_{split}_grounding_dino",
    "clip": "RHAS_feature_clip_{split}_grounding_dino",
}
# What the random lists name: whole frames by BLIP-2, whichever features are read.
_LISTED = re.compile(r"RHAS_feature_blipv2(?:_([A-Za-z0-9_]+))?/([0-9]{1,9})_blip_feat\.npy")


@dataclass(frozen=True)
class Place:
    """The files of one stream of a split: FOLDER/PREFIX<number>SUFFIX."""

    folder: Path
    suffix: str
    prefix: str = ""

    def file(self, number: int) -> Path:
        return self.folder / f"{self.prefix}{number}{self.suffix}"

    def others_than(self, numbers: range) -> list[str]:
        """Names of files here that are of none of these numbers. Raises InputError where there is no such folder."""
        known = {self.file(number).name for number in numbers}
        return [path.name for path in files_in(self.folder, self.suffix) if path.name not in known]


def whole_frames(directory: Path, split: str, kind: FeatureKind, folder: str | None = None) -> Place:
    """`folder`: another than the authors', where `{split}` stands for the split's name."""
    suffix = _SUFFIX[kind]
    if folder is not None:
        return Place(directory / folder.replace("{split}", split), suffix)
    if kind == "blip2":
        return Place(directory / ("RHAS_feature_blipv2" + (f"_{split}" if split != "train" else "")), suffix)
    outer, inner = directory / f"RHAS_1_feature_clip_{split}", f"RHAS_feature_clip_{split}"
    return Place(outer / inner, suffix) if (outer / inner).is_dir() else Place(outer, suffix, inner)


def persons(directory: Path, split: str, kind: FeatureKind, folder: str | None = None) -> Place:
    """As `whole_frames`."""
    name = (folder if folder is not None else _PERSONS[kind]).replace("{split}", split)
    return Place(directory / name, _SUFFIX[kind])


def pickles(directory: Path) -> Path:
    """The folder of pickles."""
    theirs = directory / "Processing_codes"
    return theirs if theirs.is_dir() else directory


def listed(path: str) -> tuple[str, int] | None:
    """Split and number of the features that a list of the random protocol names; None for any other text."""
    match = _LISTED.fullmatch("/".join(re.split(r"[/\\]", path)[-2:]))
    return (match[1] or "train", int(match[2])) if match else None
