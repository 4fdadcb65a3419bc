"""Trains on several GPUs, or several CPU workers, with Ray Train: the one file of this package that knows Ray.

In: what `rhas.train.fitting.training.train` takes, and how many workers. Out: the same run folder. Each worker runs
the same loop on its own part of each batch; gradients are summed over the workers, each weighted by its samples, so
`config.batch` is what one worker has in memory and N workers step as one with N · batch would, up to the order
of sums: what a sample draws (noise, dropout) is its own, whichever worker has it. Rank 0 validates and writes.
Both folders must be open to all nodes. A lost worker ends none of it: all start again from the last checkpoint, and if
its node is gone, the others take its part of each batch; the run stays the same and is only slower.
"""

from __future__ import annotations

import importlib
import logging
import os
import secrets
import shutil
import sys
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
# Actors without GPUs keep CUDA_VISIBLE_DEVICES as it is; Ray asks to choose before it changes that default.
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")

import ray
import ray.train
import torch
from ray.train.torch import TorchConfig, TorchTrainer, get_device
from ray.util.queue import Queue
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
from torch import distributed, nn

from rhas.manifests.common.errors import InputError, Problem, RhasError
from rhas.manifests.common.interruption import check, keeping_handlers, pause
from rhas.manifests.common.processes import check_temporary_folder, no_working_dir, start_patiently
from rhas.train.config import TrainConfig
from rhas.train.fitting.loop import Callback, Ranks, Step, TrainingError
from rhas.train.fitting.training import follow, train
from rhas.train.models.registry import model_config
from rhas.train.runs.checkpoint import BEST, read_tensors
from rhas.train.runs.run import RunFolder, Validation

log = logging.getLogger(__name__)

# The others wait in a collective while rank 0 validates. That a worker was lost, Ray notices by itself.
_PATIENCE_S = 7 * 24 * 3600
MAX_FAILURES = 20  # in one call: enough for nodes that are taken away, not for a fault that always comes
_POLL_S = 0.25
_SETTLE_S = 15.0  # in which Ray notices that a node is gone; twice as long each time, up to:
_LONGEST_PAUSE_S = 300.0


def train_distributed(
    features: Path,
    out: Path,
    config: TrainConfig,
    gpus: int = 0,
    workers: int | None = None,
    address: str | None = None,
    callbacks: Sequence[Callback] = (),
    failures: int = MAX_FAILURES,
    init_from: Path | None = None,
) -> Validation:
    """`train` with a worker on each of `gpus` GPUs, or, if that is 0, with `workers` workers of one core each.

    `address`: of a running Ray cluster; by default a Ray is started here, unless one runs already, and stopped at
    the end. `workers` is 1 by default. Callbacks are called in a thread of this process. Raises what `train`
    raises, InputError for what the cluster doesn't have, and TrainingError when workers were lost more than
    `failures` times; the same call then goes on from the last checkpoint.
    """
    # Workers import it, which registers the model, wherever it is.
    module = type(model_config(config.model, config.settings)).__module__
    count = _checked_count(gpus, workers)
    features, out = features.absolute(), out.absolute()
    with _cluster(address):
        _check_resources(count, gpus > 0)
        out.mkdir(parents=True, exist_ok=True)
        name = f".ray-{secrets.token_hex(8)}"  # what Ray Train keeps of its own is of no use to us
        # Beside this process: on another node it could be lost with it.
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        events = Queue(actor_options={"num_cpus": 0, "scheduling_strategy": here})
        refused = out / name / "refused"
        job = {
            "features": features, "out": out, "config": config, "events": events, "module": module,
            "gpu": gpus > 0, "path": _path(), "shares": count, "refused": refused,
            "init_from": None if init_from is None else init_from.absolute(),
        }  # fmt: skip
        lost = ""
        with ThreadPoolExecutor(1) as pool:
            told = pool.submit(_relay, events, callbacks)
            try:
                for attempt in range(1 + failures):
                    lost = _attempt(job, min(count, max(1, _places(gpus > 0))), here)
                    # What a worker refuses, it refuses again.
                    if not lost or refused.exists() or attempt == failures:
                        break
                    log.warning(
                        "a training worker was lost; training goes on from the last checkpoint: %s",
                        lost.splitlines()[0],
                    )
                    pause(min(_SETTLE_S * 2**attempt, _LONGEST_PAUSE_S))
            finally:
                events.put(None)
                shutil.rmtree(out / name, ignore_errors=True)
        errors = told.result()
        events.shutdown()
    if errors:
        raise errors[0]
    if lost:
        raise TrainingError(
            f"a training worker failed; the run goes on from its last checkpoint if it is started again. {lost}"
        )
    _, record = read_tensors(RunFolder(out).checkpoints / BEST)
    return Validation.from_record(record["validation"])


