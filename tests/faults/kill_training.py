"""Trainings that are killed at random moments, taken up again, and compared with one that nobody disturbed.

Processes are forked from this one, which has torch loaded, so that a kill costs no start-up. Draws are seeded; which
step a kill meets is up to the machine.

    python -m tests.faults.kill_training FOLDER KILLS SEED     # prints what was met, as JSON
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections import Counter
from pathlib import Path

import torch
from tiny_config import TINY
from toy_segmenter import toy_features

from rhas.train.config import TrainConfig, load_config
from rhas.train.fitting.training import train

SETTINGS = [
    "data.window=10", "data.split=random", "data.proportions=[6, 2, 2]", "batch=3", "epochs=12", "validate_every=3",
    "checkpoint_every=2", "settings.encoder.layers=2", "settings.encoder.width=8",
    "settings.encoder.condition_layers=[0, 1]", "settings.decoder.layers=1", "settings.diffusion.sampling_steps=1",
]  # fmt: skip


def kill_training(folder: Path, kills: int, seed: int) -> dict[str, int]:
    """Kills a HopaDIFF's training again and again; how many kills came when, and how many trainings there were.

    Raises AssertionError when one ends with other weights or metrics than the undisturbed, or leaves anything.
    """
    torch.set_num_threads(1)
    features, config = toy_features(folder / "features"), load_config(TINY, SETTINGS)
    clock = time.monotonic()
    assert _wait(_fork(features, folder / "alone", config)) == 0
    undisturbed_s = time.monotonic() - clock
    drawn, met, rounds = random.Random(seed), Counter[str](), 0
    while met["kills"] < kills:
        run = folder / f"killed-{rounds}"
        rounds += 1
        while (pid := _fork(features, run, config)) and met["kills"] < kills:
            if _killed_after(pid, drawn.uniform(0, 0.7 * undisturbed_s)):
                met["kills"] += 1
                met["before the first checkpoint" if not _steps(run) else "later"] += 1
            else:
                break
        else:
            assert _wait(pid) == 0
        _assert_same(run, folder / "alone")
    return {**met, "trainings": rounds}


def _fork(features: Path, run: Path, config: TrainConfig) -> int:
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        train(features, run, config, "cpu")
        code = 0
    finally:
        os._exit(code)


def _killed_after(pid: int, seconds: float) -> bool:
    """Kills a process when it has run so long; False if it ended before, well."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            assert os.waitstatus_to_exitcode(status) == 0
            return False
        time.sleep(0.002)
    os.kill(pid, signal.SIGKILL)
    code = _wait(pid)
    assert code in (0, -signal.SIGKILL)
    return code != 0


def _wait(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _steps(run: Path) -> list[str]:
    return sorted(path.name for path in (run / "checkpoints").glob("step-*.safetensors"))


def _assert_same(run: Path, alone: Path) -> None:
    """Last and best weights, with the optimiser's state, to the bit; the same metrics; nothing else."""
    assert _steps(run) == _steps(alone)
    for name in (*_steps(alone), "best.safetensors"):
        one, other = ((folder / "checkpoints" / name).read_bytes() for folder in (run, alone))
        assert one == other, f"{run}: {name} differs"
    one, other = (json.loads((folder / "metrics.json").read_text())["val"] for folder in (run, alone))
    one.pop("evaluations"), other.pop("evaluations")  # a kill may have come just after one
    assert one == other
    left = list(run.rglob("*.tmp"))
    assert not left, left


if __name__ == "__main__":
    print(json.dumps(kill_training(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))
