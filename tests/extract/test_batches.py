import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rhas.extract.batches import Batches


def limited(memory, made):
    """A call that runs out of memory above `memory` items, and notes the ranges it managed."""

    def call(items):
        if items.stop - items.start > memory:
            raise torch.OutOfMemoryError("CUDA out of memory")
        made.append((items.start, items.stop))
        return items.start * 10

    return call


@given(st.integers(0, 100), st.integers(1, 40), st.integers(1, 40))
def test_ranges_cover_everything_once_in_order(count, size, memory):
    made = []
    batches = Batches(size)
    results = list(batches.run(count, limited(memory, made)))
    assert [(items.start, items.stop) for items, _ in results] == made
    assert [result for _, result in results] == [start * 10 for start, _ in made]
    assert [i for start, stop in made for i in range(start, stop)] == list(range(count))
    assert all(stop - start <= min(size, memory) for start, stop in made)


def test_halving_is_for_good():
    made = []
    batches = Batches(16)
    call = limited(5, made)
    list(batches.run(20, call))
    assert made == [(0, 4), (4, 8), (8, 12), (12, 16), (16, 20)] and batches.size == 4
    list(batches.run(6, call))
    assert made[5:] == [(0, 4), (4, 6)]


def test_a_short_batch_that_fails_halves_what_it_tried():
    made = []
    batches = Batches(16)
    list(batches.run(6, limited(3, made)))
    assert made == [(0, 3), (3, 6)] and batches.size == 3


def test_a_single_item_that_does_not_fit_is_an_error():
    batches = Batches(16)
    with pytest.raises(torch.OutOfMemoryError):
        list(batches.run(1, limited(0, [])))
    assert batches.size == 16  # one large item says nothing of the others


def test_other_errors_pass():
    def call(items):
        raise RuntimeError("something else")

    batches = Batches(8)
    with pytest.raises(RuntimeError, match="something else"):
        list(batches.run(8, call))
    assert batches.size == 8


@pytest.mark.parametrize(
    "message",
    [
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
    ],
)
def test_memory_that_libraries_lack_halves_the_batch_too(message):
    def call(items):
        if items.stop - items.start > 2:
            raise RuntimeError(message)
        return items.start

    batches = Batches(8)
    assert [result for _, result in batches.run(8, call)] == [0, 2, 4, 6]
    assert batches.size == 2


def test_memory_is_returned_only_when_the_error_has_let_go_of_it(monkeypatch):
    class Held:
        alive = 0

        def __init__(self):
            Held.alive += 1

        def __del__(self):
            Held.alive -= 1

    def call(items):
        held = Held()
        if items.stop - items.start > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return held is None

    freed = []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: freed.append(Held.alive))
    list(Batches(4).run(4, call))
    assert freed == [0, 0]
