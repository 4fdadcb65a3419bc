"""torch.compile sees each network whole: no break in its graph, and what it puts out is the same.

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

Outputs = list[Tensor]
T, CHANNELS = 40, 16  # of the encoder's condition


def parts(case: str) -> dict[str, Callable[[], Any]]:
    """Calls of a model's networks on made inputs, in eval mode, where nothing is drawn."""
    model = small_model(small_config(case)).eval()
    mask_BT = BATCH.mask_BT
    generator = torch.Generator().manual_seed(0)

    def drawn(rows: int) -> Tensor:
        return torch.randn(3, rows, T, generator=generator) * mask_BT[:, None]

    if case == "ltcontext":
        features = torch.cat([BATCH.holistic_BFT, BATCH.partial_BFT], 1)
        return {"LTContext": lambda: model.ltcontext(features, mask_BT, "sigmoid")}
    networks = (
        model.holistic
        if case in ("paper", "world")
        else getattr(model, model.__class__.__name__[:-9].lower())
    )
    z, noisy, t_B = drawn(CHANNELS), drawn(C).sigmoid(), torch.tensor([3, 500, 999])
    calls: dict[str, Callable[[], Any]] = {"encoder": lambda: networks.encoder(BATCH.holistic_BFT, mask_BT)}
    if case in ("paper", "world"):
        other = drawn(CHANNELS)
        calls["HP-xLSTM"] = lambda: model.hp_xlstm(z, other, mask_BT)
        calls["condition"] = lambda: networks.condition([z, other] if case == "world" else [z], mask_BT)
        projected = networks.condition([z, other] if case == "world" else [z], mask_BT)
    else:
        projected = networks.decoder.project(z)
    calls["decoder"] = lambda: networks.decoder(noisy, t_B, projected, mask_BT)
    return calls


PARTS = [
    (case, part)
    for case in ("actdiff sigmoid", "actfusion", "paper", "world", "ltcontext")
    for part in (
        ["LTContext"] if case == "ltcontext"
        else ["encoder", "decoder"] if case.startswith("act")
        else ["encoder", "decoder", "HP-xLSTM", "condition"]
    )
]  # fmt: skip


@pytest.mark.parametrize(("case", "part"), PARTS)
def test_a_network_is_one_graph(case: str, part: str) -> None:
    call = parts(case)[part]
    assert breaks(call) == []
    torch.testing.assert_close(leaves(compiled(call, "aot_eager")()), leaves(call()))


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


def compiled(call: Callable[[], Any], backend: str) -> Callable[[], Any]:
    torch._dynamo.reset()
    return torch.compile(call, backend=backend, fullgraph=True)


def leaves(out: Any) -> Outputs:
    return [x for x in torch.utils._pytree.tree_leaves(out) if isinstance(x, Tensor)]
