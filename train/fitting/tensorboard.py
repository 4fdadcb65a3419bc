"""TensorBoard logs of a run. In: what the loop tells its callbacks. Out: event files below a folder."""

from __future__ import annotations

from pathlib import Path

from rhas.manifests.common.errors import InputError, Problem
from rhas.train.fitting.loop import Callback, Step
from rhas.train.runs.run import Validation


class TensorBoardLog(Callback):
    """Losses and gradient norm of every step, loss, metrics and τ of every validation."""

    def __init__(self, folder: Path):
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            missing = "the package tensorboard, to log to (pip install tensorboard)"
            raise InputError(Problem(folder, f"{missing}: {error}")) from error
        self._folder, self._writer_type = folder, SummaryWriter

    def started(self, step: int, steps: int) -> None:
        # What a killed run had logged behind its last checkpoint is replaced.
        self._writer = self._writer_type(str(self._folder), purge_step=step + 1)

    def stepped(self, step: Step) -> None:
        for name, value in step.losses.items():
            self._writer.add_scalar(f"loss/{name}", value, step.step)
        self._writer.add_scalar("gradient_norm", step.gradient_norm, step.step)
        if step.step == step.steps:
            self._writer.flush()

    def validated(self, validation: Validation, best: bool) -> None:
        for name in ("f1_macro_50", "tau", "loss", "frame_mAP", "edit"):
            if (value := getattr(validation, name)) is not None:
                self._writer.add_scalar(f"validation/{name}", value, validation.step)
        self._writer.flush()
