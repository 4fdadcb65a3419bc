"""`rhas world …`: what a user sees while movies are made, and models fitted to them and measured."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from rhas.extract.config import ExtractConfig, load_config
from rhas.extract.weights.shipped_weights import FOLDER
from rhas.manifests.common.errors import InputError, Problem
from rhas.pipeline.views.display import make_console
from rhas.pipeline.world.writing import World, write_world

PARTS = ("detector", "refiner", "encoder")
CALIBRATION_MOVIES, CALIBRATION_SEED = 50, 1000


def make_world(out: Path, world: World, workers: int = 1) -> Path:
    """Writes a made world, showing how it goes; returns the manifest's path."""
    console, began, frames = make_console(), time.monotonic(), 0
    columns = TextColumn("movies"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("movies", total=world.movies)

        def made(count: int) -> None:
            nonlocal frames
            frames += count
            progress.advance(task)

        manifest = write_world(out, world, workers, made)
    rate = frames / max(1e-6, time.monotonic() - began)
    console.print(
        f"{manifest}: {world.movies} movies, {frames} frames, {rate:.0f} frames/s; labels and truth beside it",
        highlight=False,
    )
    return manifest


def fit_models(
    out: Path, seed: int, only: str, detector_steps: tuple[int, int], refiner_steps: int,
    encoder_steps: tuple[int, int, int],
) -> None:  # fmt: skip
    """Fits the small models and writes them to folders of `out` with their names; `out`/work is to go on from."""
    import torch

    from rhas.pipeline.world.training.detector import train_detector
    from rhas.pipeline.world.training.encoder import train_encoder
    from rhas.pipeline.world.training.refiner import train_refiner

    if only not in ("all", *PARTS):
        raise InputError(Problem("--only", f"{', '.join(PARTS)} or all", value=only))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.set_num_threads(1)  # how sums are split up among threads shows in their last bits
    console = make_console()

    def say(line: str) -> None:
        console.print(line, highlight=False)

    if only in ("all", "detector"):
        train_detector(out / "detector", out / "work", seed, detector_steps, device, say)
    if only in ("all", "refiner"):
        train_refiner(out / "refiner", out / "work", seed, refiner_steps, device, say)
    if only in ("all", "encoder"):
        train_encoder(out / "encoder", out / "work", seed, encoder_steps, device, say)


@dataclass(frozen=True)
class Models:
    """Small models that are measured: their folder, and whether boxes stay as they are found."""

    folder: Path
    as_found: bool

    @classmethod
    def of(cls, folder: Path | None, as_found: bool) -> Models:
        """None: the shipped ones."""
        return cls(folder or FOLDER / "mini", as_found)

    def config(self, *settings: str) -> ExtractConfig:
        """Preset mini with this detector, and with this refiner, if there is one."""
        config, refiner = load_config("mini", list(settings)), self.folder / "refiner"
        refine = str(refiner) if refiner.is_dir() and not self.as_found else None
        return config.replace(
            detector=config.detector.replace(weights=str(self.folder / "detector"), refine=refine)
        )


def print_calibration(models: Models, tracks: str | None, every_s: float) -> None:
    """Prints how sure boxes may be, as `detector.sure` or `tracks.sure` has it: measured on movies like those that the
    detector learnt from.

    `tracks`: how persons are found in whole movies; None: each frame of a stretch by itself.
    """
    from rhas.extract.ground.calibration import RIGHT, curve
    from rhas.pipeline.world import TRAINING
    from rhas.pipeline.world.training.measure_detector import measure_detector
    from rhas.pipeline.world.training.measure_tracks import measure_tracks

    asked = CALIBRATION_MOVIES, CALIBRATION_SEED
    if tracks is None:
        found = measure_detector(models.config().detector, *asked, stream=TRAINING)
    else:
        found, _ = measure_tracks(models.config(*_as(tracks, every_s)), *asked, stream=TRAINING)
    for status, own in found.questions.dropna(subset="score").groupby("status"):
        corners = curve(own.score.to_numpy(), (own.overlap > RIGHT).to_numpy())
        make_console().print(f"{status}: {[list(corner) for corner in corners or ()]}", highlight=False)


def _as(tracks: str, every_s: float) -> tuple[str, str]:
    if tracks == "boxes":
        raise InputError(Problem("--tracks", "frames, builtin or a tracker of another package", value=tracks))
    return f"tracks.implementation={tracks}", f"tracks.every_s={every_s}"


def print_tracks(models: Models, movies: int, seed: int, tracks: str, every_s: float) -> None:
    """Prints what comes of everybody in whole held-out movies, by one way of finding persons."""
    from rhas.pipeline.world.training.measure_tracks import measure_tracks

    config = models.config(*_as(tracks, every_s))
    found, looked = measure_tracks(config, movies, seed)
    every = f", every {every_s:g} s" if config.tracks.two_passes else ""
    make_console().print(
        f"{tracks}{every}, {len(found.present)} frames of visible persons in {movies} whole held-out movies: "
        f"{found.share('right'):.1%} right (IoU > .5, mean {found.overlap:.3f}), "
        f"{found.share('wrong'):.1%} another person, {found.share('missed'):.1%} nobody; "
        f"{found.false_alarms:.1%} of {len(found.questions) - len(found.present)} of absent ones have a box; "
        f"all right {found.all_right:.1%}; {found.switches:.1f} switches per person-minute; "
        f"calibration error {found.calibration_error:.3f}; the detector sees {looked:.2f} of the frames",
        highlight=False,
    )


def print_measures(models: Models, movies: int, seed: int) -> None:
    """Prints what the small models reach on held-out movies, and how sure the detector may be of what it finds."""
    from rhas.pipeline.world.training.measure_detector import by_attribute, measure_detector
    from rhas.pipeline.world.training.measure_encoder import measure_encoder

    console = make_console()
    found = measure_detector(models.config().detector, movies, seed)
    absent = len(found.questions) - len(found.present)
    console.print(
        f"detector, {len(found.present)} frames of visible persons in {movies} held-out movies: "
        f"{found.share('right'):.1%} right (IoU > .5, mean {found.overlap:.3f}), "
        f"{found.share('wrong'):.1%} another person, {found.share('missed'):.1%} nobody; "
        f"{found.false_alarms:.1%} of {absent} of absent ones have a box; "
        f"all right {found.all_right:.1%}; {found.switches:.1f} switches per person-minute; "
        f"calibration error {found.calibration_error:.3f}",
        highlight=False,
    )
    console.print(by_attribute(found.questions).round(3).to_string(), highlight=False)
    for name, value in measure_encoder(models.folder / "encoder", movies, seed).items():
        console.print(f"encoder, {name}: {value:.1%}", highlight=False)
