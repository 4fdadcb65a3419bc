"""The command `rhas doctor`: whether this machine is fit for the others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rhas.pipeline.commands.extract import DetectorWeights, EncoderWeights, Preset, other_preset, overrides
from rhas.pipeline.commands.options import LOOK, SetOption, next_step

commands = typer.Typer()


@commands.command(rich_help_panel=LOOK)
def doctor(
    preset: Preset = "blip2",
    detector: DetectorWeights = None,
    encoder: EncoderWeights = None,
    out: Annotated[Path, typer.Option("--out", help="Where features would be written")] = Path(),
    settings: SetOption = None,
) -> None:
    """What this machine has: GPUs, driver, shared memory, disk, Ray's folder, weights, decoders; and what to do."""
    from rhas.extract.config import load_config
    from rhas.pipeline.programs.doctor import print_examination

    config = load_config(preset, overrides(None, detector, encoder, settings))
    code = print_examination(config, out)
    next_step("plan", "--movies", "manifest.csv", options={"--preset": other_preset(preset)})
    raise typer.Exit(code)
