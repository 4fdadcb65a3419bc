"""Attention of each frame to those within a window around it, whose work and memory are linear in the frames.

Queries are taken a group at a time, with the keys that any of them sees; what lies outside a query's own window is
masked. That is a few large products, of which a part is thrown away, on a CPU as on a GPU.

Shapes: B batch, D channels, E channels of a head, T frames, W frames of a window, H heads; N groups of Q queries and K
keys.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from rhas.train.models.layers.masking import Mask, masked

LEAST_GROUP = 32  # queries: smaller blocks share a group, so that there are not too many of them


def local_attention(
    q_BDT: Tensor, k_BDT: Tensor, v_BDT: Tensor, mask_BT: Mask, before: int, after: int, block: int = 1,
    heads: int = 1, bias_HW: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """softmax(q·k / √E + bias) over the real frames of a window, applied to v [B, D, T].

    All frames of a block of `block` share a window, which begins `before` frames before the block and ends `after`
    frames behind it. `bias_HW` is for each head and place in the window, earliest first. What comes out in the padding
    doesn't matter.
    """
    T, window = q_BDT.shape[2], before + block + after
    group = -(-LEAST_GROUP // block) * block
    rest = -T % group

    def queries(x_BDT: Tensor) -> Tensor:  # [B·H, N, Q, E]
        groups_BDNQ = F.pad(x_BDT, (0, rest)).unflatten(2, (-1, group))
        return groups_BDNQ.unflatten(1, (heads, -1)).flatten(0, 1).permute(0, 2, 3, 1)

    def keys(x_BDT: Tensor, heads: int) -> Tensor:  # [B·H, N, K, E]
        groups_BDNK = F.pad(x_BDT, (before, rest + after)).unfold(2, before + group + after, group)
        return groups_BDNK.unflatten(1, (heads, -1)).flatten(0, 1).permute(0, 2, 3, 1)

    # Where in each query's window a key is; outside of it below 0 or from W on. One row, if a group is one block.
    key_K = torch.arange(before + group + after, device=q_BDT.device)
    query_Q = torch.arange(group if group > block else 1, device=q_BDT.device)
    place_QK = key_K - (query_Q // block * block)[:, None]
    real_B1T = masked(torch.ones_like(q_BDT[:, :1]), mask_BT)
    seen_BNQK = ((place_QK >= 0) & (place_QK < window)) & keys(real_B1T, 1)[..., 0].bool()[:, :, None]
    if heads > 1:
        seen_BNQK = seen_BNQK.repeat_interleave(heads, dim=0)
    bias_B1QK = None
    if bias_HW is not None:
        bias_B1QK = bias_HW[:, place_QK.clamp(0, window - 1)].repeat(len(q_BDT), 1, 1)[:, None]
    out_BNQE = attend(queries(q_BDT), keys(k_BDT, heads), keys(v_BDT, heads), seen_BNQK, bias_B1QK)
    out_BHET = out_BNQE.flatten(1, 2).transpose(1, 2).unflatten(0, (-1, heads))
    return out_BHET.flatten(1, 2)[:, :, :T]


def attend(
    q_BNQE: Tensor, k_BNKE: Tensor, v_BNKE: Tensor, seen_BNQK: Tensor, bias_BNQK: Tensor | None = None
) -> Tensor:
    """Attention within each group to the keys that are seen [B, N, Q, E]; without a bias no Q × K weights are held.

    `seen` and `bias` broadcast. Who sees nothing, as padding may, sees everything: no NaN is to come of it.
    """
    mask_BNQK = seen_BNQK | ~seen_BNQK.any(-1, keepdim=True)
    if bias_BNQK is not None:
        mask_BNQK = torch.where(mask_BNQK, bias_BNQK, -torch.inf).to(q_BNQE.dtype)
    # Rows have to lie together, the mask's too: else Q × K numbers are held after all.
    q_BNQE, k_BNKE, v_BNKE, mask_BNQK = (x.contiguous() for x in (q_BNQE, k_BNKE, v_BNKE, mask_BNQK))
    return F.scaled_dot_product_attention(q_BNQE, k_BNKE, v_BNKE, attn_mask=mask_BNQK)
