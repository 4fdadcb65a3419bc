"""Grounding: frames and the sentences that say who is meant go in, candidate boxes of each person come out.

The model is GroundingDINO (Liu et al., 2023, arXiv:2303.05499). `load_detector(config)` gives a `Detector` on
its released implementation or on transformers' port; weights come from a released checkpoint, from a model in
transformers' format, or from a random generator. Boxes that are known already stand in for it, or a detector of
another package (`outside.OutsideDetector`, by an entry point in the group `rhas.detectors`). Importing this package
imports neither torch nor transformers; loading a detector does.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rhas.extract.config import OUR_DETECTORS, DetectorConfig

if TYPE_CHECKING:
    from rhas.extract.ground.detector import Detector
    from rhas.extract.ground.known_boxes import KnownBoxes
    from rhas.extract.ground.outside import OutsideDetector

__all__ = ["load_detector"]


def load_detector(config: DetectorConfig) -> Detector | KnownBoxes | OutsideDetector:
    """The detector that the config names, on the CPU; `Detector.to` moves it.

    Raises `InputError` if the weights or the text encoder are not where the config says, or don't fit.
    """
    if config.implementation == "boxes":
        from rhas.extract.ground.known_boxes import KnownBoxes

        return KnownBoxes(Path(config.weights).expanduser())
    from rhas.extract.weights.torchvision_fix import ensure_importable

    ensure_importable()
    if config.implementation not in OUR_DETECTORS:
        from rhas.extract.ground.outside import load

        return load(config)
    if config.implementation == "groundingdino":
        from rhas.extract.ground import official

        return official.load(config)
    from rhas.extract.ground import port

    return port.load(config)
