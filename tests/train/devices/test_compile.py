"""torch.compile sees a step, and the decoder's call in sampling, whole: no break in the graph, and equal outputs.

Checked without a compiler: with the backends that run what was traced, `eager`, and what autograd makes of it,
`aot_eager`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from every_model import small_config, small_model
from made_batches import BATCH, C
from torch import Tensor, nn

from rhas.train.fitting.compiling import compiled_losses
from rhas.train.models.layers.masking import masked

CHANNELS = 16  # of the encoder's condition


@pytest.mark.parametrize("case", ["actdiff sigmoid", "actfusion", "hopadiff", "ltcontext", "refatomnet"])
def test_a_step_is_one_graph(case: str) -> None:
    """All of it, draws included: the second step is compiled, whole or not at all."""
    torch._dynamo.reset()
    model = small_model(small_config(case)).train()
    losses = compiled_losses(model, backend="aot_eager")

    def stepped(of: Callable[..., dict[str, Tensor]]) -> tuple[dict[str, Tensor], Tensor]:
        model.zero_grad()
        found = of(BATCH, BATCH.generators("cpu", 0, "step"))
        torch.stack(list(found.values())).sum().backward()
        return found, torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])

    plain, recorded, compiled = stepped(model.losses), stepped(losses), stepped(losses)
    torch.testing.assert_close(recorded, plain)
    torch.testing.assert_close(compiled, plain, rtol=1e-4, atol=1e-5)


def test_the_call_that_sampling_repeats_is_one_graph() -> None:
    model = small_model(small_config("hopadiff")).eval()
    generators = BATCH.generators("cpu", 1)
    z, other, noisy = (masked(generators.normal(n), BATCH.mask_BT) for n in (CHANNELS, CHANNELS, C))
    projected, t_B = model.holistic.condition([z, other], BATCH.mask_BT), torch.tensor([3, 500, 999])

    def call() -> Tensor:
        return model.holistic.decoder(noisy.sigmoid(), t_B, projected, BATCH.mask_BT)

    assert breaks(call) == []
    torch._dynamo.reset()
    torch.testing.assert_close(torch.compile(call, backend="aot_eager", fullgraph=True)(), call())


def test_breaks_are_found() -> None:
    layer, x = nn.Linear(4, 4), torch.randn(2, 4)
    assert breaks(lambda: layer(x).relu()) == []
    (why,) = breaks(lambda: layer(x) * 2 if layer(x).sum() > 0 else layer(x))
    assert "test_compile.py" in why
    assert len(breaks(lambda: layer(x) * float(layer(x).sum().item()))) == 1


def breaks(call: Callable[[], Any]) -> list[str]:
    """Why and where the graph of a call is cut."""
    torch._dynamo.reset()
    with torch.no_grad():
        found = torch._dynamo.explain(call)().break_reasons
    return [f"{reason.reason.splitlines()[0]} at {reason.user_stack[-1]}" for reason in found]
