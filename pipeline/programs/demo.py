"""`rhas demo`: a made world through both stages, to a page that shows what came out.

Movies are made, extracted with the small shipped models on two CPU workers, HopaDIFF is trained on them and measured
beside the baselines; a report is written, and a page to play, search and correct. Nothing is downloaded, and a rerun
goes on where an interrupted one was.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from rhas.extract.config import RunOptions, load_config
from rhas.extract.run.accounts import EXIT_DONE
from rhas.extract.run.run import extract
from rhas.manifests.tables.inputs import load_inputs
from rhas.pipeline.programs.training import train_run
from rhas.pipeline.programs.viewing import Wanted, write_view
from rhas.pipeline.report.making import write_report
from rhas.pipeline.views.display import duration, live, make_console, print_summary
from rhas.pipeline.views.picture import draw_movie
from rhas.pipeline.views.shards_table import print_verification
from rhas.pipeline.world.making import make_world
from rhas.pipeline.world.writing import World
from rhas.train.config import DEFAULT_PRESET
from rhas.train.evaluation.evaluation import evaluate_run, read_metrics
from rhas.train.runs.run import RunFolder


@dataclass(frozen=True)
class Size:
    """How much of everything."""

    movies: int
    seconds: tuple[float, float]
    epochs: int


FULL = Size(movies=24, seconds=(30, 45), epochs=40)
QUICK = Size(movies=8, seconds=(20, 25), epochs=24)


def run_demo(out: Path, size: Size = FULL) -> int:
    """Fills `out`. Exit code 0 when everything went as it should."""
    console, began = make_console(), time.monotonic()

    def step(text: str) -> None:
        console.print(f"\n[bold]{text}[/bold]  ({duration(time.monotonic() - began)})", highlight=False)

    step("1/6 movies: persons whose looks, boxes and actions are known")
    manifest = make_world(out / "movies", World(size.movies, 0, *size.seconds), workers=2)
    step("2/6 extraction: GroundingDINO finds who is meant, BLIP-2 sees the frame and the person")
    inputs = load_inputs(manifest, manifest.with_name("labels.csv"), manifest.with_name("actions.csv"))
    with live(console) as callback:
        options = RunOptions(workers=2, decoders=1)
        summary = extract(inputs, out / "features", load_config("mini"), options, callback)
    print_summary(console, summary, out / "features")
    inconsistent = print_verification(out / "features")
    draw_movie(out / "features", "world_0000", out / "shard.png")
    step("3/6 training: HopaDIFF learns what persons do, from labelled ones")
    # A few movies: more of them to measure with than the paper's tenth.
    settings = ["data.split=random", "data.proportions=[60, 15, 25]", f"epochs={size.epochs}"]
    train_run(out / "features", out / "run", DEFAULT_PRESET, settings)
    step("4/6 evaluation: persons that it hasn't seen, beside the baselines")
    if "test" not in read_metrics(RunFolder(out / "run")):
        evaluate_run(out / "run", "test")
    console.print((out / "run" / "results.md").read_text(), highlight=False, markup=False)
    step("5/6 report")
    page = write_report(out / "run", out / "report", say=lambda line: console.print(line, highlight=False))
    step("6/6 view: the same persons to play, search and correct")
    wanted = Wanted(run=out / "run", split="test")
    view = write_view(
        out / "features", out / "view", wanted, say=lambda line: console.print(line, highlight=False)
    )
    step("done")
    console.print(f"open {page.absolute()} in a browser, and {view.absolute()}", highlight=False)
    return 0 if summary.exit_code == EXIT_DONE and not inconsistent else 1
