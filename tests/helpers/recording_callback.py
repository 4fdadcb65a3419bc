"""A callback that keeps what training told it."""

from __future__ import annotations

from rhas.train.fitting.loop import Callback, Step
from rhas.train.runs.run import Validation


class Record(Callback):
    def __init__(self) -> None:
        self.begun: tuple[int, int] | None = None
        self.steps: list[Step] = []
        self.validations: list[tuple[Validation, bool]] = []

    def started(self, step: int, steps: int) -> None:
        self.begun = step, steps

    def stepped(self, step: Step) -> None:
        self.steps.append(step)

    def validated(self, validation: Validation, best: bool) -> None:
        self.validations.append((validation, best))
