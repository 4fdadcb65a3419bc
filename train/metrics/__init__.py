"""Measuring referring human action segmentation: scores and truth of videos in, numbers in percent out.

    readout = choose_readout(validation_persons).readout
    videos = [person.video(readout) for person in test_persons]
    comparison = compare(videos, readout.tau, class_counts(training_labels), generator)

- `video`: what is measured, checked; `evaluate`, `report`: all metrics of a split
- `frames`, `segments`, `edit`, `top1`: the metrics; `totals`: what the sequence metrics share
- `readout`: τ, and how scores are read, from the validation split; `durations`, `decoding`: labels by how long actions
  last; `baselines`: what a model has to beat
- `compat`: the evaluator released with HopaDIFF, to place its paper's numbers only; `dense`: what works on Charades,
  MultiTHUMOS and TSU compute

Inference, files and the command line are left to the rest of `train`.
"""

from rhas.train.metrics.baselines import Comparison, compare
from rhas.train.metrics.choosing import choose_readout
from rhas.train.metrics.compat import ReleasedReport, released_report
from rhas.train.metrics.evaluate import Evaluator, evaluate
from rhas.train.metrics.readout import HeadScores, ReadOut
from rhas.train.metrics.report import ClassScores, Report, ThresholdScores
from rhas.train.metrics.top1 import Top1Scores
from rhas.train.metrics.video import Video, label_sets

__all__ = [
    "ClassScores",
    "Comparison",
    "Evaluator",
    "HeadScores",
    "ReadOut",
    "ReleasedReport",
    "Report",
    "ThresholdScores",
    "Top1Scores",
    "Video",
    "choose_readout",
    "compare",
    "evaluate",
    "label_sets",
    "released_report",
]
