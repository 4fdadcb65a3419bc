"""`rhas benchmark`: each run in a process of its own, so that its memory is its own and a crash ends it alone.

python -m pipeline.benchmark SHARDS RUN CONFIG     # one run, trained, measured and its cost written
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from extract.accounts import EXIT_SOME_FAILED
from manifests.atomic import write_text_atomically
from pipeline.display import make_console
from train.benchmark import Trial, gather, load_systems, systems_of, trials, write_cost
from train.benchmark_tables import write_tables
from train.config import load_config


def run_benchmark(
    shards: Path,
    out: Path,
    models: list[str],
    preset: str | None,
    config: str,
    overrides: list[str],
    seeds: int,
    folds: Sequence[int] = (),
) -> int:
    """Trains and measures what isn't done yet, writes the tables after each, and returns the exit code."""
    systems = [*systems_of(models), *(load_systems(preset) if preset else [])]
    planned = trials(systems, load_config(config, overrides), seeds, out, folds)
    console, statuses = make_console(), {}
    out.mkdir(parents=True, exist_ok=True)
    for number, trial in enumerate(planned, start=1):
        label = f"{number}/{len(planned)} {trial.folder.name}"
        if trial.done:
            console.print(f"{label}: done before", highlight=False)
            continue
        console.print(f"{label}: training", highlight=False)
        if error := _run(shards, trial):
            statuses[trial.folder] = f"failed: {error}"
            console.print(f"{label}: failed: {error}", highlight=False, style="red")
        reached = [t for t in planned if t.done or t.folder in statuses]
        write_tables(out, *gather(reached, statuses))
    write_tables(out, *gather(planned, statuses))
    console.print((out / "table.md").read_text(), highlight=False, markup=False)
    return EXIT_SOME_FAILED if statuses else 0


def _run(shards: Path, trial: Trial) -> str:
    """Why it failed, in a line; empty if it did not."""
    import yaml

    trial.folder.mkdir(parents=True, exist_ok=True)
    planned = trial.folder / "planned.yaml"
    write_text_atomically(planned, yaml.safe_dump(trial.config.to_dict(), sort_keys=False))
    command = [sys.executable, "-m", "pipeline.benchmark", str(shards), str(trial.folder), str(planned)]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True)
    if done.returncode == 0 and trial.done:
        return ""
    lines = done.stderr.strip().splitlines()
    return lines[-1] if lines else f"its process ended with {done.returncode}"


def _one(shards: Path, run: Path, config: str) -> None:
    import torch

    from pipeline.training import train_run
    from train.evaluation import evaluate_run, read_metrics
    from train.run import RunFolder, open_run

    clock = time.perf_counter()
    train_run(shards, run, config, [])
    seconds = time.perf_counter() - clock
    if "test" not in read_metrics(
        RunFolder(run)
    ):  # it is read once, however often a benchmark is interrupted
        evaluate_run(run, "test")
    parameters = sum(p.numel() for p in open_run(run, "cpu").model.parameters())
    if torch.cuda.is_available():
        peak = torch.cuda.max_memory_allocated()
    else:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    write_cost(run, parameters, seconds, peak)


if __name__ == "__main__":
    from manifests.errors import RhasError

    try:
        _one(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
    except RhasError as error:
        sys.exit(str(error))
