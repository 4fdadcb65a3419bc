"""What every layer is held to: a padded batch gives what its videos give one by one."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

LENGTHS = (37, 1, 50, 8)
Call = Callable[[list[Tensor], Tensor], Tensor | tuple[Tensor, ...]]  # inputs [B, D, T] and mask -> outputs


@pytest.fixture
def check_padding() -> Callable[..., None]:
    """check(call, channels): `call` gets one input [B, D, T] for each number of channels, and the mask."""

    def check(call: Call, *channels: int) -> None:
        generator = torch.Generator().manual_seed(7)
        longest = max(LENGTHS)
        # The padding holds numbers, not zeros: none of them may reach a real frame.
        inputs = [torch.randn(len(LENGTHS), d, longest, generator=generator) for d in channels]
        mask_BT = torch.arange(longest) < torch.tensor(LENGTHS)[:, None]
        batch = _tuple(call(inputs, mask_BT))
        for b, length in enumerate(LENGTHS):
            alone = _tuple(call([x[b : b + 1, :, :length] for x in inputs], mask_BT[b : b + 1, :length]))
            for together, single in zip(batch, alone, strict=True):
                torch.testing.assert_close(together[b, :, :length], single[0], rtol=0, atol=1e-5)
                assert (together[b, :, length:] == 0).all()

    return check


def _tuple(out: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (out,) if isinstance(out, Tensor) else out
