"""Interrupts at a few drawn moments of each command, `make faults` draws more; and what handles them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from process_tree import assert_ended, process_tree

from rhas.manifests.common import interruption
from rhas.manifests.common.interruption import Interrupted, asked, check, interruptible, keeping_handlers
from tests.faults.interrupt import COMMANDS, interrupt


@pytest.mark.long
def test_no_interrupt_is_lost(tmp_path: Path) -> None:
    often = {"extract": 1, "train": 1}  # `make faults` has 20 of each command
    assert often.keys() <= set(COMMANDS)
    met = interrupt(tmp_path, often, seed=3)
    assert met.total() == 2 and met["interrupted"] >= 1, met


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


MINE = "from rhas.manifests.common.interruption import asked, interruptible"


def started(code: str) -> subprocess.Popen[str]:
    """A process within `interruptible()` that has said "here", after `code`."""
    text = f"import os, subprocess, sys, time\nimport signal\n{MINE}\n{code}"
    process = subprocess.Popen([sys.executable, "-P", "-c", text], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "here\n"
    return process


def test_an_interrupt_that_is_sent_twice_at_once_is_one() -> None:
    """`timeout` sends it to the process and to its group, some schedulers to a step and to its job."""
    code = "with interruptible():\n    print('here', flush=True)\n    time.sleep(1)\n    print(asked())"
    with started(code) as process:
        for _ in range(2):
            process.send_signal(signal.SIGTERM)
            time.sleep(0.02)
        said, _ = process.communicate()
        assert said == "True\n" and process.returncode == 0


def test_children_end_with_a_process_that_a_second_signal_ends() -> None:
    """Even those that ask the system for nothing, as one does that has just been started."""
    code = (
        "child = subprocess.Popen(['sleep', '600'])\n"
        "with interruptible():\n    print('here', flush=True)\n    time.sleep(600)"
    )
    with started(code) as process:
        tree = list(process_tree(process.pid))
        assert len(tree) == 2
        process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130
        assert_ended(tree, within_s=5)


def test_a_forked_process_ends_when_its_parent_says_so_and_not_on_ctrl_c() -> None:
    code = """
with interruptible():
    child = os.fork()
    if child == 0:
        time.sleep(600)
    time.sleep(0.2)
    os.kill(child, signal.SIGINT)
    time.sleep(0.2)
    assert os.waitpid(child, os.WNOHANG) == (0, 0)
    os.kill(child, signal.SIGTERM)
    assert os.waitpid(child, 0) == (child, signal.SIGTERM)
    print('here', flush=True)
"""
    with started(code) as process:
        assert process.wait(10) == 0


def test_a_library_that_takes_the_signals_while_it_starts_does_not_get_them() -> None:
    def theirs(number: int, _: object) -> None:
        raise SystemExit(number)

    with interruptible():
        ours = [signal.getsignal(number) for number in interruption.SIGNALS]
        with keeping_handlers():
            for number in interruption.SIGNALS:
                assert signal.signal(number, theirs) in ours
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.01)
        assert [signal.getsignal(number) for number in interruption.SIGNALS] == ours
        assert asked()
        before = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        assert signal.signal(signal.SIGUSR1, before) == signal.SIG_IGN, "signals can be taken again"


def test_a_signal_in_the_last_moments_leaves_the_exit_code_as_it_is(tmp_path: Path) -> None:
    """A process whose work is over has its exit code; taking its modules down takes a while."""
    late = tmp_path / "late.py"
    late.write_text(
        "import sys, time\nfrom rhas.pipeline import cli\n"
        "class Slow:\n    def __del__(self):\n        print('here', flush=True)\n        time.sleep(1)\n"
        "slow = Slow()\nsys.argv = ['rhas', '--help']\ncli.main()\n"
    )
    process = subprocess.Popen([sys.executable, "-P", str(late)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    while process.stdout.readline() != "here\n":
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    process.communicate()
    assert process.returncode == 0
