"""What `rhas find` shows: a table of the best tracks, and a contact sheet of their pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from rich.markup import escape
from rich.table import Table

from rhas.extract.encode.people import opened_jpeg
from rhas.manifests.shards.people import KEPT
from rhas.pipeline.programs.finding import Finding, Found
from rhas.pipeline.views.contact_sheet import write_sheet
from rhas.pipeline.views.display import make_console


def print_found(finding: Finding, top: int) -> None:
    console = make_console()
    asked = [name for name in ("words", "likeness") if name in finding.measures]
    titles = [f"{name} ({finding.measures[name].partition(':')[0]})" for name in asked]
    table = Table("movie", "track", "start s", "end s", "pictures", *titles, "sure")
    for found in finding.found[:top]:
        numbers = [getattr(found, name) for name in (*asked, "sure")]
        table.add_row(
            escape(found.movie_id), str(found.track), f"{found.start_s:.2f}", f"{found.end_s:.2f}", str(found.pictures),
            *("–" if number is None else f"{number:.3f}" for number in numbers),
        )  # fmt: skip
    console.print(table)
    more = len(finding.found) - top
    if more > 0:
        console.print(f"… and {more} more tracks: --top, or all of them with --out", highlight=False)
    if not finding.found:
        console.print("nobody was seen there long enough to be a track", highlight=False)
    for name, meaning in finding.measures.items():
        said = meaning if meaning.startswith(name) else f"{name}: {meaning.partition(': ')[2]}"
        console.print(escape(said), highlight=False)
    for movie_id, reason in finding.left_out.items():
        console.print(f"[yellow]left out[/yellow] {escape(f'{movie_id}: {reason}')}", highlight=False)


def draw_found(png: Path, finding: Finding, top: int) -> None:
    rows = []
    for found in finding.found[:top]:
        people = finding.people[found.movie_id]
        kept = np.flatnonzero(
            (people.crops_of_tracks() == found.track) & (people.arrays["state"] == KEPT)
        ).tolist()
        rows.append((_line(found), [opened_jpeg(people.jpeg(crop)) for crop in kept]))
    write_sheet(png, rows)


def _line(found: Found) -> str:
    sure = "" if found.sure is None else f"   sure {found.sure:.2f}"
    return f"{found.movie_id}   track {found.track}   {found.start_s:.1f}–{found.end_s:.1f} s{sure}"
