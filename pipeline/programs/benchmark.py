"""`rhas benchmark`: each run in a process of its own, so that its memory is its own and a crash ends it alone.

python -m rhas.pipeline.programs.benchmark SHARDS RUN TASK    # one run: trained, measured and its cost written
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from rhas.extract.run.accounts import EXIT_SOME_FAILED
from rhas.manifests.common.atomic import remove_leftovers
from rhas.manifests.common.errors import InputError, Problem
from rhas.manifests.common.interruption import (
    EXIT_INTERRUPTED,
    check,
    ignore_from_now_on,
    interruptible,
    passed_on,
)
from rhas.manifests.common.lock import locked
from rhas.manifests.common.processes import die_with_parent, python_command
from rhas.pipeline.views.display import make_console
from rhas.train.benchmark.anticipation import check_systems, write_anticipation
from rhas.train.benchmark.plan import (
    System,
    Trial,
    TrialFolder,
    begin,
    load_systems,
    on_features,
    systems_of,
    trials,
)
from rhas.train.benchmark.results import gather
from rhas.train.benchmark.tables import write_tables
from rhas.train.config import load_config

Task = Literal["segmentation", "anticipation"]


def run_benchmark(
    shards: Path,
    out: Path,
    models: list[str],
    preset: str | None,
    config: str,
    overrides: list[str],
    seeds: int,
    folds: Sequence[int] = (),
    task: Task = "segmentation",
    also: Mapping[str, Path] = MappingProxyType({}),
    at_once: int = 1,
) -> int:
    """Trains and measures what isn't done yet, writes the tables after each, and returns the exit code.

    `task`: anticipation is measured besides, and has a table of its own. `also`: other features of the same persons,
    by name, on which each system is run as well. `at_once`: runs beside each other, each with a GPU of its own in
    turn, or with its share of the cores.
    """
    if at_once < 1:
        raise InputError(Problem("--at-once", "at least 1", value=at_once))
    systems = systems_of(models)
    systems += load_systems(preset, systems) if preset else []
    systems = on_features(systems, list(also))
    if task == "anticipation":
        check_systems(systems)
    planned = trials(systems, load_config(config), overrides, seeds, out, folds)
    with locked(out / "lock"):
        remove_leftovers(out)
        begin(planned, shards, out, also)
        return _run_all({"": shards, **also}, out, systems, planned, task, at_once)


def _run_all(
    features: Mapping[str, Path],
    out: Path,
    systems: Sequence[System],
    planned: Sequence[Trial],
    task: Task,
    at_once: int,
) -> int:
    console, failed = make_console(), {}
    for name in sorted({system.name for system in systems} - {trial.system.name for trial in planned}):
        console.print(f"{name}: the same as a system before it, not run again", highlight=False)
    labels = {trial.name: f"{n}/{len(planned)} {trial.name}" for n, trial in enumerate(planned, start=1)}
    waiting = []
    for trial in planned:
        if _done(trial.folder, task):
            console.print(f"{labels[trial.name]}: done before", highlight=False)
        else:
            waiting.append(trial)
    free = places(at_once)
    running: dict[Future[str], tuple[Trial, Mapping[str, str]]] = {}
    with ThreadPoolExecutor(at_once) as pool:  # its threads live until the end, and with them their processes
        while waiting or running:
            check()
            for trial in list(_ready(waiting, running.values()))[: len(free)]:
                waiting.remove(trial)
                console.print(f"{labels[trial.name]}: training", highlight=False)
                place = free.pop()
                job = pool.submit(_run, features[trial.system.features], trial, task, place)
                running[job] = trial, place
            for job in wait(running, timeout=0.25, return_when=FIRST_COMPLETED).done:
                trial, place = running.pop(job)
                free.append(place)
                if error := job.result():
                    failed[trial.name] = f"failed: {error}"
                    console.print(f"{labels[trial.name]}: failed: {error}", highlight=False, style="red")
                reached = [t for t in planned if t.done or t.name in failed]
                write_tables(out, gather(reached, failed))
    write_tables(out, gather(planned, failed))
    console.print((out / "table.md").read_text(), highlight=False, markup=False)
    if task == "anticipation":
        write_anticipation(out, planned)
        console.print((out / "anticipation.md").read_text(), highlight=False, markup=False)
    return EXIT_SOME_FAILED if failed else 0


def _ready(waiting: Sequence[Trial], running: Iterable[tuple[Trial, Mapping[str, str]]]) -> Iterator[Trial]:
    """What can be begun: all but those whose weights are still to come."""
    coming = {trial.name for trial in waiting} | {trial.name for trial, _ in running}
    return (trial for trial in waiting if trial.source not in coming)


def places(at_once: int) -> list[Mapping[str, str]]:
    """What each of some runs beside each other has of the machine, as environment variables."""
    if at_once == 1:
        return [{}]
    import torch

    if gpus := torch.cuda.device_count():
        own = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        names = own.split(",") if own else [str(gpu) for gpu in range(gpus)]
        return [{"CUDA_VISIBLE_DEVICES": names[place % len(names)]} for place in range(at_once)]
    threads = str(max(1, len(os.sched_getaffinity(0)) // at_once))
    return [{"OMP_NUM_THREADS": threads}] * at_once


def _done(folder: TrialFolder, task: Task) -> bool:
    return folder.done and (task == "segmentation" or folder.anticipation.is_file())


def _run(shards: Path, trial: Trial, task: Task, place: Mapping[str, str]) -> str:
    """Why it failed, in a line that names its log; empty if it did not."""
    source = trial.folder.source
    if source is not None and not source.done:
        return f"its weights are those of {source.root.name}, which is not done ({source.log})"
    with trial.folder.log.open("ab") as log:
        began = log.tell()
        module = "rhas.pipeline.programs.benchmark"
        command = python_command(module, str(shards), str(trial.folder.root), task)
        # A session of its own: what stops it comes from here, once.
        process = subprocess.Popen(
            command, stderr=log, text=True, start_new_session=True, env={**os.environ, **place}
        )
        with process, passed_on(process):
            code = process.wait()
        check()
    if code == 0 and _done(trial.folder, task):
        return ""
    said = trial.folder.log.read_bytes()[began:].decode(errors="replace").strip().splitlines()
    if code < 0:
        said.append(f"killed by {signal.Signals(-code).name}")
    return f"{said[-1] if said else f'its process ended with {code}'} ({trial.folder.log})"


def _one(shards: Path, folder: TrialFolder, task: str) -> None:
    """Trains and measures the run that `folder` is planned for, from where it was left; or reads another's weights."""
    if not folder.done:
        _segment(shards, folder)
    if task == "anticipation" and not folder.anticipation.is_file():
        from rhas.train.evaluation.anticipation import evaluate_anticipation

        evaluate_anticipation(folder.root, "test", shards)


