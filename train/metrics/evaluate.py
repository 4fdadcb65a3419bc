"""Evaluation: videos in, `Report` out, one video in memory at a time.

In: `Video`s of one split, from any iterable, and the threshold τ chosen on the validation split, or None where
each frame has one label (see `label_sets`). Out: every metric at that τ and at τ = .5. Frame mAP alone has to keep
scores to the end (see `frames.FrameAP`); of the rest only counts stay. Choosing τ is left to `readout`,
baselines to `baselines`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from rhas.manifests.common.errors import InputError, Problem
from rhas.train.metrics.frames import NAN, Accuracy, FrameAP, SetAgreement
from rhas.train.metrics.report import ClassScores, Report, ThresholdScores
from rhas.train.metrics.segments import OVERLAPS, SegmentCounts
from rhas.train.metrics.top1 import Top1
from rhas.train.metrics.totals import SequenceTotals
from rhas.train.metrics.video import Frames, Ints, Video, label_sets

HALF = 0.5


def evaluate(videos: Iterable[Video], tau: float | None, background: Sequence[int] = ()) -> Report:
    """All metrics of `videos` at τ and at .5. Raises `InputError` on videos that don't fit, and on none.

    `background`: indices of classes without which segments and edit are scored as well.
    """
    evaluator = Evaluator(tau, background)
    for video in videos:
        evaluator.add(video)
    return evaluator.report()


class Evaluator:
    """Takes videos one by one, and reports on all so far."""

    def __init__(self, tau: float | None, background: Sequence[int] = ()) -> None:
        self._tau, self._background = tau, tuple(background)
        self._videos = 0
        self._class_frames: Ints | None = None
        self._accuracy = Accuracy()
        self._ap = FrameAP()
        self._top1: Top1 | None = None
        self._at = {
            t: _AtThreshold(t, self._background) for t in (tau, HALF if tau is not None else None)
        }  # one if τ is .5 or None

    def add(self, video: Video) -> None:
        if self._class_frames is None or self._top1 is None:
            self._class_frames = np.zeros(video.classes, dtype=np.int64)
            self._top1 = Top1(video.classes, background=self._background)
        check_classes(video, len(self._class_frames))
        present = video.present()
        self._videos += 1
        self._class_frames += np.count_nonzero(present.labels_NC, axis=0)
        self._accuracy.add(present.scores_NC, present.labels_NC)
        self._ap.add(present.scores_NC, present.labels_NC)
        self._top1.add_labelled(video.labelled())
        for at in self._at.values():
            at.add(present)

    def report(self) -> Report:
        if self._class_frames is None or self._top1 is None:
            raise no_videos()
        ap_C = self._ap.per_class()
        chosen = self._at[self._tau]
        segments = chosen.sequences.segments
        assert segments is not None
        f1_KC = segments.per_class()
        return Report(
            videos=self._videos,
            frames=chosen.sets.frames,
            frame_mAP=NAN if np.isnan(ap_C).all() else float(np.nanmean(ap_C)),
            acc=self._accuracy.percent,
            top1=self._top1.scores(),
            chosen=chosen.scores(),
            half=None if self._tau is None else self._at[HALF].scores(),
            per_class=tuple(
                ClassScores(
                    index=c,
                    frames=int(self._class_frames[c]),
                    true_segments=int(segments.truth_C[c]),
                    predicted_segments=int(segments.predicted_C[c]),
                    ap=float(ap_C[c]),
                    f1={k: float(f1_KC[i, c]) for i, k in enumerate(OVERLAPS)},
                )
                for c in range(len(ap_C))
            ),
        )


class _AtThreshold:
    def __init__(self, tau: float | None, background: Sequence[int]) -> None:
        self.tau = tau
        self.sets = SetAgreement()
        self.sequences = SequenceTotals(background=background)

    def add(self, present: Frames) -> None:
        predicted_NC = label_sets(present.scores_NC, self.tau)
        self.sets.add(predicted_NC, present.labels_NC)
        self.sequences.add(predicted_NC, present.labels_NC, present.breaks_N)

    def scores(self) -> ThresholdScores:
        segments: SegmentCounts | None = self.sequences.segments
        assert segments is not None
        return ThresholdScores(
            tau=self.tau,
            exact=self.sets.exact,
            jaccard=self.sets.jaccard,
            example_f1=self.sets.f1,
            f1_micro=segments.micro(),
            f1_macro=segments.macro(),
            edit=self.sequences.edit,
            without_background=self.sequences.without_background(),
        )


def check_classes(video: Video, classes: int) -> None:
    """Raises `InputError` if the video has another number of classes than those before it."""
    if video.classes != classes:
        expected = f"{classes} classes, as in the videos before"
        raise InputError(Problem(video.name, expected, column="scores", value=video.scores.shape))


def no_videos() -> InputError:
    return InputError(Problem("videos", "at least one to evaluate", value=0))
