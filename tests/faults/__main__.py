"""Many kills and interrupts, over both stages, in one table: `make faults`.

python -m tests.faults --kills 200 [--seed 0]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from tests.faults.interrupt import COMMANDS, interrupt
from tests.faults.kill_extraction import (
    SETTINGS,
    TRACKED,
    Undisturbed,
    kill_drivers,
    kill_workers,
    write_movies,
)
from tests.faults.kill_training import kill_training


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--interrupts", type=int, default=20, help="for each command")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    workers, drivers = options.kills * 2 // 5, options.kills // 5
    training = options.kills - workers - drivers
    with tempfile.TemporaryDirectory(prefix="rhas-faults-") as name:
        folder, clock = Path(name), time.monotonic()
        met = interrupt(folder / "interrupted", dict.fromkeys(COMMANDS, options.interrupts), options.seed)
        print(f"interrupts: {dict(met)}", flush=True)
        print(f"training: {kill_training(folder / 'training', training, options.seed)}", flush=True)
        manifest = write_movies(folder / "movies")
        for name, settings in (("one pass", SETTINGS), ("tracks", TRACKED)):
            own = folder / name.replace(" ", "-")
            undisturbed = Undisturbed.extracted(manifest, own / "alone", settings)
            met = kill_drivers(undisturbed, own, drivers // 2, options.seed)
            print(f"driver, {name}: {dict(met)}", flush=True)
        import ray

        import rhas.extract.run.ray_pool  # noqa: F401  sets Ray's environment before Ray starts

        ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
        for name, settings in (("one pass", SETTINGS), ("tracks", TRACKED)):
            own = folder / f"workers-{name.replace(' ', '-')}"
            undisturbed = Undisturbed.extracted(manifest, own / "alone", settings)
            met = kill_workers(undisturbed, own, workers // 2, options.seed)
            print(f"workers, {name}: {dict(met)}", flush=True)
        print(f"{options.kills} kills in {time.monotonic() - clock:.0f} s: nothing lost, nothing left behind")


if __name__ == "__main__":
    main()
