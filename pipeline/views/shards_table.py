"""`rhas verify` and `rhas shards`: what a features folder holds, and whether it keeps its promises."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from rhas.manifests.common.errors import InputError
from rhas.manifests.shards.layout import FeaturesFolder
from rhas.manifests.shards.ledger import Ledger
from rhas.manifests.shards.reader import FeaturesReader
from rhas.manifests.shards.statistics import Tally
from rhas.manifests.shards.status import FrameStatus, streams_of
from rhas.manifests.shards.verify import MovieCheck, read_config, verify
from rhas.manifests.tables.label_times import behind_the_end
from rhas.pipeline.views.display import make_console

STATUSES = [s for s in FrameStatus if s != FrameStatus.OUTSIDE]


def _cells(tally: Tally) -> list[str]:
    return [str(tally.promised), *(str(tally[s]) for s in STATUSES)]


def print_verification(root: Path) -> int:
    """Prints a row per movie and every inconsistency. Exit code 0 when there is none, else 1."""
    console = make_console()
    table = Table(
        "movie", "promised", *(s.name.lower() for s in STATUSES), "result", title=escape(f"verify {root}")
    )
    checks: list[MovieCheck] = []
    for check in verify(root):
        checks.append(check)
        failures = f"{len(check.failures)} recorded failures" if check.failures else "ok"
        result = f"[red]{len(check.problems)} problems[/red]" if check.problems else failures
        table.add_row(
            escape(check.movie_id),
            *(_cells(check.tally) if check.tally else ["–"] * (1 + len(STATUSES))),
            result,
        )
    total = Tally.sum(check.tally for check in checks if check.tally)
    table.add_section()
    table.add_row("all", *_cells(total), "")
    console.print(table)
    problems = [problem for check in checks for problem in check.problems]
    Ledger(FeaturesFolder(root)).strike_out(check.movie_id for check in checks if check.problems)
    for problem in problems:
        console.print(f"[red]problem[/red] {escape(problem)}", highlight=False, soft_wrap=True)
    unread = sum(1 for check in checks if check.tally is None and not check.problems)
    console.print(
        f"{total.promised} promised person-frames = {total.written} written + {total.missing} person not found + "
        f"{total.lost} lost and recorded; {unread} movies could not be opened, as recorded in failures.csv",
        highlight=False, soft_wrap=True,
    )  # fmt: skip
    console.print(
        f"{len(problems)} problems"
        if problems
        else "clean: every checksum holds, every frame is accounted for"
    )
    for warning in _on_labels(FeaturesFolder(root).labels, root):
        console.print(f"[yellow]warning[/yellow] {escape(warning)}", highlight=False, soft_wrap=True)
    return 1 if problems else 0


def _on_labels(labels: Path, root: Path) -> Iterator[str]:
    """What labels say of times that no movie has; labels that can't be read at all are one such line."""
    if labels.is_file():
        try:
            yield from behind_the_end(labels, FeaturesReader(root).ends_s())
        except InputError as error:
            yield str(error)


def print_shards(root: Path) -> None:
    """Prints one row per person and the models that the features come from."""
    console = make_console()
    reader = FeaturesReader(root)
    table = Table(
        "movie",
        "person",
        "reference",
        "split",
        "frames",
        *(s.name.lower() for s in STATUSES),
        title=escape(str(root)),
    )
    total = Tally()
    for series in reader.persons():
        tally = Tally.of(series.status)
        total.update(tally)
        named = (series.movie_id, series.person_id, series.reference, series.split or "")
        table.add_row(*map(escape, named), *_cells(tally))
    table.add_section()
    table.add_row("all", "", "", "", *_cells(total))
    console.print(table)
    for movie_id, notes in reader.notes().items():
        for note in notes:
            console.print(f"[yellow]{escape(movie_id)}[/yellow]: {escape(note)}", highlight=False)
    record = read_config(FeaturesFolder(root))
    for role, model in record["models"].items():
        console.print(f"{role}: {model['name']}, weights {model['hash'][:12]}", highlight=False, markup=False)
    decode = record["config"]["decode"]
    rate = f"{decode['fps']:g} frames/s" if decode["fps"] else "every frame"
    streams = streams_of(record["config"])
    only = f" of {next(iter(streams))} images only" if len(streams) == 1 else ""
    console.print(f"{rate}, features {'×'.join(map(str, record['feature_shape']))} float16{only}, "
                  f"{record['config']['precision']} arithmetic", highlight=False)  # fmt: skip
