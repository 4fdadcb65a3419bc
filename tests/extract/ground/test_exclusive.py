"""One person, one sentence: against all assignments that there are."""

from itertools import product

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rhas.extract.ground.boxes import Candidates
from rhas.extract.ground.exclusive import assign


def candidates(*places_and_scores):
    """Boxes of a tenth's width at some places: those at the same place are of the same person, others apart."""
    ordered = sorted(places_and_scores, key=lambda one: -one[1])
    boxes = [[place / 10, 0.0, place / 10 + 0.1, 1.0] for place, _ in ordered]
    scores = [score for _, score in ordered]
    return Candidates(torch.tensor(boxes).reshape(-1, 4), torch.tensor(scores, dtype=torch.float32))


scored = st.tuples(st.integers(0, 3), st.integers(1, 99).map(lambda score: score / 100))
found = st.lists(st.lists(scored, max_size=4, unique_by=lambda one: one[0]), min_size=1, max_size=4)


@settings(max_examples=200, deadline=None)
@given(found, st.sampled_from([0.0, 0.3, 0.6]))
def test_the_sum_over_the_threshold_is_the_highest_that_there_is(drawn, threshold):
    sentences = [candidates(*own) for own in drawn]
    place = [(own.boxes[:, 0] * 10).round().int().tolist() for own in sentences]

    def worth(choice):
        chosen = [(place[i][k], float(sentences[i].scores[k])) for i, k in enumerate(choice) if k is not None]
        if len({at for at, _ in chosen}) < len(chosen) or any(score < threshold for _, score in chosen):
            return -1.0
        return sum(score - threshold for _, score in chosen)

    choices = product(*([None, *range(len(own))] for own in sentences))
    best = max(map(worth, choices))
    given_out = assign(sentences, threshold, 0.5)
    assert worth(given_out) >= 0 and np.isclose(worth(given_out), best, atol=1e-6)


def test_one_person_goes_to_the_sentence_that_means_them():
    man, other = candidates((1, 0.9), (6, 0.5)), candidates((1, 0.75))
    assert assign([man, other], 0.4, 0.5) == [0, None]  # .5 is more than .1 + .35
    assert assign([man, other], 0.0, 0.5) == [1, 0]  # .5 + .75 is more than .9
    assert assign([man, other], 0.4, 1.0) == [0, 0]  # boxes are never of the same person


def test_what_is_taken_is_not_to_be_had():
    both = [candidates((1, 0.9), (3, 0.5))]
    assert assign(both, 0.0, 0.5, [np.array([0.1, 0, 0.2, 1], np.float32)]) == [1]
    assert assign(both, 0.6, 0.5, [np.array([0.1, 0, 0.2, 1], np.float32)]) == [None]


def test_nobody_seen():
    assert assign([], 0.3, 0.5) == []
    assert assign([candidates(), candidates((2, 0.2))], 0.3, 0.5) == [None, None]
