"""What a process that another one started asks of the system."""

from __future__ import annotations

import ctypes
import signal

PR_SET_PDEATHSIG = 1  # of <linux/prctl.h>


def die_with_parent() -> None:
    """This process is killed when the one that started it ends, however that one ends."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
