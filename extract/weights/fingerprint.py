"""Fingerprints of model weights.

A module goes in, a short hex string comes out. Features are only comparable when the same weights made them,
so the string is part of what identifies an extraction's output.
"""

from __future__ import annotations

import hashlib

import torch
from torch import nn


def weights_hash(module: nn.Module) -> str:
    """BLAKE2b-128 in hex over the state dict: names, dtypes, shapes and bytes, in the order of the names.

    Tensors are read one by one on the CPU, so the peak is one tensor, and neither the device nor the way the
    weights were stored changes the result.
    """
    digest = hashlib.blake2b(digest_size=16)
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        flat = tensor.detach().cpu().contiguous().reshape(-1)  # a scalar has no byte view before it is flat
        digest.update(flat.view(torch.uint8).numpy())
    return digest.hexdigest()
