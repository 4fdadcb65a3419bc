"""Bootstrap intervals against normal theory, scipy's bootstrap, and the share of simulated data that they cover."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy import stats

from rhas.train.benchmark.bootstrap import At, Bootstrap

Ints = NDArray[np.int64]


def persons(hits_MC: Ints, true_MC: Ints, predicted_MC: Ints, movies: Sequence[str] = ()) -> pd.DataFrame:
    """One person in each movie, or each in the movie that is named."""
    names = np.array(movies or [f"m{i:04}" for i in range(len(hits_MC))])
    classes = hits_MC.shape[1]
    return pd.DataFrame({
        "movie": names.repeat(classes), "movie_id": names.repeat(classes),
        "person_id": np.arange(len(hits_MC)).repeat(classes).astype(str),
        "action": np.tile([f"class {c}" for c in range(classes)], len(hits_MC)),
        "true": true_MC.ravel(), "predicted": predicted_MC.ravel(), "hits": hits_MC.ravel(),
    })  # fmt: skip


def found(hits_MC: NDArray[np.bool_]) -> pd.DataFrame:
    """One true and one predicted segment of each class in each movie, so that macro F1 is the mean of the hits."""
    one_MC = np.ones(hits_MC.shape, int)
    return persons(hits_MC.astype(int), one_MC, one_MC)


def test_of_equal_persons_it_is_the_interval_of_a_mean() -> None:
    hits_MC = np.random.default_rng(7).random((500, 4)) < 0.6
    low, high = Bootstrap({"a": {At(0, 0): found(hits_MC)}}).interval("a")
    mean_M = 100 * hits_MC.mean(1)
    error = mean_M.std() / math.sqrt(500)
    assert [low, high] == pytest.approx(stats.norm.interval(0.95, mean_M.mean(), error), abs=0.15 * error)


def test_persons_of_a_movie_come_and_go_together() -> None:
    """Four persons alike in each movie are worth one, so the interval is that of a quarter of them."""
    hits_MC = np.random.default_rng(1).random((400, 4)) < 0.5
    names = [f"m{i:04}" for i in range(400)] * 4
    one_MC = np.ones((1600, 4), int)
    four = persons(np.tile(hits_MC, (4, 1)).astype(int), one_MC, one_MC, names)
    both = Bootstrap({"a": {At(0, 0): four}, "b": {At(0, 0): found(hits_MC)}})
    assert both.interval("a") == pytest.approx(both.interval("b"))


def test_of_unequal_classes_it_is_scipys() -> None:
    rng = np.random.default_rng(2)
    true_MC, more_MC = rng.poisson([3.0, 0.2], (80, 2)), rng.poisson(0.7, (80, 2))
    hits_MC = rng.binomial(true_MC, 0.7)
    low, high = Bootstrap({"a": {At(0, 0): persons(hits_MC, true_MC, hits_MC + more_MC)}}).interval("a")

    def macro_f1(movie: Ints, axis: int = -1) -> NDArray[np.float64]:
        def sums(counts_MC: Ints) -> Ints:
            return counts_MC[movie].sum(axis=movie.ndim - 1)

        true, f1 = sums(true_MC), 200 * sums(hits_MC) / np.maximum(sums(true_MC + hits_MC + more_MC), 1)
        return (f1 * (true > 0)).sum(-1) / (true > 0).sum(-1)

    theirs = stats.bootstrap(
        (np.arange(80),), macro_f1, n_resamples=5000, method="percentile", vectorized=True,
        random_state=np.random.default_rng(3),
    )  # fmt: skip
    assert [low, high] == pytest.approx(list(theirs.confidence_interval), abs=0.2 * theirs.standard_error)


def test_a_movie_that_several_seeds_test_on_is_one_movie() -> None:
    """Ten seeds with the same test movies and results say no more than one; on other movies each, they say more."""
    hits_MC = np.random.default_rng(4).random((300, 3)) < 0.5
    same, one = found(hits_MC), Bootstrap({"a": {At(0, 0): found(hits_MC)}}).interval("a")
    ten = Bootstrap({"a": {At(seed, 0): same for seed in range(10)}}).interval("a")
    assert ten[1] - ten[0] == pytest.approx(one[1] - one[0], rel=0.1)
    folds = {At(0, fold): same.assign(movie=same["movie"] + f"-{fold}") for fold in range(10)}
    apart = Bootstrap({"a": folds}).interval("a")
    assert apart[1] - apart[0] == pytest.approx((one[1] - one[0]) / math.sqrt(10), rel=0.1)


def test_systems_are_compared_on_the_same_draws() -> None:
    """A system that finds one segment more in every movie is so much better in every resample."""
    rng = np.random.default_rng(5)
    true_MC = np.full((50, 2), 4)
    hits_MC = rng.binomial(3, 0.5, (50, 2))
    one, other = persons(hits_MC, true_MC, true_MC), persons(hits_MC + 1, true_MC, true_MC)
    bootstrap = Bootstrap({"a": {At(0, 0): one, At(1, 0): one}, "b": {At(1, 0): other, At(2, 0): other}})
    assert bootstrap.apart("b", "a") == pytest.approx((25, 25), abs=1e-3)
    assert np.isnan(bootstrap.apart("b", "c")).all() and np.isnan(bootstrap.interval("c")).all()
    alone = {At(0, 0): one.assign(movie="m")}
    assert np.isnan(Bootstrap({"a": alone}).interval("a")).all()


def test_simulated_data_is_covered_nineteen_times_of_twenty() -> None:
    """Movies that are hard for all, seeds that are lucky, and what is left; two systems, four points apart."""
    rng = np.random.default_rng(6)
    covered = {"a": 0, "b": 0, "apart": 0}
    times, movies, seeds = 80, 40, 3
    widths = []
    for _ in range(times):
        hard_M1 = rng.uniform(-0.3, 0.3, (movies, 1))
        runs: dict[str, dict[At, pd.DataFrame]] = {"a": {}, "b": {}}
        for name, level in (("a", 0.6), ("b", 0.56)):
            for seed in range(seeds):
                luck = rng.uniform(-0.03, 0.03)
                runs[name][At(seed, 0)] = found(rng.random((movies, 3)) < level + luck + hard_M1)
        bootstrap = Bootstrap(runs, resamples=400)
        for name, level, (low, high) in (
            ("a", 60, bootstrap.interval("a")), ("b", 56, bootstrap.interval("b")),
            ("apart", -4, bootstrap.apart("b", "a")),
        ):  # fmt: skip
            covered[name] += low <= level <= high
        widths.append(np.ptp(bootstrap.interval("a")))
    for name, count in covered.items():
        # 95 % less what is chance in so many trials; the bootstrap of rows and columns is known to be cautious.
        assert 0.89 * times <= count <= times, name
    # Variance of the mean: seeds, movies, and what is left of each class of each. Owen: at most thrice as much.
    left = 0.6 * 0.4 - 0.6**2 / 12 - 0.06**2 / 12
    error = 100 * math.sqrt(0.06**2 / 12 / seeds + 0.6**2 / 12 / movies + left / (3 * seeds * movies))
    assert 0.95 < np.mean(widths) / (2 * 1.96 * error) < 1.4
