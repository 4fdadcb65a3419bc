"""Decoding as a read-out: chosen where it wins, measured as it is read, kept with the run, and left out when asked."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import numpy as np
import pytest

from rhas.manifests.common.errors import InputError
from rhas.train.config import TrainConfig
from rhas.train.metrics import HeadScores, ReadOut, choose_readout, evaluate
from rhas.train.metrics.choosing import BEST_CLASS, ReadOutConfig
from rhas.train.metrics.durations import ActionPrior
from rhas.train.metrics.readout import brought_across, made_best
from rhas.train.metrics.video import label_sets
from rhas.train.runs.run import Validation, _read_otherwise

OPEN = ReadOutConfig(decoding=None)


def people(count: int, seed: int, noise: float) -> list[HeadScores]:
    """Two classes, one of which lasts for 4 frames and one for 20, behind noise."""
    rng, made = np.random.default_rng(seed), []
    for i in range(count):
        truth = np.zeros((120, 2), bool)
        for start in range(int(rng.integers(5, 15)), 110, 25):
            truth[start : start + 4, 0] = True
        truth[30:50, 1] = truth[80:100, 1] = True
        scores = np.where(truth, 0.7, 0.3) + noise * rng.normal(size=truth.shape)
        made.append(
            HeadScores(
                {"model": scores.clip(0, 1).astype(np.float32)}, truth, rng.random(120) < 0.98, f"m/{i}"
            )
        )
    return made


def prior_of(persons: list[HeadScores]) -> ActionPrior:
    return ActionPrior.learnt((person.labels, person.valid) for person in persons)


def f1_of(persons: list[HeadScores], readout: ReadOut) -> float:
    return evaluate([p.video(readout) for p in persons], readout.tau).chosen.f1_macro[50]


@pytest.mark.parametrize("by_class", [False, True])
def test_what_is_measured_is_what_is_read(by_class: bool) -> None:
    made, prior = people(6, 1, 0.25), prior_of(people(8, 0, 0.0))
    config = OPEN.replace(by_class=by_class, smoothing=None)
    choice = choose_readout(made, config, prior=prior)
    assert choice.readout.prior == prior and "decoded by durations" in choice.readout.text()
    assert f1_of(made, choice.readout) == choice.f1_macro_50 == max(f1 for _, f1 in choice.tried)
    decoded = [(readout, f1) for readout, f1 in choice.tried if readout.prior]
    assert len({(r.smoothing, r.evidence) for r, _ in decoded}) in (4, 8)
    for readout, f1 in decoded:
        assert f1_of(made, readout) == f1
    without = choose_readout(made, config.replace(decoding="none"))
    assert without.readout.prior is None and without.f1_macro_50 < choice.f1_macro_50


def test_thresholds_of_classes_are_decoded_each_by_its_own() -> None:
    made, prior = people(1, 2, 0.25)[0], prior_of(people(8, 0, 0.0))
    own = ReadOut(0.5, taus=(0.35, 0.6), prior=prior, evidence=0.3)
    read = label_sets(own.scores(made.heads), 0.5)
    for c, tau in enumerate(own.taus):
        alone = ReadOut(tau, prior=prior, evidence=0.3)
        np.testing.assert_array_equal(read[:, c], label_sets(alone.scores(made.heads), tau)[:, c])


def test_it_is_not_taken_where_it_does_not_win() -> None:
    sure = people(3, 0, 0.0)
    assert choose_readout(sure, OPEN, prior=prior_of(sure)).readout.prior is None
    fixed = choose_readout(sure, OPEN.replace(decoding="durations"), prior=prior_of(sure))
    assert fixed.readout.prior is not None and fixed.f1_macro_50 == 100


def test_one_label_a_frame() -> None:
    rng = np.random.default_rng(0)
    truth = np.eye(3, dtype=bool)[np.repeat([0, 1, 2, 0, 2, 1], 12)]
    scores = (truth + 0.6 * rng.random(truth.shape)).astype(np.float32)
    scores[rng.random(72) < 0.15] = (0.4, 0.35, 0.25)
    made = [HeadScores({"model": scores / scores.sum(1, keepdims=True)}, truth, np.ones(72, bool), "m/p")]
    choice = choose_readout(made, OPEN, BEST_CLASS, prior_of(made))
    assert choice.readout.tau is None and choice.readout.prior is not None
    assert f1_of(made, choice.readout) == choice.f1_macro_50 == 100


def test_scores_are_moved_no_further_than_they_must() -> None:
    scores = np.float32([[0.2, 0.5], [0.7, 0.49]])
    on = np.array([[True, False], [True, True]])
    moved = brought_across(scores, 0.5, on)
    np.testing.assert_array_equal(label_sets(moved, 0.5), on)
    assert moved[1, 0] == scores[1, 0] and moved[0, 0] == 0.5 and 0.4999 < moved[0, 1] < 0.5
    rows = np.float32([[0.5, 0.3, 0.2], [0.4, 0.4, 0.2], [1, 0, 0]])
    for best in np.ndindex(3, 3, 3):
        made = made_best(rows, np.array(best))
        np.testing.assert_array_equal(made.argmax(1), best)
        np.testing.assert_allclose(np.sort(made, 1), np.sort(rows, 1), atol=1e-6)


def test_a_run_keeps_it_and_may_be_read_without() -> None:
    chosen = ReadOut(None, ("a",), prior=prior_of(people(2, 0, 0.0)), evidence=0.3)
    validation = Validation(1, 1, chosen, 50.0)
    assert Validation.from_record(json.loads(json.dumps(asdict(validation)))) == validation
    old = asdict(Validation(1, 1, ReadOut(0.3), 50.0))
    del (
        old["readout"]["prior"],
        old["readout"]["evidence"],
    )  # of a run that was made before there was decoding
    assert Validation.from_record(json.loads(json.dumps(old))).readout == ReadOut(0.3)
    names = ["readout.decoding=none"]
    without = _read_otherwise(chosen, TrainConfig(readout=ReadOutConfig()), names)
    assert without == replace(chosen, prior=None, evidence=0.0)
    wanted = TrainConfig(readout=ReadOutConfig(decoding="durations"))
    assert _read_otherwise(chosen, wanted, ["readout.decoding=durations"]) == chosen
    with pytest.raises(InputError, match=r"readout\.decoding"):
        _read_otherwise(without, wanted, ["readout.decoding=durations"])
