"""The mLSTM of xLSTM (Beck et al., 2024, arXiv:2405.04517) in three forms that compute the same thing.

Per head, with ℓ = log σ(f̃) and k scaled by 1/√E (HopaDIFF, Eq. 5, with the max-stabiliser of xLSTM):

    m_t = max(ℓ_t + m_{t−1}, ĩ_t)
    C_t = e^{ℓ_t + m_{t−1} − m_t} C_{t−1} + e^{ĩ_t − m_t} k_t v_tᵀ,   n_t likewise with k_t
    h_t = C_tᵀ q_t / max(|n_tᵀ q_t|, e^{−m_t})

`mlstm_recurrent` is this definition and `mlstm_parallel` holds a T×T matrix: the reference forms, for reading and
tests. Models take `mlstm_chunkwise`, which is linear in T.
All start from C = 0, keep no state between calls and are causal, so padding behind the end changes nothing.
h doesn't depend on m, which only keeps the exponentials in range; so no gradient goes through m. The output
gate and all projections are left to `rhas.train.models.hopadiff.hp_xlstm`.

Shapes: B batch, H heads, T frames, E channels of a head, N chunks, L frames of a chunk.
q, k, v and h are [B, H, T, E]; the pre-activations ĩ (input_BHT) and f̃ (forget_BHT) are [B, H, T].
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

CHUNK = 192  # frames; 94 to 256 cost about the same on a CPU at 192 channels a head


def mlstm_recurrent(
    q_BHTE: Tensor, k_BHTE: Tensor, v_BHTE: Tensor, input_BHT: Tensor, forget_BHT: Tensor
) -> Tensor:
    """h [B, H, T, E], frame by frame: the definition, which the other forms are tested against."""
    B, H, T, E = q_BHTE.shape
    k_BHTE = k_BHTE / math.sqrt(E)
    decay_BHT = F.logsigmoid(forget_BHT)
    C_BHEE, n_BHE = q_BHTE.new_zeros(B, H, E, E), q_BHTE.new_zeros(B, H, E)
    m_BH = q_BHTE.new_zeros(B, H)
    out = []
    for t in range(T):
        q_BHE, k_BHE, v_BHE = q_BHTE[:, :, t], k_BHTE[:, :, t], v_BHTE[:, :, t]
        kept_BH, new_BH = decay_BHT[:, :, t] + m_BH, input_BHT[:, :, t]
        m_BH = torch.maximum(kept_BH, new_BH).detach()
        keep_BH1, add_BH1 = (kept_BH - m_BH).exp()[..., None], (new_BH - m_BH).exp()[..., None]
        C_BHEE = keep_BH1[..., None] * C_BHEE + (add_BH1 * k_BHE)[..., None] * v_BHE[..., None, :]
        n_BHE = keep_BH1 * n_BHE + add_BH1 * k_BHE
        read_BHE = (q_BHE[..., None, :] @ C_BHEE).squeeze(-2)
        norm_BH = torch.maximum((n_BHE * q_BHE).sum(-1).abs(), (-m_BH).exp())
        out.append(read_BHE / norm_BH[..., None])
    return torch.stack(out, dim=2)


def mlstm_parallel(
    q_BHTE: Tensor, k_BHTE: Tensor, v_BHTE: Tensor, input_BHT: Tensor, forget_BHT: Tensor
) -> Tensor:
    """h [B, H, T, E] as one masked T×T attention. Time and memory grow with T²: for short videos."""
    gates_BHTT = _gates(F.logsigmoid(forget_BHT).cumsum(-1), input_BHT)
    m_BHT = gates_BHTT.detach().amax(-1)
    weights_BHTT = _scores(q_BHTE, k_BHTE) * (gates_BHTT - m_BHT[..., None]).exp()
    return _normalised(weights_BHTT @ _with_ones(v_BHTE), m_BHT)


def mlstm_chunkwise(
    q_BHTE: Tensor, k_BHTE: Tensor, v_BHTE: Tensor, input_BHT: Tensor, forget_BHT: Tensor, chunk: int = CHUNK
) -> Tensor:
    """h [B, H, T, E] with the recurrence from chunk to chunk and the parallel form within each. Any T."""
    T, E = q_BHTE.shape[2:]
    L = min(chunk, T)
    # Frames that fill up the last chunk come after all others: they reach no output that is kept.
    q, k, v = (_chunks(x, L) for x in (q_BHTE, k_BHTE, _with_ones(v_BHTE)))  # [B, H, N, L, E or E + 1]
    input_BHNL = _chunks(input_BHT[..., None], L).squeeze(-1)
    decay_BHNL = _chunks(F.logsigmoid(forget_BHT)[..., None], L).squeeze(-1).cumsum(-1)  # since chunk start
    decay_BHN = decay_BHNL[..., -1]

    # What each chunk adds to the state, stabilised by its own maximum, then the states between the chunks.
    to_end_BHNL = decay_BHN[..., None] - decay_BHNL + input_BHNL
    top_BHN = to_end_BHNL.detach().amax(-1)
    weighted_k = k * ((to_end_BHNL - top_BHN[..., None]).exp() / math.sqrt(E))[..., None]
    added = weighted_k.transpose(-1, -2) @ v  # [B, H, N, E, E + 1]: C and, in its last column, n
    states, m_BHN = _between_chunks(added, top_BHN, decay_BHN)

    # Within a chunk, each frame reads the chunk's own frames so far and the state that the chunk began with.
    gates_BHNLL = _gates(decay_BHNL, input_BHNL)
    carried_BHNL = decay_BHNL + m_BHN[..., None]
    m_BHNL = torch.maximum(gates_BHNLL.amax(-1), carried_BHNL).detach()
    weights_BHNLL = _scores(q, k) * (gates_BHNLL - m_BHNL[..., None]).exp()
    from_state = (carried_BHNL - m_BHNL).exp()[..., None] * (q @ states)
    h_BHNLE = _normalised(weights_BHNLL @ v + from_state, m_BHNL)
    return h_BHNLE.flatten(2, 3)[:, :, :T]


def _between_chunks(added: Tensor, top_BHN: Tensor, decay_BHN: Tensor) -> tuple[Tensor, Tensor]:
    """The state that each chunk begins with [B, H, N, E, E + 1], and the m [B, H, N] that stabilises it.

    All at once, as one N×N matrix of how much of what chunk s added is left when chunk c begins.
    """
    until_BHN = decay_BHN.cumsum(-1)
    left_BHNN = _gates(until_BHN - decay_BHN, top_BHN - decay_BHN, 0)  # −∞ for s ≥ c
    m_BHN = left_BHNN.detach().amax(-1)
    m_BHN = torch.where(m_BHN > -math.inf, m_BHN, 0)  # the first chunk begins with nothing
    shares_BHNN = (left_BHNN - m_BHN[..., None]).exp()
    return (shares_BHNN @ added.flatten(-2)).unflatten(-1, added.shape[-2:]), m_BHN


def _chunks(x_BHTX: Tensor, frames: int) -> Tensor:
    """[B, H, T, X] cut into chunks [B, H, N, L, X], the last one filled up with zeros."""
    missing = -x_BHTX.shape[2] % frames
    padded = F.pad(x_BHTX, (0, 0, 0, missing)) if missing else x_BHTX
    return padded.unflatten(2, (-1, frames))


def _with_ones(v: Tensor) -> Tensor:
    """v [..., E] with a last channel of ones, whose weighted sum is nᵀq."""
    return F.pad(v, (0, 1), value=1.0)


def _scores(q: Tensor, k: Tensor) -> Tensor:
    """q·k / √E of all pairs of frames [..., T, T]."""
    return (q / math.sqrt(q.shape[-1])) @ k.transpose(-1, -2)


def _gates(decay: Tensor, input_gate: Tensor, first_unseen: int = 1) -> Tensor:
    """The log of the weight with which frame t still holds frame s [..., T, T], −∞ for s ≥ t + first_unseen.

    `decay` [..., T] is the running sum of ℓ, up to and with each frame.
    """
    frames = decay.shape[-1]
    future = torch.ones(frames, frames, dtype=torch.bool, device=decay.device).triu(first_unseen)
    return (decay[..., :, None] + (input_gate - decay)[..., None, :]).masked_fill(future, -math.inf)


def _normalised(read: Tensor, m: Tensor) -> Tensor:
    """Cᵀq / max(|nᵀq|, e^{−m}), with nᵀq in the last channel of `read` [..., E + 1]."""
    return read[..., :-1] / torch.maximum(read[..., -1].abs(), (-m).exp())[..., None]
