"""Interrupts at twenty drawn moments, five for each command; `make faults` draws more."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from rhas.manifests.common import interruption
from rhas.manifests.common.interruption import Interrupted, check, interruptible
from tests.faults.interrupt import interrupt


def test_no_interrupt_is_lost(tmp_path: Path) -> None:
    met = interrupt(tmp_path, moments=5, seed=3)
    assert met.total() == 20 and met["interrupted"] >= 10, met


@pytest.mark.parametrize("number", interruption.SIGNALS)
def test_a_signal_in_a_callback_comes_out_where_it_is_looked_for(number: signal.Signals) -> None:
    before = [signal.getsignal(each) for each in interruption.SIGNALS]

    class Callback:
        def __del__(self) -> None:  # what is raised in here is swallowed
            os.kill(os.getpid(), number)
            time.sleep(0.01)

    with interruptible():
        check()
        made = Callback()
        del made
        with pytest.raises(Interrupted):
            check()
    check()
    assert [signal.getsignal(each) for each in interruption.SIGNALS] == before


def test_other_threads_leave_handlers_as_they_are() -> None:
    before, seen = signal.getsignal(signal.SIGTERM), []

    def elsewhere() -> None:
        with interruptible():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert seen == [before]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_second_signal_ends_the_process_at_once(number: signal.Signals, code: int) -> None:
    stuck = (
        "import time\nfrom rhas.manifests.common.interruption import interruptible\n"
        "with interruptible():\n    print('here', flush=True)\n    while True: time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-P", "-c", stuck], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "here\n"
    process.send_signal(number)
    time.sleep(0.3)
    assert process.poll() is None, "the first is only noted"
    process.send_signal(number)
    assert process.wait(10) == code
    process.stdout.close()
