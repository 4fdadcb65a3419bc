"""Both stages as one pipeline, here or on a cluster: run, submit, status, cancel."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rhas.pipeline.commands.options import CLUSTER, interruptible_work, next_step, next_with_features

if TYPE_CHECKING:
    from rhas.pipeline.stages.pipeline_file import Pipeline

commands = typer.Typer()

PipelineFile = Annotated[Path, typer.Argument(help="YAML with stages: see pipeline/stages/pipeline_file.py")]
DashboardAddress = Annotated[
    str, typer.Option("--address", envvar="RAY_DASHBOARD_ADDRESS", help="Ray's dashboard, http://head:8265")
]
Job = Annotated[str, typer.Argument(help="The job's id, as rhas submit printed it")]


@commands.command(rich_help_panel=CLUSTER)
def run(
    pipeline: PipelineFile,
    address: Annotated[
        str | None,
        typer.Option(help="Ray cluster for extraction and training, e.g. auto", show_default="this machine"),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done")] = False,
) -> None:
    """Run the stages of a pipeline, leaving alone what is done already."""
    from rhas.extract.run.accounts import EXIT_DONE, EXIT_SOME_FAILED
    from rhas.pipeline.stages.pipeline_file import load_pipeline
    from rhas.pipeline.stages.running import describe, run_pipeline

    loaded = load_pipeline(pipeline, address)
    if dry_run:
        describe(loaded, typer.echo)
        next_step("run", pipeline, options={"--address": address})
    else:
        with interruptible_work("what is finished stays, the same command goes on from there"):
            code = run_pipeline(loaded, typer.echo)
        if code in (EXIT_DONE, EXIT_SOME_FAILED):
            _next_after(loaded)
        raise typer.Exit(code)


def _next_after(pipeline: Pipeline) -> None:
    """With what the last stage made that something can be done with."""
    made = {stage.command: stage.output for stage in pipeline.stages if stage.output is not None}
    if "train" in made:
        next_step("export", "--run", made["train"], "--out", "model")
    elif "extract" in made:
        next_with_features(made["extract"])


@commands.command(rich_help_panel=CLUSTER)
def submit(
    pipeline: PipelineFile,
    address: DashboardAddress,
    follow: Annotated[bool, typer.Option(help="Show its output until it ends")] = True,
) -> None:
    """Run a pipeline on a Ray cluster, as a job that goes on when this command ends."""
    from rhas.pipeline.stages.jobs import follow_job, submit_job
    from rhas.pipeline.stages.pipeline_file import load_pipeline

    loaded = load_pipeline(pipeline, "auto")  # mistakes are told here, not there
    job = submit_job(address, loaded)
    typer.echo(f"{job}: submitted; rhas status {job} --address {address}")
    if follow:
        with interruptible_work(f"{job} goes on; rhas cancel {job} --address {address} would stop it"):
            code = follow_job(address, job, lambda text: typer.echo(text, nl=False))
        raise typer.Exit(code)


@commands.command(rich_help_panel=CLUSTER)
def status(
    address: DashboardAddress,
    job: Annotated[str | None, typer.Argument(help="The job's id", show_default="all of them")] = None,
    logs: Annotated[bool, typer.Option("--logs", help="Also all that it said")] = False,
) -> None:
    """How the jobs of a cluster stand."""
    from rhas.pipeline.stages.jobs import describe_jobs, job_logs

    lines = list(describe_jobs(address, job))
    for line in lines or [f"{address}: no pipelines were submitted"]:
        typer.echo(line)
    if logs and job is not None:
        typer.echo(job_logs(address, job))
    elif lines:
        next_step("status", job or lines[0].split()[0], "--address", address, "--logs")
    else:
        next_step("submit", "pipeline.yaml", "--address", address)


@commands.command(rich_help_panel=CLUSTER)
def cancel(address: DashboardAddress, job: Job) -> None:
    """Stop a job; what it has finished stays, and the same pipeline goes on from there."""
    from rhas.pipeline.stages.jobs import cancel_job

    typer.echo(f"{job}: {cancel_job(address, job)}")
    next_step("status", job, "--address", address, "--logs")
