"""Decoding by durations: the best of all paths, found by trying them all; what is learnt, by hand; and where it
helps."""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby, product
from math import inf, log, log1p
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rhas.manifests.common.errors import InputError
from rhas.train.metrics import decoding, evaluate
from rhas.train.metrics.choosing import BEST_CLASS, ReadOutConfig, choose_readout
from rhas.train.metrics.decoding import decoded_classes, decoded_sets
from rhas.train.metrics.durations import ActionPrior
from rhas.train.metrics.readout import HeadScores, ReadOut

SEEDS = st.integers(0, 2**32 - 1)
DATA = Path(__file__).parents[3] / ".." / "shared" / "data"


def lives(
    rng: np.random.Generator, classes: int, one_label: bool
) -> list[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """Labels of a few samples, some of whose frames don't count."""
    out = []
    for _ in range(4):
        if one_label:
            blocks = np.eye(classes, dtype=bool)[rng.integers(0, classes, 6)]
        else:
            blocks = rng.random((6, classes)) < 0.4
        labels = np.repeat(blocks, rng.integers(1, 6), axis=0)
        out.append((labels, rng.random(len(labels)) < 0.9))
    return out


def lasts(prior: ActionPrior, c: int, frames: int, at_an_edge: bool) -> float:
    """The log-probability of a segment's length, or, at an edge of the video, of that much or more."""
    rate = 1 / (prior.means[c] - prior.shortest[c] + 1)
    longer = max(0, frames - prior.shortest[c]) * log1p(-min(rate, 1 - 1e-6))
    if at_an_edge:
        return longer
    return longer + log(min(rate, 1 - 1e-6)) if frames >= prior.shortest[c] else -inf


def pieces(path: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    """(what, first frame, frames) of each run."""
    start = 0
    for what, run in groupby(path):
        frames = len(list(run))
        yield what, start, frames
        start += frames


def odds(score: float) -> float:
    return log(score / (1 - score))


@given(SEEDS)
@settings(max_examples=25)
def test_no_path_of_a_class_is_better_than_the_decoded_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    classes, frames = int(rng.integers(1, 3)), int(rng.integers(1, 9))
    prior = ActionPrior.learnt(lives(rng, classes, one_label=False))
    scores = rng.uniform(0.01, 0.99, (frames, classes)).astype(np.float32)
    own = rng.uniform(0.2, 0.8, classes)

    def worth(path: Sequence[int], c: int, tau: float) -> float:
        total = sum(0.7 * (odds(float(scores[t, c])) - odds(tau)) for t in range(frames) if path[t])
        total += log(prior.begins[c] if path[0] else 1 - prior.begins[c])
        for on, start, length in pieces(path):
            if on:
                total += lasts(prior, c, length, start == 0 or start + length == frames)
                total += log(prior.onsets[c]) if start else 0
            else:
                total += (length - 1) * log(1 - prior.onsets[c])
        return total

    found = decoded_sets(scores, [0.3, 0.5, tuple(own)], prior, 0.7)
    for sets, taus in zip(found, ([0.3] * classes, [0.5] * classes, own), strict=True):
        for c in range(classes):
            best = max(worth(path, c, taus[c]) for path in product((0, 1), repeat=frames))
            assert worth(sets[:, c].astype(int).tolist(), c, taus[c]) == pytest.approx(best, abs=1e-9)


@given(SEEDS)
@settings(max_examples=25)
def test_no_path_of_classes_is_better_than_the_decoded_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    classes, frames = int(rng.integers(2, 4)), int(rng.integers(1, 8))
    prior = ActionPrior.learnt(lives(rng, classes, one_label=True))
    scores = rng.dirichlet(np.ones(classes), frames).astype(np.float32)
    first, follows = prior.following()

    def worth(path: Sequence[int]) -> float:
        total, before = sum(0.7 * log(max(float(scores[t, path[t]]), 1e-4)) for t in range(frames)), -1
        for c, start, length in pieces(path):
            total += lasts(prior, c, length, start == 0 or start + length == frames)
            total += follows[before, c] if start else first[c]
            before = c
        return total

    best = max(worth(path) for path in product(range(classes), repeat=frames))
    assert worth(decoded_classes(scores, prior, 0.7).tolist()) == pytest.approx(best, abs=1e-4)


def test_thresholds_decoded_in_parts_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    prior = ActionPrior.learnt(lives(rng, 3, one_label=False))
    scores = rng.random((50, 3), dtype=np.float32)
    whole = decoded_sets(scores, [0.2, 0.5, 0.7], prior, 0.3)
    assert whole.any() and not whole.all()
    monkeypatch.setattr(decoding, "ROOM", 1)
    np.testing.assert_array_equal(decoded_sets(scores, [0.2, 0.5, 0.7], prior, 0.3), whole)
    assert decoded_sets(scores[:0], [0.5], prior, 0.3).shape == (1, 0, 3)
    assert decoded_classes(scores[:0], prior, 0.3).shape == (0,)


def test_sure_scores_of_lives_like_those_in_training_are_left_as_they_are() -> None:
    rng = np.random.default_rng(1)
    blocks = np.repeat(rng.random((30, 4)) < 0.3, 10, axis=0)
    prior = ActionPrior.learnt([(blocks, np.ones(300, bool))])
    sure = np.where(blocks, 0.99, 0.01).astype(np.float32)
    np.testing.assert_array_equal(decoded_sets(sure, [0.5], prior, 1.0)[0], blocks)


def test_what_is_learnt_by_hand() -> None:
    """Two classes; of six segments of the first, two are cut off, and one frame doesn't count."""
    labels, valid = np.zeros((40, 2), bool), np.ones(40, bool)
    for start, stop in ((0, 4), (10, 14), (20, 24), (30, 40)):
        labels[start:stop, 0] = True
    labels[22, 1], valid[35] = True, False
    prior = ActionPrior.learnt([(labels, valid), (np.zeros((5, 2), bool), np.zeros(5, bool))])
    lengths = [4, 4, 4, 5, 4]
    every = [*lengths, 1]
    mean, log_mean = np.mean(every), np.log(every).mean()
    assert prior.means == pytest.approx([(sum(lengths) + 5 * mean) / 10, (1 + 5 * mean) / 6])
    # Each is drawn to all six as much as five segments weigh.
    logs = [(np.log(lengths).sum() + 5 * log_mean) / 10, (0 + 5 * log_mean) / 6]
    squares = [((np.log(lengths) - logs[0]) ** 2).sum(), logs[1] ** 2]
    spreads = [
        np.sqrt((own + 5 * sum(squares) / 6) / (n + 5)) for own, n in zip(squares, (5, 1), strict=True)
    ]
    least = [
        max(1, int(np.exp(log - 1.2815515655446004 * spread)))
        for log, spread in zip(logs, spreads, strict=True)
    ]
    assert list(prior.shortest) == least
    # Frames that are off and followed by one that counts: 6 + 6 + 6 in class 0, with three starts; 38 − 2 in class 1.
    could = [18, sum(not labels[t, 1] and valid[t] and valid[t + 1] for t in range(39))]
    pooled = (4 + 0.5) / (sum(could) + 1)
    assert prior.onsets == pytest.approx([(3 + 5 * pooled) / 23, (1 + 5 * pooled) / (could[1] + 5)])
    assert prior.begins == (1.5 / 2, 0.5 / 2)
    with pytest.raises(InputError, match="at least one labelled frame"):
        ActionPrior.learnt([(np.zeros((5, 2), bool), np.ones(5, bool))])


def test_what_follows_what() -> None:
    """0 1 0 1 2: nothing follows itself, and what was never seen is less probable than what was."""
    labels = np.eye(3, dtype=bool)[np.repeat([0, 1, 0, 1, 2], 3)]
    prior = ActionPrior.learnt([(labels, np.ones(15, bool))])
    assert prior.follows == ((0, 1, 2), (1, 0, 1), (1, 2, 1))
    first, follows = prior.following()
    rates = np.exp(follows)
    np.testing.assert_allclose(rates.sum(1), 1)
    np.testing.assert_allclose(np.diag(rates), 0, atol=1e-9)
    assert rates[0, 1] > rates[0, 2] > 0 and rates[1, 0] > 0.3 and rates[1, 2] > 0.3
    np.testing.assert_allclose(np.exp(first), np.array([1.5, 0.5, 0.5]) / 2.5)


def flickering(
    truth: NDArray[np.bool_],
    rng: np.random.Generator,
    wrong: Callable[[NDArray[np.float64]], NDArray[np.float64]],
) -> NDArray[np.float32]:
    """Scores of a frame classifier that is wrong for some frames at a time."""
    noise = rng.normal(size=truth.shape)
    for t in range(1, len(noise)):
        noise[t] = 0.5 * noise[t - 1] + 0.75**0.5 * noise[t]
    return wrong(4 * truth + 2.5 * noise).astype(np.float32)


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    raised = np.exp(logits - logits.max(1, keepdims=True))
    return raised / raised.sum(1, keepdims=True)


@pytest.mark.parametrize(("name", "step"), [("50salads", 30), ("breakfast", 15)])
def test_real_labels_behind_noise_are_found_better_than_by_a_median(name: str, step: int) -> None:
    """At a frame a second: prior from some videos, evidence and width chosen on others, measured on others still."""
    archive = DATA / f"{name}.tar.gz"
    if not archive.is_file():
        pytest.skip(f"{archive} is not here")
    with tarfile.open(archive) as tar:
        members = sorted((m for m in tar if m.isfile() and "groundTruth" in m.name), key=lambda m: m.name)
        # Breakfast's neighbours are the same actor and meal: every eighth is enough.
        files = [tar.extractfile(m) for m in (members if len(members) < 100 else members[::8])]
        texts = [file.read().decode().split()[::step] for file in files if file is not None]
    actions = sorted({action for text in texts for action in text})
    truths = [np.array([[a == action for a in actions] for action in text]) for text in texts]
    rng = np.random.default_rng(0)
    order = rng.permutation(len(truths))
    sides = [
        order[: len(order) // 2],
        order[len(order) // 2 : 3 * len(order) // 4],
        order[3 * len(order) // 4 :],
    ]
    prior = ActionPrior.learnt([(truths[i], np.ones(len(truths[i]), bool)) for i in sides[0]])
    val, test = (
        [
            HeadScores(
                {"model": flickering(truths[i], rng, softmax)},
                truths[i],
                np.ones(len(truths[i]), bool),
                str(i),
            )
            for i in side
        ]
        for side in sides[1:]
    )
    open_to = ReadOutConfig(smoothing=None, decoding=None)
    decoded = choose_readout(val, open_to, BEST_CLASS, prior).readout
    median = choose_readout(val, open_to.replace(decoding="none"), BEST_CLASS).readout
    assert decoded.prior == prior and median.prior is None

    def reached(readout: ReadOut) -> float:
        return evaluate([person.video(readout) for person in test], None).chosen.f1_macro[50]

    assert reached(decoded) > reached(median) + 5
