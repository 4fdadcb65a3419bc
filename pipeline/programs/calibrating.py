"""How sure a detector may be: its boxes in a features folder against boxes that are known, as a preset with the curves.

In: features, and a CSV of true boxes of some of their persons, who count as absent where it has none. Out: the
extraction's settings with `detector.sure`, or `tracks.sure` where persons are tracked, measured, as a YAML file for
`--preset`, and what was measured in a table. Or the boxes as they were found, but each right one as it truly is, as a
CSV for `--detector`: features by them say what exact boxes would be worth, and true boxes beyond them, whom to look at
(docs/grounding.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from rhas.extract.config import config_from_dict
from rhas.extract.ground.calibration import RIGHT, calibration_error, curve, overlap, read_off
from rhas.manifests.common.atomic import write_text_atomically
from rhas.manifests.common.errors import InputError, Problem
from rhas.manifests.shards.reader import FeaturesReader, PersonSeries
from rhas.manifests.shards.status import HAS_BOX, FrameStatus
from rhas.manifests.shards.verify import read_config
from rhas.manifests.tables.boxes import COLUMNS, OPTIONAL, Tracklet, load_boxes
from rhas.manifests.tables.csvfile import write_rows


@dataclass(frozen=True)
class Measured:
    """Boxes of one status: how many, the share that is right, and the calibration error of how sure they are.

    `after` is that of curves which were learnt from the other half of the movies; None where there are too few boxes.
    """

    status: str
    boxes: int
    right: float
    before: float
    after: float | None


def calibrate(features: Path, boxes: Path, out: Path) -> list[Measured]:
    """Writes the preset and returns what was measured, for each status that there is. Raises InputError."""
    reader = FeaturesReader(features)
    config = config_from_dict(read_config(reader.folder)["config"], reader.folder.config)
    if config.detector.implementation == "boxes":
        expected = "features of a detector; there the boxes were known already"
        raise InputError(Problem(features, expected, column="detector.implementation", value="boxes"))
    table = _boxes(reader, boxes)
    curves = {
        status: curve(own.score.to_numpy(), own.right.to_numpy()) for status, own in table.groupby("status")
    }
    sure = config.sure.replace(**{str(status): found for status, found in curves.items() if found})
    if config.tracks.two_passes:
        preset = config.replace(tracks=config.tracks.replace(sure=sure))
    else:
        preset = config.replace(detector=config.detector.replace(sure=sure))
    lines = yaml.safe_dump(preset.to_dict(), sort_keys=False)
    write_text_atomically(out, f"# How sure the detector may be, measured on {boxes.name}.\n{lines}")
    return [_measured(str(status), own) for status, own in table.groupby("status")]


def write_exact(features: Path, boxes: Path, out: Path) -> None:
    """Writes the boxes of persons whose truth is known: the true one where the box is right, else as it was found.

    A gap between boxes stays one: each stretch is a track. Raises InputError.
    """
    write_rows(out, (*COLUMNS, *OPTIONAL), _exact_rows(FeaturesReader(features), load_boxes(boxes), boxes))


def _exact_rows(
    reader: FeaturesReader, truth: Mapping[tuple[str, str], Tracklet], path: Path
) -> Iterator[tuple[object, ...]]:
    for series in _known(reader, truth, path):
        found_T4, true_T4 = series.box[...], truth[series.movie_id, series.person_id].at(series.time_s)
        there_T, score_T = np.isin(series.status, HAS_BOX), series.score[...]
        box_T4 = np.where((overlap(found_T4, true_T4) > RIGHT)[:, None], true_T4, found_T4)
        track_T = np.cumsum(np.diff(there_T, prepend=False) & there_T)
        for t in np.flatnonzero(there_T):
            moment = (series.movie_id, series.person_id, series.time_s[t])
            yield (*moment, *box_T4[t].tolist(), int(track_T[t]), float(score_T[t]))


def _known(
    reader: FeaturesReader, truth: Mapping[tuple[str, str], Tracklet], path: Path
) -> Iterator[PersonSeries]:
    """Those of a folder whose truth is known and who were found at all. Raises InputError if there are none."""
    found = False
    for series in reader.persons():
        if (series.movie_id, series.person_id) in truth and np.isin(series.status, HAS_BOX).any():
            found = True
            yield series
    if not found:
        expected = (
            f"boxes of persons of {reader.folder.root}, by movie_id and person_id, who were found there"
        )
        raise InputError(Problem(path, expected))


def _measured(status: str, own: pd.DataFrame) -> Measured:
    score, right = own.score.to_numpy(), own.right.to_numpy()
    half = own.movie.rank(method="dense").to_numpy() % 2 == 0
    sure = np.full(len(own), np.nan)
    for part in (half, ~half):
        if (found := curve(score[~part], right[~part])) is not None:
            sure[part] = read_off(found, score[part])
    after = calibration_error(sure, right) if np.isfinite(sure).all() else None
    return Measured(
        status, len(own), float(right.mean()), calibration_error(own.sure.to_numpy(), right), after
    )


def _boxes(reader: FeaturesReader, path: Path) -> pd.DataFrame:
    """A row for each box of the folder whose person's truth is known: movie, status, score, sure, right."""
    truth, parts = load_boxes(path), []
    for series in _known(reader, truth, path):
        at = np.flatnonzero(np.isin(series.status, HAS_BOX))
        true_N4 = truth[series.movie_id, series.person_id].at(series.time_s[at])
        names = [FrameStatus(int(status)).name.lower() for status in series.status[at]]
        parts.append(
            pd.DataFrame({"movie": series.movie_id, "status": names, "score": series.score[...][at],
                          "sure": series.sure[...][at], "right": overlap(series.box[...][at], true_N4) > RIGHT})
        )  # fmt: skip
    return pd.concat(parts, ignore_index=True)
