"""The live display of an extraction, and its summary."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

from rhas.pipeline.views.telling import quiet, said, tell

if TYPE_CHECKING:
    from collections.abc import Callable

    from rhas.extract.run.accounts import Summary
    from rhas.extract.run.progress import Snapshot

LOG_EVERY_S = 30.0  # between lines where there is no terminal to draw on
SHOWN_FAILURES = 10


def make_console() -> Console:
    """Where commands print. Without a terminal there is no width to keep to, so tables keep theirs.

    What comes from users goes through `escape`: ids and sentences may hold what looks like Rich's markup.
    """
    console = Console(emoji=False)
    return console if console.is_terminal else Console(width=160, emoji=False)


def duration(seconds: float | None) -> str:
    """Hours, minutes and seconds; a dash for what isn't known yet."""
    return "–" if seconds is None else str(timedelta(seconds=round(seconds)))


def _counts(now: Snapshot) -> str:
    failed = now.movies_failed + now.windows_failed
    return (
        f"movies {now.movies_done + now.movies_failed}/{now.movies}  windows {now.windows_done}/{now.windows}  "
        f"{now.frames_per_s:.1f} frames/s  left {duration(now.left_s)}  failures {failed}"
    )


@contextmanager
def live(console: Console) -> Iterator[Callable[[Snapshot], None]]:
    """A bar on a terminal, a line now and then elsewhere. Yields the function that shows a snapshot."""
    last = -LOG_EVERY_S

    def now_and_then(now: Snapshot, say: Callable[[str], None]) -> None:
        nonlocal last
        if time.monotonic() - last >= LOG_EVERY_S:
            last = time.monotonic()
            say(_counts(now))

    if not console.is_terminal or quiet():
        yield lambda now: now_and_then(now, lambda line: tell(console, line))
        return
    with Progress(
        BarColumn(), TextColumn("{task.percentage:>3.0f}%  {task.description}"), console=console
    ) as bar:
        task = bar.add_task("starting workers, loading models", total=None)

        def show(now: Snapshot) -> None:
            now_and_then(now, said.info)
            current = f"  [dim]{escape(now.current)}[/dim]" if now.current else ""
            bar.update(
                task, total=now.frames or None, completed=now.frames_done, description=_counts(now) + current
            )

        yield show


def _models_alone(report: dict[str, Any]) -> str:
    """What of the models' own speed a run has reached; nothing where they weren't asked."""
    cpu_s = report["model_cpu_s_per_frame"], report["models_alone_cpu_s_per_frame"]
    if None in cpu_s:
        return ""
    told = report["models_alone_note"]
    if report["share_of_models_alone"] is not None:
        told = (f"{report['models_alone_frames_per_s']:.1f} frames/s fed from memory; this run reached "
                f"{report['share_of_models_alone']:.0%} of that")  # fmt: skip
    return "{}; CPU seconds a frame {:.3g} in the run, {:.3g} alone".format(told, *cpu_s)


def print_summary(console: Console, summary: Summary, out: object) -> None:
    """What is there now, what failed, how fast it went and what limited it."""
    tally, report = summary.tally, summary.report
    table = Table(title=escape(str(out)), title_justify="left", show_header=False, box=None)
    done = summary.movies - summary.movies_failed
    counts = {
        "movies": f"{done} done ({summary.movies_skipped} by earlier runs), {summary.movies_failed} failed",
        "person-frames": f"{tally.promised} promised = {tally.written} written + {tally.missing} person not found + "
        f"{tally.lost} lost",
    }
    for name, count in counts.items():
        table.add_row(name, count)
        said.info("%s: %s", name, count)
    if report["frames"]:
        stages = ", ".join(f"{name} {seconds:.1f}" for name, seconds in report["stage_s"].items())
        table.add_row("speed", f"{report['frames_per_s']:.1f} frames/s over {duration(report['elapsed_s'])}")
        table.add_row("seconds per stage", f"{stages} (limiting: {report['limiting_stage']})")
        if told := _models_alone(report):
            table.add_row("models alone", told)
    if summary.idle:
        table.add_row("to do", "nothing: no models were loaded, so weights are known by their names only; shards that "
                      "haven't changed were not read (--verify)")  # fmt: skip
    console.print(table, highlight=False)
    notes = [(movie_id, note) for movie_id, own in summary.notes.items() for note in own]
    for movie_id, note in notes[:SHOWN_FAILURES]:
        console.print(f"[yellow]note[/yellow] {escape(f'{movie_id}: {note}')}", highlight=False)
    if len(notes) > SHOWN_FAILURES:
        console.print(
            f"… and {len(notes) - SHOWN_FAILURES} more: rhas shards {out}", highlight=False, markup=False
        )
    for number, failure in enumerate(summary.failures):
        window = f" window {failure.window}" if failure.window != "" else ""
        lost = f" ({failure.frames} frames)" if failure.frames else ""
        what = f"{failure.movie_id}{window}, {failure.stage}{lost}: {failure.reason}"
        said.warning("failed %s", what)
        if number < SHOWN_FAILURES:
            console.print(f"[red]failed[/red] {escape(what)}", highlight=False)
    if len(summary.failures) > SHOWN_FAILURES:
        console.print(
            f"… and {len(summary.failures) - SHOWN_FAILURES} more in {out}/failures.csv",
            highlight=False,
            markup=False,
        )
