"""Which samples when: every epoch complete, the same for a seed, over ranks and restarts."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rhas.manifests.common.errors import InputError
from rhas.train.data.sampler import BatchSampler

SAMPLES, BATCH, SEED = st.integers(1, 60), st.integers(1, 7), st.integers(0, 2**32)


@settings(max_examples=50, deadline=None)
@given(SAMPLES, BATCH, SEED, st.booleans())
def test_an_epoch_has_every_sample_once(samples: int, batch: int, seed: int, shuffle: bool) -> None:
    batches = list(BatchSampler(samples, batch, seed, shuffle))
    assert sorted(i for own in batches for i in own) == list(range(samples))
    assert all(len(own) == batch for own in batches[:-1])
    assert batches == list(BatchSampler(samples, batch, seed, shuffle))
    if not shuffle:
        assert [i for own in batches for i in own] == list(range(samples))


@settings(max_examples=50, deadline=None)
@given(SAMPLES, BATCH, SEED, st.integers(1, 4))
def test_ranks_see_together_what_one_would(samples: int, batch: int, seed: int, ranks: int) -> None:
    one = list(BatchSampler(samples, batch * ranks, seed))
    several = [BatchSampler(samples, batch, seed, True, rank, ranks) for rank in range(ranks)]
    own = [list(sampler) for sampler in several]
    assert [len(sampler) for sampler in several] == [len(batches) for batches in own]
    for number, whole in enumerate(one):
        parts = [batches[number] for batches in own if number < len(batches)]
        assert sorted(i for part in parts for i in part) == sorted(whole)
        assert len(parts) == min(ranks, len(whole))
        assert max(map(len, parts)) - min(map(len, parts)) <= 1
        assert max(map(len, parts)) <= batch


@settings(max_examples=50, deadline=None)
@given(SAMPLES, BATCH, SEED, st.integers(0, 5), st.data())
def test_taken_up_again_the_rest_of_the_epoch_comes(
    samples: int, batch: int, seed: int, epoch: int, data: st.DataObject
) -> None:
    sampler = BatchSampler(samples, batch, seed)
    sampler.start(epoch)
    whole = list(sampler)
    done = data.draw(st.integers(0, len(whole)))
    state = sampler.state(done)
    resumed = BatchSampler(samples, batch, seed)
    resumed.resume(state)
    assert len(resumed) == len(whole) - done
    assert list(resumed) == whole[done:]
    following = [BatchSampler(samples, batch, seed), resumed]
    for one in following:
        one.start(epoch + 1)
    assert list(following[0]) == list(following[1])


def test_a_state_fits_any_ranks_with_batches_of_the_same_size() -> None:
    state = BatchSampler(20, 4, seed=3).state(2)
    ranks = [BatchSampler(20, 2, 3, rank=rank, ranks=2) for rank in (0, 1)]
    for rank in ranks:
        rank.resume(state)
    expected = list(BatchSampler(20, 4, seed=3))[2:]
    got = [sorted(a + b) for a, b in zip(*ranks, strict=True)]
    assert got == [sorted(batch) for batch in expected]


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    orders = set()
    for seed in range(4):
        sampler = BatchSampler(30, 30, seed)
        for epoch in range(4):
            sampler.start(epoch)
            orders.add(tuple(next(iter(sampler))))
    assert len(orders) == 16


def test_a_state_of_another_order_is_refused() -> None:
    state = BatchSampler(20, 4, seed=3).state(2)
    with pytest.raises(InputError) as caught:
        BatchSampler(21, 5, seed=3).resume(state)
    assert str(caught.value).splitlines() == [
        "batch sampler, column samples: got 21: expected 20, as in the saved state",
        "batch sampler, column batch_of_all_ranks: got 5: expected 4, as in the saved state",
    ]


@pytest.mark.parametrize(
    ("setting", "column"),
    [
        ({"samples": 0}, "samples"),
        ({"batch": 0}, "batch"),
        ({"rank": 2, "ranks": 2}, "rank"),
        ({"seed": -1}, "seed"),
    ],
)
def test_impossible_settings_are_named(setting: dict[str, int], column: str) -> None:
    with pytest.raises(InputError) as caught:
        BatchSampler(**{"samples": 10, "batch": 2, "seed": 0, **setting})  # type: ignore[arg-type]
    assert [problem.column for problem in caught.value.problems] == [column]


def test_a_position_behind_the_epoch_is_refused() -> None:
    sampler = BatchSampler(10, 4, seed=0)
    sampler.start(0, 3)
    assert list(sampler) == []
    with pytest.raises(InputError, match="0 to 3 batches"):
        sampler.start(0, 4)