def _segment(shards: Path, folder: TrialFolder) -> None:
    import torch

    from rhas.pipeline.programs.training import train_run
    from rhas.train.benchmark.cost import CostLog, training_cost, write_cost
    from rhas.train.benchmark.rereading import reread
    from rhas.train.config import load_config
    from rhas.train.evaluation.evaluation import evaluate_run, read_metrics
    from rhas.train.runs.run import open_run

    if folder.source is None:
        log = CostLog(folder.steps)
        train_run(shards, folder.root, str(folder.planned), [], callbacks=[log])
        training = log.ended()
    else:
        training = training_cost(folder.source.cost)
        if "test" not in read_metrics(folder):
            reread(folder.source.root, folder.root, load_config(str(folder.planned)), shards)
    # The test split is read once, however often a benchmark is interrupted.
    if "test" not in read_metrics(folder):
        evaluate_run(folder.root, "test")
    parameters = sum(p.numel() for p in open_run(folder.root, "cpu").model.parameters())
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    write_cost(folder.cost, parameters, device, training)


if __name__ == "__main__":
    from rhas.manifests.common.errors import RhasError

    die_with_parent()
    try:
        with interruptible():
            _one(Path(sys.argv[1]), TrialFolder(Path(sys.argv[2])), sys.argv[3])
    except RhasError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
    finally:
        ignore_from_now_on()
