"""Makes `import torchvision` work beside a torch build that its C++ operators don't match.

A torchvision wheel built for CUDA fails beside a CPU torch with `operator torchvision::nms does not exist`,
and takes transformers and timm down with it. Call `ensure_importable()` before importing any of them, in
every process. Beside a healthy torchvision it does nothing. After the mend `torchvision.ops.nms` exists but
raises when called; rhas suppresses duplicate boxes with its own few lines of torch.
"""

from __future__ import annotations

import sys

_KEPT_ALIVE: list[object] = []  # a torch.library.Library undefines its operators when collected


def ensure_importable() -> None:
    """Imports torchvision, defining the operator schemas it misses if its own library did not load."""
    if "torchvision" in sys.modules:
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
