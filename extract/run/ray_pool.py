"""Runs the workers as Ray actors: the one file of this package that knows Ray.

Decoders take a CPU each, model workers a GPU and a CPU each (or, without GPUs, a share of the CPUs), the
writer runs on the driver's node. Actors restart, on another node if theirs is gone; a call that was lost with its
actor is reported to the scheduler, which decides whether to repeat it. Nothing waits for resources that the cluster
doesn't have, unless it is asked to.
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
# Actors without GPUs keep CUDA_VISIBLE_DEVICES as it is; Ray asks to choose before it changes that default.
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")

import ray
from ray.exceptions import ActorDiedError, ActorUnavailableError, ObjectLostError, RayActorError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from rhas.extract.config import ExtractConfig, RunOptions, object_store_bytes
from rhas.extract.run.layout import check_gpus_here, lay_out, made_of, threads
from rhas.extract.run.pool import WorkerLost, WorkerUnfit, telling_why
from rhas.extract.run.workers import DecodeWorker, LinkWorker, ModelWorker, WriteWorker
from rhas.manifests.common.errors import InputError, Problem
from rhas.manifests.common.interruption import check, keeping_handlers
from rhas.manifests.common.processes import check_temporary_folder, no_working_dir, start_patiently

_RAISED = re.compile(r"[\w.]+(Error|Exception|Exit|Interrupt)\b")


@dataclass(frozen=True, eq=False)
class Actor:
    """A worker of the pool; `name` is for messages."""

    name: str
    handle: Any


def _actor(worker: type, folder: str) -> Any:
    """`worker` as an actor that is made in the driver's folder, to which users' relative paths are relative.

    Ray's workers are elsewhere; see `no_working_dir`.
    """

    class Here(worker):
        def __init__(self, *arguments: Any):
            if os.path.isdir(folder):  # noqa: PTH112  on another node it may not be
                os.chdir(folder)
            super().__init__(*arguments)

    Here.__name__ = Here.__qualname__ = worker.__name__
    return ray.remote(Here)


class RayPool:
    """`rhas.extract.run.pool.Pool` on Ray actors."""

    def __init__(self, config: ExtractConfig, options: RunOptions, root: Path):
        total = ray.cluster_resources()
        layout = lay_out(options, int(total.get("CPU", 0)), int(total.get("GPU", 0)))
        # Retries of calls are for the scheduler to decide, which is why `_once` turns them off call by call;
        # turned off here, calls made while the actor restarts would fail too instead of waiting for it.
        folder = str(Path.cwd())
        restarts = {"max_restarts": -1, "max_task_retries": -1}
        decode = _actor(DecodeWorker, folder).options(
            num_cpus=layout.decoder_cpus, scheduling_strategy="SPREAD", **restarts
        )  # fmt: skip
        model = _actor(ModelWorker, folder).options(
            num_cpus=layout.model_cpus, num_gpus=layout.model_gpus, scheduling_strategy="SPREAD",
            runtime_env={"env_vars": threads(layout.model_cpus)}, **restarts
        )  # fmt: skip
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        write = _actor(WriteWorker, folder).options(num_cpus=0, scheduling_strategy=here, **restarts)
        self.layout = layout
        arguments = made_of(config, options, root)
        self.models: Sequence[Actor] = [
            Actor(f"model {i}", model.remote(*arguments["ModelWorker"])) for i in range(layout.models)
        ]
        self.decoders: Sequence[Actor] = [
            Actor(f"decoder {i}", decode.remote(*arguments["DecodeWorker"])) for i in range(layout.decoders)
        ]
        self.writers: Sequence[Actor] = [
            Actor(f"writer {i}", write.remote(*arguments["WriteWorker"])) for i in range(layout.writers)
        ]
        self.linker: Actor | None = None
        if config.tracks.two_passes:
            link = _actor(LinkWorker, folder).options(num_cpus=0, scheduling_strategy=here, **restarts)
            self.linker = Actor("linker", link.remote(*arguments["LinkWorker"]))

    def call(self, worker: Actor, method: str, *args: Any) -> Any:
        return self._once(worker, method).remote(*args)

    def call_two(self, worker: Actor, method: str, *args: Any) -> tuple[Any, Any]:
        first, second = self._once(worker, method, num_returns=2).remote(*args)
        return first, second

    @staticmethod
    def _once(worker: Actor, method: str, **options: Any) -> Any:
        return getattr(worker.handle, method).options(max_task_retries=0, **options)

    def wait(self, tickets: Sequence[Any], timeout_s: float) -> list[Any]:
        # One at first, then whatever else is there: asking for all would wait for the slowest.
        if not tickets:  # for which Ray wouldn't wait at all
            time.sleep(timeout_s)
            return []
        done, rest = ray.wait(list(tickets), num_returns=1, timeout=timeout_s)
        if done and rest:
            more, _ = ray.wait(rest, num_returns=len(rest), timeout=0)
            done += more
        return done

    def result(self, ticket: Any) -> Any:
        try:
            return ray.get(ticket)
        except (ActorDiedError, ActorUnavailableError, ObjectLostError) as error:
            if isinstance(error, RayActorError) and error.actor_init_failed:
                raise WorkerUnfit(_what_failed(error), str(error)) from error
            raise WorkerLost(f"worker lost: {str(error).splitlines()[0]}") from error
        except RayTaskError as error:
            # A call whose input was lost with the worker that made it fails with that loss as its cause.
            if isinstance(error.cause, RayActorError | ObjectLostError):
                raise WorkerLost("worker lost with the frames it had read") from error
            cause = error.cause if isinstance(error.cause, Exception) else error
            cause.add_note(str(error))  # the traceback there
            raise cause from None

    def close(self) -> None:
        for actor in (*self.decoders, *self.models, *self.writers, self.linker):
            if actor is not None:
                ray.kill(actor.handle)


def _what_failed(error: RayActorError) -> str:
    """The last line of the traceback that came from an actor's constructor, and of the imports before it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    raised = next((line for line in reversed(lines) if _RAISED.match(line)), lines[-1])
    return raised


def _init(**arguments: Any) -> None:
    """ray.init, with what both a Ray of our own and one that is joined get."""
    fixed = {"log_to_driver": False, "logging_level": logging.ERROR}
    with no_working_dir() as environment, keeping_handlers():
        start_patiently(lambda: ray.init(runtime_env=environment, **fixed, **arguments))


@contextmanager
def ray_pool(config: ExtractConfig, options: RunOptions, root: Path) -> Iterator[RayPool]:
    """A pool on the cluster at `options.address`, or on a Ray started here and stopped at the end."""
    started_here = not ray.is_initialized()
    if started_here:
        where: dict[str, Any] = {"address": options.address}
        if not options.address:
            check_temporary_folder()
            check_gpus_here(options)  # before Ray wonders at how much shared memory so many are to have
            where = {
                "address": "local",
                "num_cpus": options.cpus,
                "include_dashboard": False,
                "object_store_memory": object_store_bytes(options.memory_bytes),
            }
        try:
            _init(**where)
        except ConnectionError as error:
            raise InputError(
                Problem("--address", f"a running Ray cluster ({error})", value=options.address)
            ) from error
    try:
        check()  # what came while Ray started; it is stopped like any other
        pool = RayPool(config, options, root)
        try:
            with telling_why(root):
                yield pool
        finally:
            pool.close()
    finally:
        if started_here:
            ray.shutdown()
