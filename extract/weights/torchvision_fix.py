"""Lets transformers and timm load beside a torchvision wheel whose C++ operators don't match this torch.

A torchvision built for CUDA fails beside a CPU torch with `operator torchvision::nms does not exist`. A healthy
torchvision, or none, is left alone: this only imports it, as its users would. Whoever loads a model calls
`ensure_importable()` first; after the mend `torchvision.ops.nms` raises when called, which nothing here does.
"""

from __future__ import annotations

import importlib.util
import logging
import sys

_KEPT_ALIVE: list[object] = []  # a torch.library.Library undefines its operators when collected


def ensure_importable() -> None:
    """Imports torchvision, defining the operator schemas it misses if its own library did not load."""
    if "torchvision" in sys.modules or importlib.util.find_spec("torchvision") is None:
        return
    import torch

    try:
        import torchvision
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        for name in [m for m in sys.modules if m.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "FRAGMENT")
        library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _KEPT_ALIVE.append(library)
        import torchvision  # noqa: F401

        logging.getLogger(__name__).info(
            "torchvision's operators don't match this torch: done without (%s)", error
        )
