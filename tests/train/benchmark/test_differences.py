"""Differences between systems are taken between runs of the same seed and fold."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from rhas.train.benchmark.bootstrap import Bootstrap
from rhas.train.benchmark.results import BASELINE, COST, DONE, HEADLINE, METRICS, Results, differences
from rhas.train.benchmark.tables import write_tables

NOTHING_KEPT = Bootstrap({})


def runs(values: dict[str, list[float]], folds: int = 0) -> pd.DataFrame:
    """A table as `gather` makes it: a value for each seed, and fold if there are any; None for a run that failed."""
    rows = []
    for system, numbers in values.items():
        for number, value in enumerate(numbers):
            at = {"seed": number // max(1, folds), "fold": number % folds + 1 if folds else None}
            status = DONE if value is not None else "failed: by hand"
            model = BASELINE if system == "constant" else "actdiff"
            rows.append(
                {"system": system, "model": model, "status": status, **at, **dict.fromkeys(METRICS, value)}
            )
    return pd.DataFrame(rows)


def test_what_seeds_have_in_common_does_not_widen_the_interval() -> None:
    """Seeds differ by tens of points, systems by one: unpaired intervals would say nothing."""
    rng = np.random.default_rng(0)
    seeds, apart = rng.normal(50, 20, 5), rng.normal(-1, 0.1, 5)
    table = runs({"full": list(seeds), "part": list(seeds + apart), "constant": [1.0] * 5})
    row = differences(table, NOTHING_KEPT).loc["part"]
    expected = stats.ttest_rel(seeds + apart, seeds).confidence_interval(0.95)
    assert row[HEADLINE, "mean"] == pytest.approx(apart.mean())
    assert row["ACC", "half"] == pytest.approx((expected.high - expected.low) / 2)
    assert row[HEADLINE, "pairs"] == 5 and row["ACC", "half"] < 0.2
    assert (HEADLINE, "half") not in row.index  # a number has one interval


def test_folds_are_pairs_of_their_own_and_failed_runs_are_left_out() -> None:
    table = differences(runs({"full": [1, 2, 3, 4], "part": [2, 4, None, 9]}, folds=2), NOTHING_KEPT)
    assert list(table.index) == ["part"]
    assert table.loc["part", (HEADLINE, "pairs")] == 3
    assert table.loc["part", (HEADLINE, "mean")] == pytest.approx((1 + 2 + 5) / 3)


def test_one_pair_has_no_interval_and_one_system_no_differences(tmp_path: Path) -> None:
    pair = runs({"full": [1.0], "part": [2.0]})
    assert math.isnan(differences(pair, NOTHING_KEPT).loc["part", ("ACC", "half")])
    alone = runs({"full": [1.0, 2.0], "constant": [0.0, 0.0]})
    assert differences(alone, NOTHING_KEPT).empty
    numbers = {(title, kind): [1.0] for title in (*METRICS, *COST) for kind in ("mean", "std")}
    ends = {(HEADLINE, "low"): [0.25], (HEADLINE, "high"): [1.75]}
    table = pd.DataFrame({("runs", ""): [2], **numbers, **ends}, index=["full"])
    write_tables(tmp_path, Results(alone[alone["system"] == "full"], table, differences(alone, NOTHING_KEPT)))
    text = (tmp_path / "table.md").read_text()
    assert "Apart from" not in text and "| 1.0 ± 1.0 | 0.2 to 1.8 |" in text
    two = runs({"full": [1.0, 2.0], "part": [4.0, 5.0]})
    both = pd.concat([table, table.set_axis(["part"])])
    write_tables(tmp_path, Results(two, both, differences(two, NOTHING_KEPT)))
    text = (tmp_path / "table.md").read_text()
    assert "## Apart from full" in text and "| part | 2 | +3.0 ± 0.0 |" in text
    assert pd.read_csv(tmp_path / "differences.csv").loc[0, f"{HEADLINE} mean"] == 3
