"""Input gates of the two branches: BCA against the explicit T×T computation."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from rhas.train.models.hopadiff.input_gates import CrossInputGates, SeparateInputGates


def inputs(frames: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    h, p = (torch.randn(2, width, frames, generator=generator, dtype=torch.float64) for _ in range(2))
    mask = torch.arange(frames) < torch.tensor([frames, frames - 3])[:, None]
    return h.requires_grad_(), p.requires_grad_(), mask


def test_bca_is_one_similarity_read_along_rows_and_columns() -> None:
    gates = CrossInputGates(6, heads=3, gate_width=5).double()
    h, p, mask = inputs(11, 6)
    g_h, g_p = gates.embed_holistic(h.transpose(1, 2)), gates.embed_partial(p.transpose(1, 2))
    similarity = g_h @ g_p.transpose(1, 2) / math.sqrt(5)  # [B, T holistic, T partial]
    rows = similarity.masked_fill(~mask[:, None], -math.inf).softmax(2)
    columns = similarity.masked_fill(~mask[:, :, None], -math.inf).softmax(1)
    expected = (
        gates.holistic((g_h + rows @ g_p).transpose(1, 2)) * mask[:, None],
        gates.partial((g_p + columns.transpose(1, 2) @ g_h).transpose(1, 2)) * mask[:, None],
    )
    torch.testing.assert_close(gates(h, p, mask), expected, rtol=0, atol=1e-12)


def test_gradient() -> None:
    gates = CrossInputGates(3, heads=2, gate_width=2).double()
    h, p, mask = inputs(5, 3)
    assert torch.autograd.gradcheck(lambda h, p: gates(h, p, mask), (h, p))


def test_padding(check_padding: Callable[..., None]) -> None:
    for gates in (CrossInputGates(6, 3, 8), SeparateInputGates(6, 3)):
        check_padding(lambda x, mask, gates=gates: gates(x[0], x[1], mask), 6, 6)


def test_separate_gates_don_t_see_the_other_branch() -> None:
    gates = SeparateInputGates(6, 3).double()
    h, p, mask = inputs(8, 6)
    assert torch.equal(gates(h, p, mask)[0], gates(h, p + 1, mask)[0])
    crossed = CrossInputGates(6, 3).double()
    assert not torch.allclose(crossed(h, p, mask)[0], crossed(h, p + 1, mask)[0])
