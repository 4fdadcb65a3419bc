"""What ASQuery, ASFormer and MS-TCN++ have to be as segmenters, small and as they are configured in presets."""

from __future__ import annotations

import pytest
import torch
from every_model import small_config, small_model
from made_batches import BATCH, LENGTHS, C, F, batch_of
from torch.utils.flop_counter import FlopCounterMode

from rhas.train.models.asformer.model import ASFormer, ASFormerNetworkConfig
from rhas.train.models.asquery.config import ASQueryNetworkConfig
from rhas.train.models.asquery.model import ASQuery
from rhas.train.models.mstcn.model import MSTCN, MSTCNNetworkConfig

CASES = pytest.mark.parametrize(
    "case", ["asquery", "asquery-breakfast", "asformer", "asformer-gtea", "mstcn", "mstcn-gtea"]
)
NETWORKS = {
    "asquery": lambda: ASQuery(F, C, ASQueryNetworkConfig(width=8, heads=2)),
    "asformer": lambda: ASFormer(F, C, ASFormerNetworkConfig(decoders=1, layers=6, width=8)),
    "mstcn": lambda: MSTCN(F, C, MSTCNNetworkConfig(prediction_layers=4, refinement_layers=4, width=8)),
}


@CASES
@torch.no_grad()
def test_padding_and_company_change_nothing(case: str) -> None:
    model = small_model(small_config(case)).train()  # dropout is on, where there is any
    together = model.losses(BATCH, BATCH.generators("cpu", 0))
    means = dict.fromkeys(together, torch.zeros(()))
    scores = model.eval().heads(BATCH, BATCH.generators("cpu", 1))
    for i, length in enumerate(LENGTHS):
        alone = batch_of(i)
        found = model.train().losses(alone, alone.generators("cpu", 0))
        means = {name: means[name] + loss / len(LENGTHS) for name, loss in found.items()}
        for head, own in model.eval().heads(alone, alone.generators("cpu", 1)).items():
            torch.testing.assert_close(scores[head][i, :, :length], own[0], rtol=0, atol=1e-5)
            assert not scores[head][i, :, length:].any()
    torch.testing.assert_close(together, means, rtol=0, atol=1e-5)


@CASES
def test_gradients_reach_every_parameter_and_two_calls_give_the_same(case: str) -> None:
    model = small_model(small_config(case)).train()
    gradients = []
    for _ in range(2):
        model.zero_grad()
        torch.stack([*model.losses(BATCH, BATCH.generators("cpu", 0)).values()]).sum().backward()
        gradients.append({name: p.grad for name, p in model.named_parameters()})
    for name, gradient in gradients[0].items():
        assert gradient is not None and torch.equal(gradient, gradients[1][name]), name
        # A key's bias adds the same to all that a frame compares, so no gradient but rounding reaches it.
        assert gradient.any() or name.endswith(("key.bias", "key.linear.bias")), name
    model.eval()
    one, other = (model.predict(BATCH, BATCH.generators("cpu", 0)) for _ in range(2))
    assert torch.equal(one, other)


@pytest.mark.parametrize("model", NETWORKS)
def test_a_step_is_linear_in_the_frames(model: str) -> None:
    """By the products of its forward and backward pass."""
    torch.manual_seed(0)
    network = NETWORKS[model]()

    def flops(frames: int) -> int:
        with FlopCounterMode(display=False) as counter:
            out = network(torch.randn(1, F, frames, requires_grad=True), None)[-1]
            logits = out[0] if isinstance(out, tuple) else out
            logits.square().sum().backward()
        return counter.get_total_flops()

    once, twice = flops(256), flops(512)
    assert once < twice <= 2.02 * once
