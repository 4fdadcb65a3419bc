"""Measuring referring human action segmentation: scores and truth of videos in, numbers in percent out.

    threshold = choose_threshold(validation_videos)
    comparison = compare(test_videos, threshold.tau, class_counts(training_labels), generator)

- `video`: what is measured, checked; `evaluate`, `report`: all metrics of a split
- `frames`, `segments`, `edit`, `top1`: the metrics; `totals`: what the sequence metrics share
- `thresholds`: τ from the validation split; `baselines`: what a model has to beat
- `compat`: the evaluator released with HopaDIFF, to place its paper's numbers only

Inference, files and the command line are left to the rest of `train`.
"""

from rhas.train.metrics.baselines import Comparison, compare
from rhas.train.metrics.compat import ReleasedReport, released_report
from rhas.train.metrics.evaluate import Evaluator, evaluate
from rhas.train.metrics.report import ClassScores, Report, ThresholdScores
from rhas.train.metrics.thresholds import Threshold, choose_threshold
from rhas.train.metrics.top1 import Top1Scores
from rhas.train.metrics.video import Video, label_sets

__all__ = [
    "ClassScores",
    "Comparison",
    "Evaluator",
    "ReleasedReport",
    "Report",
    "Threshold",
    "ThresholdScores",
    "Top1Scores",
    "Video",
    "choose_threshold",
    "compare",
    "evaluate",
    "label_sets",
    "released_report",
]
