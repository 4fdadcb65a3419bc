"""The three forms of the mLSTM: against the equations without a stabiliser, and against each other."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rhas.train.models.hopadiff.mlstm import mlstm_chunkwise, mlstm_parallel, mlstm_recurrent

Form = Callable[..., Tensor]
FORMS = [mlstm_recurrent, mlstm_parallel, mlstm_chunkwise]


def inputs(frames: int, seed: int = 0, spread: float = 2.0, heads: int = 2, size: int = 3) -> list[Tensor]:
    """q, k, v, ĩ and f̃ in float64, with gradients."""
    generator = torch.Generator().manual_seed(seed)
    shapes = [(2, heads, frames, size)] * 3 + [(2, heads, frames)] * 2
    made = [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]
    made[3:] = [spread * made[3], spread * made[4] + 1]
    return [x.requires_grad_() for x in made]


@pytest.mark.parametrize("form", FORMS)
def test_equals_the_equations_without_a_stabiliser(form: Form) -> None:
    q, k, v, i, f = inputs(9)
    B, H, T, E = q.shape
    C, n, out = torch.zeros(B, H, E, E, dtype=q.dtype), torch.zeros(B, H, E, dtype=q.dtype), []
    for t in range(T):
        forget, new = f[..., t].sigmoid()[..., None], i[..., t].exp()[..., None]
        key = k[:, :, t] / math.sqrt(E)
        C = forget[..., None] * C + new[..., None] * torch.einsum("bhk,bhv->bhkv", key, v[:, :, t])
        n = forget * n + new * key
        norm = torch.einsum("bhk,bhk->bh", n, q[:, :, t]).abs().clamp(min=1)
        out.append(torch.einsum("bhkv,bhk->bhv", C, q[:, :, t]) / norm[..., None])
    torch.testing.assert_close(form(q, k, v, i, f), torch.stack(out, 2), rtol=0, atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(1, 50), st.integers(0, 999), st.sampled_from([0.5, 2.0, 8.0]))
def test_forms_agree_with_their_gradients(frames: int, chunk: int, seed: int, spread: float) -> None:
    given_ = inputs(frames, seed, spread)
    outs = [
        mlstm_recurrent(*given_),
        mlstm_parallel(*given_),
        mlstm_chunkwise(*given_, chunk=chunk),
    ]
    weight = torch.randn(outs[0].shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    grads = [torch.autograd.grad((out * weight).sum(), given_) for out in outs]
    for out, grad in zip(outs[1:], grads[1:], strict=True):
        torch.testing.assert_close(out, outs[0], rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(grad, grads[0], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("level", [-40.0, -8.0, -1.0, 6.0])
def test_chunks_of_a_long_video_are_the_recurrence(level: float) -> None:
    """Whether next to all is forgotten at each frame or next to nothing over all of them."""
    given_ = [x.detach() for x in inputs(1200, seed=3, spread=3.0, heads=1)]
    given_[4] = given_[4] + level
    expected = mlstm_recurrent(*given_)
    for chunk in (16, 192):
        torch.testing.assert_close(mlstm_chunkwise(*given_, chunk=chunk), expected, rtol=1e-9, atol=1e-9)
    in_float32 = mlstm_chunkwise(*[x.float() for x in given_], chunk=16)
    torch.testing.assert_close(in_float32.double(), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("form", FORMS)
def test_gradient(form: Form) -> None:
    given_ = inputs(5, heads=1, size=2)
    assert torch.autograd.gradcheck(form, given_)
    if form is mlstm_chunkwise:
        assert torch.autograd.gradcheck(lambda *x: form(*x, chunk=2), given_)


@pytest.mark.parametrize("form", FORMS)
def test_causal(form: Form) -> None:
    q, k, v, i, f = inputs(20)
    chunk = {"chunk": 6} if form is mlstm_chunkwise else {}
    before = form(q, k, v, i, f, **chunk)
    changed = [x.detach().clone() for x in (q, k, v, i, f)]
    for x in changed:
        x[:, :, 11] += 3
    after = form(*changed, **chunk)
    torch.testing.assert_close(after[:, :, :11], before[:, :, :11], rtol=0, atol=1e-12)
    assert not torch.allclose(after[:, :, 11:], before[:, :, 11:])


@pytest.mark.parametrize("form", FORMS)
def test_stateless(form: Form) -> None:
    given_ = inputs(20)
    assert torch.equal(form(*given_), form(*given_))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("level", [-200.0, 200.0])
def test_gates_far_out_stay_finite_in_float32(form: Form, level: float) -> None:
    q, k, v, i, f = (x.detach().float() for x in inputs(30))
    given_ = [x.requires_grad_() for x in (q, k, v, i + level, f - abs(level) * (i > 0))]
    out = form(*given_)
    grads = torch.autograd.grad(out.square().sum(), given_)
    assert all(x.isfinite().all() for x in (out, *grads))
