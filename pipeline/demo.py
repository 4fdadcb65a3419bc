"""`rhas demo`: made films through the whole extraction, and a picture of what came out."""

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


def run_demo(out: Path) -> int:
    """Fills `out` with films, features and film_0.png. Exit code 0 when everything went as it should."""
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
    # The demo's manifest has two bad films on purpose.
    return 0 if summary.exit_code == EXIT_SOME_FAILED and not inconsistent else 1
