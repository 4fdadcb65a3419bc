"""A pipeline as a job of a Ray cluster (Ray Jobs): it runs on the cluster and outlives the client.

The pipeline's file, movies and outputs lie on a path that all nodes share; nothing is uploaded. The driver needs no
GPU: the stages which spread ask the cluster for theirs.
"""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

from rhas.manifests.common.errors import InputError, Problem, RhasError
from rhas.manifests.common.interruption import pause
from rhas.manifests.common.processes import ENDS_WITH_PARENT
from rhas.pipeline.stages.pipeline_file import Pipeline

_POLL_S = 1.0
_PATIENCE_S = 300.0  # for a head that doesn't answer, while a job is followed
_READY_S = 60.0  # for a cluster that begins
_STOPPING_S = 60  # for a stage to end as it does on Ctrl-C; then Ray kills it
_STOPPED_S = _STOPPING_S + 60.0


def submit_job(address: str, pipeline: Pipeline) -> str:
    """Starts it, returning the job's id."""
    # In place of the shell that Ray starts, which would end first and take it along.
    command = (
        f"exec env {ENDS_WITH_PARENT}=1 python -P -u -m rhas.pipeline.cli "
        f"run {shlex.quote(str(pipeline.path))} --address auto"
    )
    # Ray may have been started there by its full path. Nodes have the same installation, so look where it is here.
    variables = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}${{PATH}}",
        "RAY_JOB_STOP_WAIT_TIME_S": str(_STOPPING_S),
    }
    client, until = _client(address), time.monotonic() + _READY_S
    while True:
        try:
            job = client.submit_job(
                entrypoint=command,
                metadata={"rhas": str(pipeline.path)},
                runtime_env={"env_vars": variables},
            )
            return str(job)
        except RuntimeError as error:
            # A cluster that has just begun has no agent for jobs yet, and says so.
            if "try again later" not in str(error) or time.monotonic() > until:
                raise RhasError(f"{address} doesn't take the job: {error}") from error
            time.sleep(_POLL_S)


def follow_job(address: str, job: str, show: Callable[[str], None]) -> int:
    """Shows what a job says until it ends; returns its exit code. A head that is away for a while is waited for.

    Raises Interrupted; the job goes on.
    """
    client, shown, silent_since = _client(address), 0, time.monotonic()
    while True:
        try:
            ended = client.get_job_status(job).is_terminal()
            text = client.get_job_logs(job)
            silent_since = time.monotonic()
        except (RuntimeError, OSError) as error:
            if time.monotonic() - silent_since > _PATIENCE_S:
                raise RhasError(f"{address} no longer answers ({error}); job {job} may still run") from error
            pause(_POLL_S)
            continue
        if len(text) > shown:
            show(text[shown:])
            shown = len(text)
        if ended:
            info = client.get_job_info(job)
            code = info.driver_exit_code
            return int(code) if code is not None else (0 if info.status == "SUCCEEDED" else 1)
        pause(_POLL_S)


def describe_jobs(address: str, job: str | None = None) -> Iterator[str]:
    """A line for one job, or for each of the cluster's pipelines."""
    client = _client(address)
    infos = [_info(client, job)] if job else client.list_jobs()
    for info in infos:
        if job or "rhas" in (info.metadata or {}):
            seconds = ((info.end_time or time.time() * 1000) - (info.start_time or 0)) / 1000
            took = f"{seconds:.0f} s" if info.start_time else "not started"
            path = (info.metadata or {}).get("rhas", info.entrypoint)
            yield f"{info.submission_id}  {info.status.value}  {took}  {path}  {info.message or ''}".rstrip()


def job_logs(address: str, job: str) -> str:
    """All that it said so far."""
    client = _client(address)
    _info(client, job)
    return str(client.get_job_logs(job))


def cancel_job(address: str, job: str) -> str:
    """Stops it, waits for its end, and returns how it ended."""
    client = _client(address)
    _info(client, job)
    client.stop_job(job)
    until = time.monotonic() + _STOPPED_S
    while not client.get_job_status(job).is_terminal() and time.monotonic() < until:
        time.sleep(_POLL_S)
    return str(client.get_job_status(job).value)


def _client(address: str) -> Any:
    """Raises InputError where no dashboard answers."""
    from ray.exceptions import AuthenticationError
    from ray.job_submission import JobSubmissionClient

    try:
        return JobSubmissionClient(address)
    except AuthenticationError as error:
        expected = (
            "a token that this cluster accepts: RAY_AUTH_MODE=token, and the head's ~/.ray/auth_token in that place "
            "here and on all nodes"
        )
        raise InputError(Problem("--address", expected, value=address)) from error
    except (ConnectionError, RuntimeError, ValueError) as error:
        expected = f"the dashboard of a running Ray cluster, such as http://head:8265 ({error})"
        raise InputError(Problem("--address", expected, value=address)) from error


def _info(client: Any, job: str) -> Any:
    try:
        return client.get_job_info(job)
    except RuntimeError as error:
        raise InputError(
            Problem("JOB", "the id of a job of this cluster, as `rhas status` lists them", value=job)
        ) from error
