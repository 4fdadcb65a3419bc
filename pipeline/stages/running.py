"""Running a pipeline: what is done already is left alone, the rest goes on in its order, each with a log.

    OUT/logs/STAGE.log     all that a stage said, of every time it ran
    OUT/stages.json        of each finished stage: what it read and wrote, and how long it took

Movies that are lost (exit code 3) don't stop a pipeline: it goes on with the others and ends with 3; such a stage is
asked again the next time, and finds most of its work done. Any other failure stops it.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import shlex
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rhas.extract.run.accounts import EXIT_DONE, EXIT_SOME_FAILED
from rhas.manifests.common.atomic import write_text_atomically
from rhas.manifests.common.interruption import Interrupted, asked, check, passed_on
from rhas.manifests.common.lock import locked
from rhas.manifests.common.processes import ENDS_WITH_PARENT, python_command
from rhas.manifests.shards.identity import content_id
from rhas.pipeline.commands.options import WITHIN_A_PIPELINE
from rhas.pipeline.stages.kinds import digest, movies_digest
from rhas.pipeline.stages.pipeline_file import RESOURCES, Pipeline, Stage
from rhas.pipeline.views.display import duration

EXIT_FAILED = 1
_FREE = (
    *RESOURCES,
    "address",
    "batch",
    "deadline",
    "max_failure_rate",
)  # how a stage runs, not what it makes
Say = Callable[[str], None]


def read(stage: Stage) -> str:
    """What identifies all that a stage is made of: its options, and what its inputs hold."""
    options = {name: value for name, value in stage.options.items() if name not in _FREE}
    inputs = {name: digest(path) for name, path in stage.inputs.items()}
    manifest = stage.inputs.get("movies")
    movies = movies_digest(manifest) if isinstance(manifest, Path) else ""
    return content_id([importlib.metadata.version("rhas"), stage.command, options, inputs, movies])


def wrote(stage: Stage) -> str:
    """What identifies its output; that of a stage which only looks is always the same."""
    return "nothing" if stage.output is None else digest(stage.output)


def done(stage: Stage, record: dict[str, Any]) -> bool:
    """Whether running it would give what is there."""
    before = record.get(stage.name, {})
    return bool(before.get("wrote")) and before == before | {"read": read(stage), "wrote": wrote(stage)}


def load_record(pipeline: Pipeline) -> dict[str, Any]:
    """stages.json, if there is one."""
    path = pipeline.out / "stages.json"
    return json.loads(path.read_text()) if path.is_file() else {}


def describe(pipeline: Pipeline, say: Say) -> None:
    """The plan: each stage, whether it is done, what it asks for, and its command. Nothing is run or written."""
    record, stale = load_record(pipeline), False
    for number, stage in enumerate(pipeline.stages, start=1):
        finished = not stale and done(stage, record)
        stale = stale or not finished  # what it writes, later stages read
        say(f"{number}/{len(pipeline.stages)} {stage.name}: {'done before' if finished else 'to do'}")
        say(f"    rhas {shlex.join(stage.arguments)}")
        for name, path in stage.inputs.items():
            say(f"    reads  {name}: {path}")
        if stage.output is not None:
            say(f"    writes {stage.output}")
        say(f"    needs  {stage.resources}")


def run_pipeline(pipeline: Pipeline, say: Say) -> int:
    """Runs what isn't done; returns the exit code. Raises Interrupted when asked to end; a stage is asked first."""
    pipeline.out.mkdir(parents=True, exist_ok=True)
    with locked(pipeline.out / "lock"):
        return _run_all(pipeline, say)


def _run_all(pipeline: Pipeline, say: Say) -> int:
    worst = EXIT_DONE
    for number, stage in enumerate(pipeline.stages, start=1):
        check()
        label, record = f"{number}/{len(pipeline.stages)} {stage.name}", load_record(pipeline)
        if done(stage, record):
            say(f"{label}: done before")
            continue
        log = pipeline.out / "logs" / f"{stage.name}.log"
        say(f"{label}: rhas {shlex.join(stage.arguments)}")
        before, began = read(stage), time.monotonic()
        code = _run(stage, log, say)
        took = duration(time.monotonic() - began)
        if asked() and code != EXIT_DONE:
            say(f"{label}: interrupted after {took}")
            raise Interrupted
        if code not in (EXIT_DONE, EXIT_SOME_FAILED):
            say(f"{label}: failed after {took} with exit code {code}; see {log}")
            return code if code > 0 else EXIT_FAILED
        worst = max(worst, code)
        lost = ", but some movies or windows failed" if code else ""
        say(f"{label}: done in {took}{lost}")
        if code == EXIT_DONE:
            ended = datetime.now(UTC).isoformat(timespec="seconds")
            record[stage.name] = {"read": before, "wrote": wrote(stage), "ended": ended, "took": took}
            write_text_atomically(pipeline.out / "stages.json", json.dumps(record, indent=1) + "\n")
    return worst


def _run(stage: Stage, log: Path, say: Say) -> int:
    """The stage's exit code. What it says goes to its log and to `say`; an interrupt is passed on to it."""
    log.parent.mkdir(exist_ok=True)
    command = python_command("rhas.pipeline.cli", *stage.arguments)
    with log.open("a") as file:
        file.write(
            f"--- {datetime.now(UTC).isoformat(timespec='seconds')} rhas {shlex.join(stage.arguments)}\n"
        )
        # A session of its own: what stops it comes from here, once.
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
            start_new_session=True, env={**os.environ, ENDS_WITH_PARENT: "1", WITHIN_A_PIPELINE: "1"},
        )  # fmt: skip
        assert process.stdout is not None
        with passed_on(process):
            for line in process.stdout:
                file.write(line)
                file.flush()
                say(f"  {line.rstrip()}")
            return process.wait()
