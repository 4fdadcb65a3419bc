"""The pretended GPU tells what a GPU would: what waits, what is refused, and numbers that are right."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from made_batches import BATCH
from operations import count_operations
from pretend_gpu import PretendGpu
from torch import Tensor, nn
from torch.nn import functional as F

WAITS: dict[str, Callable[[Tensor], object]] = {
    "item": lambda x: x.sum().item(),
    "float": lambda x: float(x.sum()),
    "if": lambda x: 1 if x.sum() > 0 else 0,
    "all": lambda x: bool((x > 0).all()),
    "tolist": lambda x: x.tolist(),
    "nonzero": lambda x: x.nonzero(),
    "an index by a mask": lambda x: x[x > 0],
    "equal": lambda x: torch.equal(x, x + 1),
    "to the CPU": lambda x: x.cpu(),
    "a list as index": lambda x: x[[0, 2]],
    "a tensor from numbers": lambda x: torch.tensor([1.0, 2.0], device=x.device),
    "a blocking copy": lambda x: torch.ones(3).to(x.device),
    "repeats": lambda x: x.repeat_interleave((x[:, 0] > 0).long(), dim=0),
}
PASSES: dict[str, Callable[[Tensor], object]] = {
    "shapes": lambda x: x[:, 1:, None].reshape(-1)[:5],
    "factories": lambda x: torch.arange(4, device=x.device) < torch.full((3, 1), 2, device=x.device),
    "where": lambda x: torch.where(x > 0, x, 0.0),
    "an index on the device": lambda x: x[torch.arange(2, device=x.device)],
    "a copy that isn't waited for": lambda x: torch.ones(3).to(x.device, non_blocking=True),
    "a number from the CPU": lambda x: x * torch.tensor(2.0),
}


@pytest.mark.parametrize("kind", ["meta", "cuda"])
@pytest.mark.parametrize("what", WAITS)
def test_what_waits_is_counted(what: str, kind: str) -> None:
    gpu = _after(WAITS[what], kind)
    assert gpu.counts.synchronisations == 1, gpu.counts.places()
    assert "test_pretend_gpu.py" in gpu.counts.places()


@pytest.mark.parametrize("kind", ["meta", "cuda"])
@pytest.mark.parametrize("what", PASSES)
def test_what_doesn_t_wait_isn_t(what: str, kind: str) -> None:
    gpu = _after(PASSES[what], kind)
    assert gpu.counts.synchronisations == 0, gpu.counts.places()


@pytest.mark.parametrize("kind", ["meta", "cuda"])
def test_sides_don_t_mix(kind: str) -> None:
    for mixed in (
        lambda x: x + torch.ones(4),
        lambda x: F.linear(x, torch.ones(2, 4)),
        lambda x: torch.cat([x, torch.ones(1, 4)]),
    ):
        with pytest.raises(RuntimeError, match="expected all tensors on one device"):
            _after(mixed, kind)


def test_values_and_gradients_are_the_cpus() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv1d(4, 8, 3, padding=1), nn.ReLU(), nn.Conv1d(8, 2, 1))
    x = torch.randn(3, 4, 7)
    model(x).square().mean().backward()
    expected = [p.grad.clone() for p in model.parameters()]
    with PretendGpu() as gpu:
        model.zero_grad()
        model.to(gpu.device)
        loss = model(x.to(gpu.device)).square().mean()
        loss.backward()
        found = [p.grad.cpu() for p in model.parameters()]
    torch.testing.assert_close(found, expected)
    assert loss.device == gpu.device


@pytest.mark.parametrize("kind", ["meta", "cuda"])
def test_indices_are_torchs(kind: str) -> None:
    x = torch.arange(60.0).reshape(3, 4, 5)
    indices = [0, (slice(1, None), 2), (..., 1), (None, 0), (slice(None), [0, 2]), ([0, 1], slice(0, 9, 2)),
               (slice(None), slice(3, 1)), (-1, ..., None), (0, torch.tensor([True, False, True, False]))]  # fmt: skip
    with PretendGpu(kind) as gpu:
        here = x.to(gpu.device)
        for index in indices:
            torch.testing.assert_close(here[index].cpu(), x[index], msg=str(index))
        here[:, 1:3, 0], here[0, 0] = 7.0, torch.arange(5.0).to(gpu.device)
        changed = here.cpu()
    x[:, 1:3, 0], x[0, 0] = 7.0, torch.arange(5.0)
    torch.testing.assert_close(changed, x)


def test_draws_are_the_cpus_and_single_generators_are_told() -> None:
    expected = BATCH.generators("cpu", 1).normal(2)
    with PretendGpu() as gpu:
        generators = gpu.batch(BATCH).generators(gpu.device, 1)
        drawn = generators.normal(2)
        assert drawn.device == gpu.device and gpu.counts.synchronisations == 0
        assert generators.repeated(2).uniform(1).shape == (6, 1, 40)
        assert len(generators.each) == 3 == gpu.counts.reads.total()
        torch.testing.assert_close(drawn.cpu(), expected)


def test_operations_are_counted_on_the_cpu_too() -> None:
    x = torch.randn(3, 4)
    counts = count_operations(lambda: (x @ x.T).relu().t().sum().item())
    assert (counts.operations, counts.kernels, counts.reads.total()) == (6, 3, 1)
    (place,) = counts.reads
    assert place[0] == "_local_scalar_dense" and place[1].startswith("test_pretend_gpu.py:")


def _after(call: Callable[[Tensor], object], kind: str) -> PretendGpu:
    gpu = PretendGpu(kind)
    with gpu:
        x = torch.randn(3, 4).to(gpu.device)
        gpu.counts.clear()
        call(x)
    return gpu
