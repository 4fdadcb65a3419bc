"""Weights in the precision that autocast computes in, cast once instead of at each call.

`torch.autocast` keeps the casts of weights only where they are to be trained; frozen ones, and all under
`torch.inference_mode`, it casts again at every call. What it casts (matrix products, convolutions) gets the same
numbers either way; norms, embeddings and all else stay in float32.
"""

from __future__ import annotations

import torch
from torch import nn

_CAST = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


def cast_once(model: nn.Module) -> None:
    """Casts, in place, the weights that autocast to bfloat16 would cast at each call."""
    for module in model.modules():
        if isinstance(module, _CAST):
            module.to(torch.bfloat16)
        elif isinstance(module, nn.MultiheadAttention):  # its output's projection is a Linear
            for name in ("in_proj_weight", "in_proj_bias", "q_proj_weight", "k_proj_weight", "v_proj_weight"):
                parameter = getattr(module, name)
                if parameter is not None:
                    parameter.data = parameter.data.bfloat16()
