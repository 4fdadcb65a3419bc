"""The default preset, as it is shipped, learns what actions look like; tests/learning has all presets, for longer."""

from __future__ import annotations

from pathlib import Path

from told_apart import World, blind, learned

from rhas.train.config import DEFAULT_PRESET

EPOCHS = 12  # 48 steps, after which it is at 84 on the test movies (98 on those that validate), ACC 99


def test_the_default_learns_as_it_is_shipped(tmp_path: Path) -> None:
    measured = learned(World(), DEFAULT_PRESET, tmp_path, EPOCHS)
    reached, without = measured["model"]["chosen"]["f1_macro@50"], blind(measured, "f1_macro@50")
    assert reached >= 65 and reached >= without + 50, measured["model"]["chosen"]
