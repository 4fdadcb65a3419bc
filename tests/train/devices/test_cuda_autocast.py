"""What CUDA's autocast refuses, found without a GPU: forward passes on pretended CUDA tensors."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from every_model import KINDS, small_config, small_model
from made_batches import BATCH
from pretend_gpu import PretendGpu
from torch import Tensor
from torch.nn import functional as F

from rhas.train.device import autocast
from rhas.train.models import losses
from rhas.train.scoring.inference import _predict

Loss = Callable[[Tensor, Tensor, Tensor, Tensor, losses.Link], object]
LOSSES: dict[str, Loss] = {
    "label": lambda x, y, curve, mask, link: losses.label_loss(x, y, mask, link, torch.ones_like(x[0, :, 0])),
    "smoothing": lambda x, y, curve, mask, link: losses.smoothing_loss(x, mask, link),
    "boundary": lambda x, y, curve, mask, link: losses.boundary_loss(x, curve, mask, link),
    "all of ActDiff's": lambda x, y, curve, mask, link: losses.actdiff_losses(x, -x, y, curve, mask, link),
}


def test_what_autocast_refuses_is_refused() -> None:
    with PretendGpu("cuda") as gpu, autocast(gpu.device, "bfloat16"):
        p = torch.full((3, 4), 0.5).to(gpu.device)
        with pytest.raises(RuntimeError, match="unsafe to autocast"):
            F.binary_cross_entropy(p, p)
        loss = F.binary_cross_entropy_with_logits(torch.mm(p, p.T), torch.ones(3, 3, device=gpu.device))
        assert torch.mm(p, p.T).dtype == torch.bfloat16 and loss.dtype == torch.float32
        assert loss.device.type == "cuda"
        assert loss.item() == pytest.approx(torch.nn.functional.softplus(torch.tensor(-1.0)).item())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("link", ["softmax", "sigmoid"])
@pytest.mark.parametrize("loss", LOSSES)
def test_losses(loss: str, link: losses.Link, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    x, y, curve = (torch.rand(2, rows, 9, generator=generator) for rows in (4, 4, 1))
    mask = torch.ones(2, 9, dtype=torch.bool)
    with PretendGpu("cuda") as gpu, autocast(gpu.device, "bfloat16"):
        here = [part.to(gpu.device, non_blocking=True) for part in (x.to(dtype), y, curve, mask)]
        found = LOSSES[loss](*here, link)
    values = found.values() if isinstance(found, dict) else [found]
    assert all(value.device.type == "cuda" and value.dtype == torch.float32 for value in values)
    assert gpu.counts.synchronisations == 0, gpu.counts.places()


@pytest.mark.parametrize("case", KINDS)
def test_the_losses_of_every_model(case: str) -> None:
    model = small_model(small_config(case))
    with torch.no_grad():
        expected = model.losses(BATCH, BATCH.generators("cpu", 0))
    with PretendGpu("cuda") as gpu:
        batch = gpu.batch(BATCH)
        generators = batch.generators(gpu.device, 0)
        model, batch = model.to(gpu.device), batch.to(gpu.device)
        with autocast(gpu.device, "bfloat16"):
            found = model.losses(batch, generators)
        assert {name: loss.dtype for name, loss in found.items()} == dict.fromkeys(expected, torch.float32)
        values = {name: loss.item() for name, loss in found.items()}
    assert values == pytest.approx({n: x.item() for n, x in expected.items()}, rel=0.1, abs=0.02)


@pytest.mark.parametrize("case", KINDS)
def test_the_prediction_of_every_model(case: str) -> None:
    config = small_config(case, precision="bfloat16")
    model = small_model(config).eval()
    expected = _predict(model, BATCH, config.replace(precision="float32"))
    with PretendGpu("cuda") as gpu:
        found = _predict(model.to(gpu.device), gpu.batch(BATCH), config)
    assert all(float((found[head] - expected[head]).abs().max()) < 0.05 for head in expected)
