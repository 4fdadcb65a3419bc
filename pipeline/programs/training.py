"""`rhas train` and `rhas predict`: stage 2 as a user sees it, and both stages together on a new movie."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from rhas.extract.config import RunOptions, config_from_dict
from rhas.extract.run.run import extract
from rhas.manifests.common.errors import InputError, Problem
from rhas.manifests.common.locations import Place
from rhas.manifests.common.names import MAX_BYTES
from rhas.manifests.shards.identity import content_id
from rhas.manifests.tables.inputs import Inputs
from rhas.manifests.tables.manifest import Manifest, Movie, Person
from rhas.manifests.tables.vocabulary import Vocabulary
from rhas.pipeline.views.display import live, make_console
from rhas.pipeline.views.telling import quiet, tell
from rhas.train.evaluation.results import tau_text
from rhas.train.fitting.initialising import told
from rhas.train.fitting.loop import Callback, Step
from rhas.train.fitting.training import train
from rhas.train.runs.run import RunFolder, Validation, read_json
from rhas.train.runs.settings import load_whole_config
from rhas.train.scoring.prediction import predict_run


class LiveTraining(Callback):
    """A bar of steps with the loss, and a line for each validation."""

    def __init__(self, progress: Progress, run: Path):
        self.progress, self.run = progress, run
        self.task: TaskID | None = None

    def loaded(self, lines: Sequence[str]) -> None:
        for line in lines:
            tell(self.progress.console, line)

    def started(self, step: int, steps: int) -> None:
        if step == 0 and (init := read_json(RunFolder(self.run).data).get("init")):
            tell(self.progress.console, told(init))
        self.task = self.progress.add_task("training", total=steps, completed=step)

    def stepped(self, step: Step) -> None:
        assert self.task is not None
        losses = ", ".join(f"{name} {value:.3f}" for name, value in step.losses.items())
        self.progress.update(self.task, completed=step.step, description=f"epoch {step.epoch}  {losses}")

    def validated(self, validation: Validation, best: bool) -> None:
        mark = "  best so far" if best else ""
        others = {
            "loss": (validation.loss, ".3f"), "mAP": (validation.frame_mAP, ".1f"), "edit": (validation.edit, ".1f")
        }  # fmt: skip
        measured = [f"{name} {value:{form}}" for name, (value, form) in others.items() if value is not None]
        said = ", ".join([f"macro F1@50 {validation.f1_macro_50:.1f}", *measured])
        line = f"epoch {validation.epoch}: validation {said} at τ {tau_text(validation.tau)}{mark}"
        tell(self.progress.console, line)


def train_run(
    shards: Path,
    out: Path,
    preset: str,
    overrides: list[str],
    gpus: int | None = None,
    workers: int | None = None,
    address: str | None = None,
    callbacks: Sequence[Callback] = (),
    device: str | None = None,
    init_from: Path | None = None,
) -> None:
    """Trains, showing how it goes: in this process, or through Ray on several GPUs or CPU processes."""
    config = load_whole_config(preset, overrides)
    console = make_console()
    columns = (BarColumn(), TextColumn("{task.completed:.0f}/{task.total:.0f}"), TextColumn("{task.description}"),
               TimeRemainingColumn())  # fmt: skip
    with Progress(*columns, console=console, disable=quiet() or not console.is_terminal) as progress:
        shown = [LiveTraining(progress, out), *callbacks]
        if gpus is None and workers is None:
            best = train(shards, out, config, device, shown, init_from=init_from)
        else:
            from rhas.train.fitting.ray_train import train_distributed  # Ray starts slowly

            best = train_distributed(
                shards, out, config, gpus or 0, workers, address, shown, init_from=init_from
            )
    line = f"{out}: best validation macro F1@50 {best.f1_macro_50:.1f} at τ {tau_text(best.tau)}, epoch {best.epoch}"
    tell(console, line)


def predict_shards(
    run: Path, shards: Path, out: Path, split: str | None, device: str | None = None,
    overrides: Sequence[str] = (),
) -> int:  # fmt: skip
    """Predicts for a features folder; returns the number of segments."""
    return len(predict_run(run, shards, out, split, device, overrides=overrides))


def predict_movie(
    run: Path, video: Place, sentence: str, out: Path, gpus: int, device: str | None = None,
    overrides: Sequence[str] = (),
) -> int:  # fmt: skip
    """Extracts one person of one movie as the run's own data was extracted, then predicts."""
    if isinstance(video, Path) and not video.is_file():
        raise InputError(Problem("--movie", "a movie", value=str(video)))
    data = read_json(RunFolder(run).data)
    if data["extraction"] is None:
        expected = "a run that knows how its features were extracted; these weights were imported without any"
        raise InputError(Problem(run / "data.json", expected, column="extraction"))
    config = config_from_dict(data["extraction"], run / "data.json")
    if config.detector.implementation == "boxes":
        expected = (
            f"a run whose persons a detector found; here boxes are from a table ({config.detector.weights}), which "
            "knows nobody in a new movie: `rhas extract --movies MANIFEST --detector BOXES.csv` with boxes of its own, "
            f"then `rhas predict --run {run} --shards FEATURES`"
        )
        raise InputError(Problem("--movie", expected, value=str(video)))
    movie = Movie("movie", video.absolute(), (Person("movie", "person", sentence),))
    inputs = Inputs(Manifest(Path("--movie"), (movie,)), None, Vocabulary(tuple(data["actions"])))
    console = make_console()
    with live(console) as callback:
        summary = extract(inputs, out / "features", config, RunOptions(gpus=gpus, update=True), callback)
    reason = "; ".join(dict.fromkeys(failure.reason for failure in summary.failures))
    lost, promised = summary.tally.lost, summary.tally.promised
    # What the folder has of an earlier movie is not this one's.
    if summary.movies_failed or lost == promised:
        raise InputError(Problem(str(video), f"a movie that can be decoded ({reason})"))
    if lost:
        line = f"{lost} of {promised} frames are lost ({reason}): what segments say of them is from those beside them"
        tell(console, line)
    return len(predict_run(run, out / "features", out, None, device, overrides=overrides))


def movie_predictions(run: Path, video: Place, sentence: str) -> Path:
    """Where predictions for a person of a movie go: apart from a features folder's, and from other persons'."""
    words = re.sub(r"\W+", "-", f"{Path(video.name).stem} {sentence}").strip("-")
    if len(words.encode()) > MAX_BYTES // 2:
        start = words.encode()[: MAX_BYTES // 2].decode(errors="ignore")
        words = f"{start}-{content_id([words])[:8]}"
    return run / f"predictions-{words}"


def seconds_of(text: str, option: str) -> float:
    """A length of time such as 60s, 1.5min or 90. Raises InputError, naming the option, for anything else."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(s|min)?", text.strip())
    if found is None:
        raise InputError(Problem(option, "a length of time such as 60s or 1.5min", value=text))
    return float(found[1]) * (60 if found[2] == "min" else 1)