def _path() -> list[str]:
    """Where this process finds modules, but for the user's folder: a worker must not find others there."""
    return [place for place in sys.path if place and Path(place) != Path.cwd()]


def _attempt(job: dict[str, Any], workers: int, here: NodeAffinitySchedulingStrategy) -> str:
    """Trains with so many workers from where the run is to its end; returns what ended it earlier, or nothing.

    In a process of its own, which can be killed at any moment, and the workers with it: Ray Train waits where no
    interrupt gets through, and to end Ray below it crashes the process that waits. Raises Interrupted.
    """
    trainer = ray.remote(_Trainer).options(num_cpus=0, scheduling_strategy=here).remote()
    ticket = trainer.fit.remote(job, workers)
    try:
        while not ray.wait([ticket], timeout=_POLL_S)[0]:
            check()
        return str(ray.get(ticket))
    except ray.exceptions.RayActorError as error:
        return str(error)
    finally:
        ray.kill(trainer)


class _Trainer:
    """The process that waits for Ray Train."""

    def fit(self, job: dict[str, Any], workers: int) -> str:
        """What ended it before its end, or nothing."""
        trainer = TorchTrainer(
            _work,
            train_loop_config=job,
            scaling_config=ray.train.ScalingConfig(
                num_workers=workers,
                use_gpu=job["gpu"],
                resources_per_worker={"CPU": 1, "GPU": int(job["gpu"])},
            ),
            torch_config=TorchConfig(backend="nccl" if job["gpu"] else "gloo", timeout_s=_PATIENCE_S),
            run_config=ray.train.RunConfig(name=job["refused"].parent.name, storage_path=str(job["out"])),
        )
        try:
            trainer.fit()
        except (ray.train.TrainingFailedError, ray.exceptions.RayActorError) as error:
            return str(error) or type(error).__name__
        return ""


