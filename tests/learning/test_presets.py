"""Every shipped preset, as it is shipped, learns from features by which actions can be told apart.

Sizes, losses, optimiser and read-out are the preset's; only how long it trains is set. What is asked for is macro
F1@50 on movies that were never seen: a level, and a margin above the best baseline that looks at no feature, even one
that knows the truth. Presets of a data set get one label in every frame, and a fold. Their sample rates and filters are
in frames, so their movies have as many frames a second as makes segments of some seconds longer than these.

`pytest -rP tests/learning/test_presets.py` shows what each reached, and in how many seconds of a core.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from told_apart import World, blind, learned

from rhas.train.config import preset_names

SEVERAL = World()
# For 12 layers of 256 channels: fewer and shorter, so that a core takes enough steps.
FEW = World(movies=12, seconds=(10, 14))
TOKENS = World(tokens=4)
GTEA = World(movies=9, layers=(5,), tested=3)
BREAKFAST = World(movies=9, layers=(5,), tested=3, fps=15, seconds=(8, 12))  # a median of 15 frames
# One frame of 8 is seen, of which a median takes 30.
SALADS = World(movies=8, layers=(5,), tested=2, fps=30, seconds=(40, 60), segment_s=(9, 15))

MARGIN = 20.0


@dataclass(frozen=True)
class Case:
    world: World
    epochs: int
    level: float = 50.0  # macro F1@50, percent


# Measured so far: `hopadiff`, 84 after 12 epochs; `actdiff-gtea`: 11 after 30, where its encoder knows the actions
# and its decoder not yet. The epochs of the others are what should fit into a minute of a core each, and their level is
# what is asked for, not what they were seen to reach.
CASES = {
    "hopadiff": Case(SEVERAL, 30, level=65),
    "small": Case(SEVERAL, 30),
    "ltcontext": Case(SEVERAL, 20),
    "mstcn": Case(SEVERAL, 20, level=60),
    "asformer": Case(SEVERAL, 20),
    "asquery": Case(FEW, 30, level=70),
    "fact": Case(FEW, 30),
    "refatomnet": Case(TOKENS, 30, level=70),
    "futr": Case(SEVERAL, 30),
    "paper": Case(FEW, 30),
    "actfusion": Case(FEW, 30),
    "actdiff": Case(FEW, 30, level=65),
    "actdiff-gtea": Case(GTEA, 50),
    "actfusion-gtea": Case(GTEA, 50),
    "actdiff-breakfast": Case(BREAKFAST, 40),
    "actfusion-breakfast": Case(BREAKFAST, 40),
    "mstcn-gtea": Case(GTEA, 50, level=75),
    "asformer-gtea": Case(GTEA, 50, level=55),
    "fact-gtea": Case(GTEA, 50),
    "mstcn-breakfast": Case(BREAKFAST, 40, level=75),
    "asformer-breakfast": Case(BREAKFAST, 160, level=75),
    "asquery-breakfast": Case(BREAKFAST, 40),
    "fact-breakfast": Case(BREAKFAST, 40),
    "futr-breakfast": Case(BREAKFAST, 40),
    "futr-50salads": Case(SALADS, 40),
    "mstcn-50salads": Case(SALADS, 40, level=75),
    "asformer-50salads": Case(SALADS, 40, level=80),
    "actdiff-50salads": Case(SALADS, 40),
    "actfusion-50salads": Case(SALADS, 40),
}


def test_no_preset_is_left_out() -> None:
    assert sorted(CASES) == sorted(preset_names())


@pytest.mark.parametrize("preset", CASES)
def test_a_preset_learns_as_it_is_shipped(preset: str, tmp_path: Path) -> None:
    case, began_s = CASES[preset], time.process_time()
    measured = learned(case.world, preset, tmp_path, case.epochs)
    reached, without = measured["model"]["chosen"]["f1_macro@50"], blind(measured, "f1_macro@50")
    print(
        f"{preset}: F1@50 {reached:.1f}, without features {without:.1f}; {time.process_time() - began_s:.0f} s"
    )
    assert reached >= case.level and reached >= without + MARGIN, measured["model"]["chosen"]
