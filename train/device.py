"""What a process runs on: the device, the precision of its passes, freed memory kept for the next tensor, and the peak.

By default glibc hands blocks of more than 32 MiB back to the system as soon as they are freed, and each new one is
zeroed page by page. A training step makes hundreds of them: kept, a step over 12,000 frames takes a third less.
"""

from __future__ import annotations

import ctypes
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch

from rhas.manifests.common.errors import InputError, Problem

# Of <malloc.h>.
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4


def chosen_device(name: str | None) -> str:
    """The device of that name; by default a GPU if there is one. Raises InputError for one that isn't here."""
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    here = ["cpu", *(["cuda"] if gpus else []), *(f"cuda:{i}" for i in range(gpus))]
    if name is None:
        return "cuda" if gpus else "cpu"
    if name not in here:
        raise InputError(Problem("--device", f"one of {', '.join(here)}, what torch finds here", value=name))
    return name


def autocast(device: torch.device, precision: str) -> AbstractContextManager[Any]:
    """What forward passes run under."""
    return torch.autocast(device.type, torch.bfloat16) if precision == "bfloat16" else nullcontext()


def keep_freed_memory() -> bool:
    """For this process, from now on; False where the C library knows no such thing."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return bool(mallopt(M_MMAP_MAX, 0)) and bool(mallopt(M_TRIM_THRESHOLD, 2**31 - 1))


def peak_bytes() -> int:
    """The most memory that this process has held so far: on the GPU if it uses one, else resident."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    # Not `ru_maxrss`, which begins with that of the process that started this one.
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