def _places(on_gpus: bool) -> int:
    """Workers for whom there is room on the nodes that are alive."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return sum(
        int(min(node.get("CPU", 0), node.get("GPU", 0) if on_gpus else node.get("CPU", 0))) for node in nodes
    )


def _checked_count(gpus: int, workers: int | None) -> int:
    problems = []
    if gpus < 0:
        problems.append(Problem("--gpus", "0 or more", value=gpus))
    if workers is not None and workers < 1:
        problems.append(Problem("--workers", "at least 1", value=workers))
    if gpus > 0 and workers not in (None, gpus):
        problems.append(Problem("--workers", f"nothing, or {gpus}: one worker for each GPU", value=workers))
    if problems:
        raise InputError(problems)
    return gpus or workers or 1


def _check_resources(count: int, on_gpus: bool) -> None:
    """Raises InputError for workers that the cluster could only wait for."""
    total = ray.cluster_resources()
    problems = []
    if on_gpus and count > (there := int(total.get("GPU", 0))):
        problems.append(Problem("--gpus", f"at most {there}, all the GPUs that the cluster has", value=count))
    if count > (there := int(total.get("CPU", 0))):
        setting = "--gpus" if on_gpus else "--workers"
        problems.append(Problem(setting, f"at most {there}, one for each core of the cluster", value=count))
    if problems:
        raise InputError(problems)


def _init(**arguments: Any) -> None:
    """ray.init, with what both a Ray of our own and one that is joined get."""
    fixed = {"log_to_driver": False, "logging_level": logging.ERROR}
    with no_working_dir() as environment, keeping_handlers():
        start_patiently(lambda: ray.init(runtime_env=environment, **fixed, **arguments))


@contextmanager
def _cluster(address: str | None) -> Iterator[None]:
    """The Ray that runs in this process already, or that at `address`, or one of our own."""
    started_here = not ray.is_initialized()
    if started_here:
        where: dict[str, Any] = {"address": address}
        if not address:
            check_temporary_folder()
            where = {"address": "local", "include_dashboard": False}
        try:
            _init(**where)
        except ConnectionError as error:
            problem = Problem("--address", f"a running Ray cluster ({error})", value=address)
            raise InputError(problem) from error
    try:
        check()  # what came while Ray started; it is stopped like any other
        yield
    finally:
        if started_here:
            ray.shutdown()


def _work(job: dict[str, Any]) -> None:
    """What each worker does."""
    sys.path += [place for place in job["path"] if place not in sys.path]
    try:
        importlib.import_module(job["module"])
        ranks = _ProcessGroup(job["shares"])
        device = str(get_device()) if job["gpu"] else "cpu"
        if ranks.rank == 0:
            tellers = [_Teller(job["events"])]
            train(job["features"], job["out"], job["config"], device, tellers, ranks, job["init_from"])
        else:
            follow(job["features"], job["out"], job["config"], device, ranks)
    except Exception as error:
        # Those of a collective whose other ranks are gone are RuntimeErrors; all else would only come again.
        if type(error) is not RuntimeError and not isinstance(error, distributed.DistError):
            told = error if isinstance(error, RhasError) else TrainingError(traceback.format_exc().strip())
            job["events"].put(told)
            job["refused"].parent.mkdir(parents=True, exist_ok=True)
            job["refused"].touch()
        raise  # the others wait for this rank, until Ray ends them all


class _ProcessGroup(Ranks):
    """The ranks of torch.distributed, as Ray Train has set it up."""

    def __init__(self, shares: int) -> None:
        self.rank, self.ranks, self.shares = distributed.get_rank(), distributed.get_world_size(), shares
        self._objects = distributed.new_group(backend="gloo")  # plain data doesn't go by way of the GPUs

    def gathered(self, value: Any) -> list[Any]:
        values: list[Any] = [None] * self.ranks
        distributed.all_gather_object(values, value, group=self._objects)
        return values

    def add_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        by_rank = self.gathered([parameter.grad is not None for parameter in parameters])
        by_dtype: dict[torch.dtype, list[torch.Tensor]] = {}
        for parameter, there in zip(parameters, zip(*by_rank, strict=True), strict=True):
            if any(there):
                if parameter.grad is None:  # this rank had no samples in this step
                    parameter.grad = torch.zeros_like(parameter)
                by_dtype.setdefault(parameter.dtype, []).append(parameter.grad)
        for gradients in by_dtype.values():  # one message for all of a kind
            together = torch.cat([gradient.flatten() for gradient in gradients])
            distributed.all_reduce(together)
            parts = together.split([gradient.numel() for gradient in gradients])
            for gradient, part in zip(gradients, parts, strict=True):
                gradient.copy_(part.view_as(gradient))


class _Teller(Callback):
    """Sends what rank 0 gets to know to the process that started it."""

    def __init__(self, events: Queue):
        self._events = events

    def loaded(self, lines: Sequence[str]) -> None:
        self._events.put(("loaded", (lines,)))

    def started(self, step: int, steps: int) -> None:
        self._events.put(("started", (step, steps)))

    def stepped(self, step: Step) -> None:
        self._events.put(("stepped", (step,)))

    def validated(self, validation: Validation, best: bool) -> None:
        self._events.put(("validated", (validation, best)))


def _relay(events: Queue, callbacks: Sequence[Callback]) -> list[RhasError]:
    """Tells the callbacks, until None comes; returns the errors that came."""
    errors: list[RhasError] = []
    while (event := events.get()) is not None:
        if isinstance(event, RhasError):
            errors.append(event)
            continue
        method, arguments = event
        for callback in callbacks:
            getattr(callback, method)(*arguments)
    return errors
