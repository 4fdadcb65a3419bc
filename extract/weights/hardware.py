"""Whether a machine computes in bfloat16 itself: what precision `auto` means there.

In: the machine, asked without torch, which takes seconds to import. Out: yes or no. Where it doesn't, bfloat16 gives
the same numbers, but is slower than float32.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")
_PRODUCTS = {"avx512_bf16", "amx_bf16"}  # x86's instructions that multiply in it
_AMPERE = (8, 0)  # compute capability of the first GPUs that have it


def cpu_has_bfloat16(cpuinfo: Path = _CPUINFO) -> bool:
    """Whether all cores here do."""
    try:
        flags = re.findall(r"^flags\s*:(.*)$", cpuinfo.read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        return False
    return bool(flags) and all(_PRODUCTS & set(line.split()) for line in flags)


def gpus_have_bfloat16() -> bool:
    """Whether all GPUs here do. True where nobody can be asked: workers on other machines may have some."""
    command = ["nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader"]
    if visible := os.environ.get("CUDA_VISIBLE_DEVICES"):
        command.append(f"--id={visible}")
    try:
        told = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return True
    found = re.findall(r"^(\d+)\.(\d+)$", told, re.MULTILINE)
    return all((int(major), int(minor)) >= _AMPERE for major, minor in found)
