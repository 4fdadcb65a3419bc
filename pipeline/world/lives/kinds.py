"""The kinds of worlds by name, and what each makes of ordinary lives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from rhas.pipeline.world.lives import long_tail, memory
from rhas.pipeline.world.lives.layers import Lives
from rhas.pipeline.world.lives.ordinary import ACTIONS

Change = Callable[[np.random.Generator, Lives, np.ndarray, np.ndarray], Lives]


@dataclass(frozen=True)
class Kind:
    """A vocabulary, postures first, and lives that are described by it.

    `change` gets ordinary lives, who is in the picture [T, P], and whose arms nobody hides either [T, P]; without it
    lives stay ordinary. `alike` has the actions that no single picture tells apart, each set of them in a tuple.
    """

    actions: tuple[str, ...]
    change: Change | None = None
    alike: tuple[tuple[str, ...], ...] = ()

    def same_picture(self) -> dict[str, tuple[str, ...]]:
        """All actions that look as this one does; most look like no other."""
        own = {action: (action,) for action in self.actions}
        return own | {action: group for group in self.alike for action in group}


KINDS = {
    "ordinary": Kind(ACTIONS),
    "memory": Kind(memory.ACTIONS, memory.remember, memory.ALIKE),
    "long-tail": Kind(long_tail.ACTIONS, long_tail.vary),
}
