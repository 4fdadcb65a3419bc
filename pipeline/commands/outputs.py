"""Where commands write that were not told where, and what they say of it on their first line.

In: what the command reads, in the current folder. Out: a folder below it. What is in the folder is left to the command.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from itertools import count
from pathlib import Path

from rhas.manifests.common.errors import InputError, Problem
from rhas.manifests.common.locations import Place, Remote
from rhas.manifests.shards.layout import FeaturesFolder

RUNS = Path("runs")
FEATURES_RULE = "features for manifest.csv, features-NAME for NAME.csv, in the current folder"
RUN_RULE = f"{RUNS}/MODEL-TIME in the current folder, another one each time"


def features_folder(movies: Path) -> Path:
    """A manifest's: see `FEATURES_RULE`. Raises InputError where something else is in its place."""
    out = Path("features" if movies.stem == "manifest" else f"features-{movies.stem}")
    if out.exists() and not FeaturesFolder(out).in_use and not (out.is_dir() and not any(out.iterdir())):
        expected = f"given where the features are to go: {out} is there, and holds something else"
        raise InputError(Problem("--out", expected))
    return out


def told_features(out: Place, chosen: bool) -> str:
    """The first line of an extraction. `chosen`: by the rule, not by the user."""
    if isinstance(out, Remote):
        return f"{out}: goes on from what is there, or begins a new features folder"
    begun = FeaturesFolder(out).config.exists()
    how = "goes on from what is there" if begun else "a new features folder; the same command continues it"
    return f"{out}: {how}" + "; --out names another" * chosen


@contextmanager
def new_run(model: str) -> Iterator[Path]:
    """A run folder of its own: see `RUN_RULE`. It is gone at the end if nothing was written into it."""
    made = [] if RUNS.exists() else [RUNS]
    RUNS.mkdir(exist_ok=True)
    name = f"{model}-{datetime.now():%Y-%m-%d-%H%M%S}"
    for number in count(1):
        out = RUNS / (name if number == 1 else f"{name}-{number}")
        with suppress(FileExistsError):
            out.mkdir()
            break
    try:
        yield out
    finally:
        for folder in (out, *made):
            with suppress(OSError):  # it holds something
                folder.rmdir()


def told_run(out: Path, model: str | None) -> Iterator[str]:
    """The first lines of a training. `model`: whose new run it is, if the rule chose the folder."""
    if model is None:
        begun = (out / "config.yaml").exists()
        how = "goes on from its last checkpoint" if begun else "a new run; the same command goes on with it"
        yield f"{out}: {how}"
        return
    yield f"{out}: a new run; the same command with --out {out} goes on with it"
    for config in sorted(RUNS.glob(f"{model}-*/config.yaml"))[-1:]:
        if not config.with_name("metrics.json").exists():
            yield f"{config.parent} did not come to its end; --out {config.parent} goes on with that one"
