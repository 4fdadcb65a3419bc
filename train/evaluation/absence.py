"""What a user sees of people who aren't there: all promised frames counted, with no action where somebody is away.

Metrics leave out frames that are marked N/A, so that segments of absent people cost nothing. Here they are frames
without any action, and frames in which the person wasn't found are predicted as such (`Series.absent`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rhas.manifests.tables.vocabulary import Vocabulary
from rhas.train.metrics import Video, evaluate
from rhas.train.metrics.report import or_null
from rhas.train.scoring.inference import Series


def absence(persons: Sequence[Series], vocabulary: Vocabulary, tau: float | None) -> dict[str, Any] | None:
    """Metrics with absence counted, as metrics.json holds them; None where it can't be: each frame has one label, or
    nobody was looked for.

    `unmarked`: the same without `Series.absent`, which says what that is worth.
    """
    if tau is None or not any(series.clip.grounded for series in persons):
        return None
    videos, unmarked, there, said = [], [], [], []
    for series in persons:
        labels_TC, present_T = series.truth(vocabulary)
        labels_TC, promised_T = labels_TC & present_T[:, None], series.promised
        seen_TC = np.where(series.absent[:, None], 0, series.scores)
        videos.append(Video(seen_TC, labels_TC, promised_T, series.name))
        unmarked.append(Video(series.scores, labels_TC, promised_T, series.name))
        there.append(present_T[promised_T])
        said.append(~series.absent[promised_T])
    there_N, said_N = np.concatenate(there), np.concatenate(said)
    return {
        "absent_frames": int((~there_N).sum()),
        "marked_absent": or_null(_share(~said_N[~there_N])),
        "wrongly_marked_absent": or_null(_share(~said_N[there_N])),
        "model": evaluate(videos, tau).to_dict(vocabulary.actions),
        "unmarked": evaluate(unmarked, tau).to_dict(vocabulary.actions),
    }


def _share(of: np.ndarray) -> float:
    return 100 * float(of.mean()) if len(of) else float("nan")
