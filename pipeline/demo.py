"""`rhas demo`: made films through both stages: extraction, verification, a picture, training, evaluation."""

from __future__ import annotations

from pathlib import Path

from extract.accounts import EXIT_SOME_FAILED
from extract.config import RunOptions, load_config
from extract.run import extract
from manifests.inputs import load_inputs
from pipeline.demo_films import make_films
from pipeline.display import live, make_console, print_summary
from pipeline.picture import draw_film
from pipeline.shards_table import print_verification
from pipeline.training import train_run
from train.evaluation import evaluate_run


def run_demo(out: Path) -> int:
    """Fills `out` with films, features, a picture and a run. Exit code 0 when everything went as it should."""
    console = make_console()
    console.print(
        "[bold]1. films[/bold]: three good ones, one cut off, and one in the manifest that isn't there"
    )
    manifest = make_films(out / "films")
    console.print(
        "[bold]2. extraction[/bold] with small RANDOM models: every step is real, the boxes mean nothing"
    )
    inputs = load_inputs(manifest, manifest.with_name("labels.csv"))
    with live(console) as listener:
        summary = extract(inputs, out / "features", load_config("tiny-random"), RunOptions(), listener)
    print_summary(console, summary, out / "features")
    console.print("[bold]3. verification[/bold]")
    inconsistent = print_verification(out / "features")
    console.print("[bold]4. picture[/bold]")
    draw_film(out / "features", "film_0", out / "film_0.png")
    console.print(f"{out / 'film_0.png'}: what the shard of film_0 holds", highlight=False)
    console.print(
        "[bold]5. training[/bold] of a small HopaDIFF on those features: it learns by heart, nothing more"
    )
    train_run(out / "features", out / "run", "small", ["data.split=manifest"])
    console.print("[bold]6. evaluation[/bold] on the test film, beside the baselines")
    evaluate_run(out / "run", "test")
    console.print(f"{out / 'run' / 'results.md'}, {out / 'run' / 'timelines'}", highlight=False)
    # The demo's manifest has two bad films on purpose.
    return 0 if summary.exit_code == EXIT_SOME_FAILED and not inconsistent else 1
