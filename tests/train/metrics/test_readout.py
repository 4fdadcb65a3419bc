"""Read-outs: smoothing as scipy has it, thresholds of classes to the bit, and the best one found, kept and changed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import convolve1d

from rhas.manifests.common.errors import InputError
from rhas.train.config import TrainConfig
from rhas.train.metrics import HeadScores, ReadOut, choose_readout, evaluate
from rhas.train.metrics.choosing import BEST_CLASS, GRID, ReadOutConfig
from rhas.train.metrics.readout import smoothed
from rhas.train.runs.run import Validation, _read_otherwise

Floats = NDArray[np.float32]
OPEN = ReadOutConfig(heads=None, smoothing=None)
BY_CLASS = ReadOutConfig(by_class=True)


def person(heads: dict[str, Floats], labels: NDArray[np.bool_], name: str = "m/p") -> HeadScores:
    return HeadScores(heads, labels, np.ones(len(labels), bool), name)


def segments(frames: int, *spans: tuple[int, int]) -> NDArray[np.bool_]:
    """One class [T, 1] that is on in each [start, stop)."""
    on = np.zeros((frames, 1), dtype=bool)
    for start, stop in spans:
        on[start:stop] = True
    return on


def f1_at(persons: Sequence[HeadScores], readout: ReadOut) -> float:
    return evaluate([p.video(readout) for p in persons], readout.tau).chosen.f1_macro[50]


def planted() -> HeadScores:
    """The encoder is the truth, but for pairs of frames that stand out; what was denoised is the truth's opposite.

    A median of 3 keeps the pairs, one of 7 loses the segments of three frames, and a Gaussian takes the former, which
    are higher, before the latter.
    """
    truth = segments(110, (5, 25), (35, 38), (48, 68), (80, 83), (94, 97))
    encoder = np.where(truth, 0.6, 0.0).astype(np.float32)
    for start, value in ((14, 0), (29, 1), (57, 0), (73, 1), (87, 1), (101, 1)):
        encoder[start : start + 2] = value
    return person({"decoder": np.where(truth, 0.1, 0.9).astype(np.float32), "encoder": encoder}, truth)


def test_smoothing_by_hand() -> None:
    rng = np.random.default_rng(0)
    scores = rng.random((40, 3), dtype=np.float32)
    padded = np.pad(scores, ((2, 2), (0, 0)), mode="edge")
    by_hand = [np.median(padded[t : t + 5], axis=0) for t in range(40)]
    np.testing.assert_array_equal(smoothed(scores, "median", 5), by_hand)
    at = np.arange(-8, 9)  # scipy cuts a Gaussian at 4 standard deviations
    weights = np.exp(-0.5 * (at / 2) ** 2)
    expected = convolve1d(scores.astype(float), weights / weights.sum(), axis=0, mode="nearest")
    found = smoothed(scores, "gaussian", 2)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert found.dtype == np.float32
    assert smoothed(scores, "none", 0) is scores


def test_heads_are_read_by_name_and_as_a_mean() -> None:
    a, b = np.float32([[0.1], [0.4]]), np.float32([[0.3], [0.8]])
    assert ReadOut().scores({"a": a, "b": b}) is a
    assert ReadOut(heads=("b",)).scores({"a": a, "b": b}) is b
    np.testing.assert_allclose(ReadOut(heads=("a", "b")).scores({"a": a, "b": b}), [[0.2], [0.6]], rtol=1e-6)
    mixed = ReadOut(heads=("b", "a"), shares=(0.9, 0.1))
    np.testing.assert_allclose(mixed.scores({"a": a, "b": b}), [[0.28], [0.76]], rtol=1e-6)
    assert mixed.scores({"a": a, "b": b}).dtype == np.float32
    assert mixed.text() == "0.9 b + 0.1 a; not smoothed; τ = 0.5"
    with pytest.raises(InputError, match=r"heads: got 'c': expected heads of the model: a, b"):
        ReadOut(heads=("a", "c")).scores({"a": a, "b": b})


def test_thresholds_of_classes_come_to_half_to_the_bit() -> None:
    """Also for scores that are a threshold, or the next number below or above it."""
    taus = [tau for tau in GRID if tau is not None]
    exact = np.array(taus, dtype=np.float32)
    random = np.random.default_rng(0).random((200, len(taus)), dtype=np.float32)
    near = [np.nextafter(exact, np.float32(0)), exact, np.nextafter(exact, np.float32(1))]
    scores = np.concatenate([near, random, np.zeros_like(near), np.ones_like(near)], dtype=np.float32)
    read = ReadOut(taus=tuple(taus)).scores({"model": scores})
    np.testing.assert_array_equal(read >= 0.5, scores >= exact)
    assert read.dtype == np.float32 and read.min() == 0 and read.max() == 1
    for c in range(len(taus)):  # a class's frames keep their order, so its average precision stays
        assert (np.diff(read[scores[:, c].argsort(kind="stable"), c]) >= 0).all()
    np.testing.assert_allclose(read[3:203], random ** (np.log(0.5) / np.log(taus)), atol=1e-6)


def test_the_planted_read_out_is_found() -> None:
    made = [planted()]
    choice = choose_readout(made, OPEN)
    assert choice.readout == ReadOut(0.5, ("encoder",), "median", 5) and choice.f1_macro_50 == 100
    assert choice.by_head()["encoder"] == 100 and choice.by_head()["decoder"] < 50
    others = [ReadOut(0.5, h) for h in (("decoder",), ("encoder",), ("decoder", "encoder"))]
    others += [ReadOut(0.5, ("encoder",), "median", width) for width in (3, 7)]
    assert max(f1_at(made, replace(other, tau=tau)) for other in others for tau in GRID[::2]) < 100


def test_the_planted_shares_are_found() -> None:
    """Each head misses a segment, and one is louder: in their mean its noise hides what only the other one has."""
    truth = segments(60, (5, 15), (25, 35), (45, 55))
    quiet, loud = (np.where(truth, high, 0).astype(np.float32) for high in (0.4, 0.8))
    quiet[45:55], loud[25:35], loud[17:23] = 0, 0, 0.42
    made = [person({"quiet": quiet, "loud": loud}, truth)]
    choice = choose_readout(made, OPEN.replace(shares=None, smoothing="none"))
    assert choice.readout == ReadOut(choice.readout.tau, ("quiet", "loud"), shares=(0.6, 0.4))
    assert choice.f1_macro_50 == f1_at(made, choice.readout) == 100
    assert choice.by_head()["0.6 quiet + 0.4 loud"] == 100
    without = choose_readout(made, OPEN.replace(smoothing="none"))
    assert without.f1_macro_50 < 100 and not without.readout.shares
    fixed = ReadOutConfig(heads=("loud", "quiet"), shares=(0.3, 0.7))
    assert {one.readout.shares for one in choose_readout(made, fixed).tried} == {(0.3, 0.7)}


def test_nothing_that_was_tried_is_better() -> None:
    rng = np.random.default_rng(1)
    made = []
    for i in range(2):
        truth = np.repeat(rng.random((12, 2)) < 0.4, 6, axis=0)
        heads = {
            name: (rng.random(truth.shape) * noise + truth * 0.5).astype(np.float32).clip(0, 1)
            for name, noise in (("a", 0.8), ("b", 0.6))
        }
        made.append(person(heads, truth, f"m/{i}"))
    choice = choose_readout(made, OPEN.replace(by_class=True))
    assert f1_at(made, choice.readout) == choice.f1_macro_50 == max(f1 for _, f1 in choice.tried)
    for readout, f1 in choice.tried[::8]:
        assert f1_at(made, readout) == f1
        if not readout.taus:
            assert f1 == max(f1_at(made, replace(readout, tau=tau)) for tau in GRID)


def test_of_equals_the_plainer() -> None:
    truth = segments(40, (5, 20), (25, 38))
    sure = np.where(truth, 0.9, 0.1).astype(np.float32)
    choice = choose_readout([person({"a": sure, "b": sure}, truth)] * 3, OPEN.replace(by_class=True))
    assert choice.readout == ReadOut(0.5, ("a",)) and choice.f1_macro_50 == 100
    assert choose_readout([person({"a": 1 - sure, "b": sure}, truth)], OPEN).readout == ReadOut(0.5, ("b",))


def test_what_the_config_fixes_is_not_chosen() -> None:
    fixed = ReadOutConfig(heads=("decoder",), smoothing="gaussian", width=2)
    choice = choose_readout([planted()], fixed)
    assert [replace(one.readout, tau=0.5) for one in choice.tried] == [
        ReadOut(0.5, ("decoder",), "gaussian", 2)
    ]
    assert choose_readout([planted()]).readout == ReadOut(choose_readout([planted()]).readout.tau)
    only_head = choose_readout([planted()], ReadOutConfig(heads=None, smoothing="median", width=3))
    assert {(one.readout.smoothing, one.readout.width) for one in only_head.tried} == {("median", 3)}


def test_softmax_scores_are_smoothed_and_have_no_threshold() -> None:
    on = planted()
    encoder = np.concatenate([on.heads["encoder"], 1 - on.heads["encoder"]], axis=1)
    made = [person({"encoder": encoder}, np.concatenate([on.labels, ~on.labels], axis=1))]
    choice = choose_readout(made, OPEN.replace(by_class=True), BEST_CLASS)
    assert choice.readout == ReadOut(None, ("encoder",), "median", 5) and choice.f1_macro_50 == 100


def two_classes(on: Sequence[float | None], off: Sequence[float], name: str) -> HeadScores:
    """Each class on in its middle third, with one score there and another elsewhere; on None: never."""
    labels, scores = np.zeros((30, 2), dtype=bool), np.zeros((30, 2), dtype=np.float32)
    for c in range(2):
        high = on[c]
        labels[10:20, c] = high is not None
        scores[:, c] = off[c] if high is None else np.where(labels[:, c], high, off[c])
    return person({"model": scores}, labels, name)


def test_classes_that_differ_get_thresholds_of_their_own() -> None:
    made = [two_classes((0.8, 0.3), (0.6, 0.1), f"m/{i}") for i in range(10)]
    assert choose_readout(made).f1_macro_50 == 50
    choice = choose_readout(made, BY_CLASS)
    first, second = choice.readout.taus
    assert 0.6 < first <= 0.8 and 0.1 < second <= 0.3
    assert choice.readout.tau == 0.5 and f1_at(made, choice.readout) == choice.f1_macro_50 == 100


def test_thresholds_that_help_only_those_they_were_fitted_to_are_not_taken() -> None:
    """The second class is in two persons alone, and what is right for one is wrong for the other."""
    made = [two_classes((0.57, None), (0.45, 0.0), f"m/{i}") for i in range(8)]
    made += [
        two_classes((0.57, 0.37), (0.45, 0.27), "m/low"),
        two_classes((0.57, 0.77), (0.45, 0.67), "m/high"),
    ]
    shared = choose_readout(made, BY_CLASS)
    assert shared.readout.taus == () and shared.f1_macro_50 == 50
    assert (
        f1_at(made, ReadOut(0.5, taus=(0.5, 0.35))) == 75
    )  # what fitting to all of them would have promised
    assert choose_readout(made[-1:], BY_CLASS).readout.taus == ()  # one person can't be held out


@pytest.mark.parametrize(
    "wrong",
    [
        {"smoothing": "median"}, {"width": 3.0}, {"smoothing": None, "width": 3.0},
        {"smoothing": "median", "width": 4.0}, {"smoothing": "median", "width": 2.5},
    ],
)  # fmt: skip
def test_widths_that_go_with_no_smoothing_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(InputError, match="width"):
        ReadOutConfig(**wrong)
    ReadOutConfig(smoothing="gaussian", width=1.5)
    ReadOutConfig(smoothing="median", width=1)


@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.2, 0.3, 0.5), (0.9, 0.2)])
def test_shares_are_of_the_heads_that_are_named(shares: tuple[float, ...]) -> None:
    with pytest.raises(
        InputError, match=r"shares: .*: expected a number for each of readout\.heads, 1 in all"
    ):
        ReadOutConfig(heads=None if shares == (0.5, 0.5) else ("a", "b"), shares=shares)


def test_a_read_out_survives_the_record() -> None:
    chosen = ReadOut(0.5, ("holistic_encoder", "decoder"), "gaussian", 1.5, (0.1, 0.55), (0.3, 0.7))
    heads = {"decoder": 12.5, "holistic_encoder": 30.25}
    for readout in (chosen, ReadOut(None)):
        validation = Validation(120, 3, readout, 41.7, 0.25, None, 12.0, heads)
        assert Validation.from_record(json.loads(json.dumps(asdict(validation)))) == validation


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        (ReadOutConfig(smoothing="median", width=5), {"smoothing": "median", "width": 5}),
        (ReadOutConfig(smoothing="none"), {"smoothing": "none", "width": 0}),
        (ReadOutConfig(smoothing=None, heads=("decoder",)), {"heads": ("decoder",)}),
        (ReadOutConfig(smoothing=None, heads=()), {"heads": ()}),
        (
            ReadOutConfig(smoothing=None, heads=("a", "b"), shares=(0.2, 0.8)),
            {"heads": ("a", "b"), "shares": (0.2, 0.8)},
        ),
        (ReadOutConfig(smoothing=None, heads=None), {}),
    ],
)  # fmt: skip
def test_what_was_chosen_is_changed_only_where_asked(
    changed: ReadOutConfig, expected: dict[str, object]
) -> None:
    chosen = ReadOut(0.5, ("encoder",), "gaussian", 4, (0.1, 0.55))
    names = [f"readout.{name}=…" for name in ("heads", "smoothing", "width")]
    config = TrainConfig(readout=changed)
    names = names if "heads" in expected or not expected else names[1:]
    assert _read_otherwise(chosen, config, names) == replace(chosen, **expected)  # type: ignore[arg-type]
    assert _read_otherwise(chosen, config, ["batch=1"]) == chosen
