"""Timelines: what was predicted for one person, under what is true, one row per action that occurs.

In: a `Series`, a threshold, and the truth if there is one. Out: a PNG. Which persons are drawn is left to the
caller.

Shapes: T frames, C classes.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rhas.train.metrics.segments import runs_of
from rhas.train.scoring.inference import Bools, Series

TRUTH, PREDICTION, UNKNOWN = "#5b7db1", "#d9822b", "#e6e6e6"
_ROW_INCHES = 0.32


def frame_ends(time_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """When each frame [T] ends: with the next; the last lasts as long as most do."""
    usual = float(np.median(np.diff(time_s))) if len(time_s) > 1 else 1.0
    return np.append(time_s[1:], time_s[-1:] + usual)


def draw_timeline(
    png: Path,
    series: Series,
    tau: float | None,
    actions: tuple[str, ...],
    truth: tuple[Bools, Bools] | None = None,
) -> tuple[str, ...]:
    """Draws the series, the truth (labels [T, C], valid [T]) above the prediction; returns the actions drawn.

    Frames that don't count, for want of a promise or marked N/A, are grey.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    predicted_TC = series.predicted(tau)
    counts_T = series.promised if truth is None else truth[1]
    true_TC = np.zeros_like(predicted_TC) if truth is None else truth[0] & counts_T[:, None]
    shown = np.flatnonzero(predicted_TC.any(axis=0) | true_TC.any(axis=0))
    time_s = series.clip.time_s
    ends_s = frame_ends(time_s)

    def bars(mask_T: Bools) -> list[tuple[float, float]]:
        return [(time_s[start], ends_s[stop - 1] - time_s[start]) for start, stop in runs_of(mask_T)]

    figure = Figure(figsize=(12, 1.4 + _ROW_INCHES * max(1, len(shown))), layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.add_subplot()
    for start_s, length_s in bars(~counts_T):
        axis.axvspan(start_s, start_s + length_s, color=UNKNOWN, linewidth=0)
    for row, c in enumerate(shown):
        half = 0.4 if truth is None else 0.0
        axis.broken_barh(bars(true_TC[:, c]), (row - 0.4, 0.38), color=TRUTH, linewidth=0)
        axis.broken_barh(
            bars(predicted_TC[:, c]), (row + 0.02 - half, 0.38 + half), color=PREDICTION, linewidth=0
        )
    names = tuple(actions[c] for c in shown)
    axis.set_yticks(range(len(names)), names, parse_math=False)
    axis.set_ylim(max(len(names), 1) - 0.5, -0.5)
    axis.set_xlim(time_s[0], ends_s[-1])
    axis.set_xlabel("seconds")
    reference = series.clip.reference
    title = f"{series.name}: “{reference if len(reference) <= 90 else reference[:89] + '…'}”"
    axis.set_title(title, loc="left", parse_math=False, fontsize=10)
    named = {"truth": TRUTH, "prediction": PREDICTION, "not counted": UNKNOWN}
    handles = [Patch(color=colour, label=name) for name, colour in named.items() if truth or name != "truth"]
    figure.legend(handles=handles, loc="outside upper right", ncols=len(handles), frameon=False, fontsize=8)
    png.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(png, dpi=80)
    return names
