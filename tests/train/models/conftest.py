"""Golden numbers of the authors' released code, small models, and what every layer is held to."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from torch import Tensor

from rhas.train.models.actdiff.config import ActDiffConfig, DecoderConfig, DiffusionConfig, EncoderConfig
from rhas.train.models.actdiff.model import ActDiff

FOLDER = Path(__file__).parents[4] / "shared" / "golden"
LENGTHS = (37, 1, 50, 8)
Call = Callable[[list[Tensor], Tensor], Tensor | tuple[Tensor, ...]]  # inputs [B, D, T] and mask -> outputs


@pytest.fixture(scope="session")
def golden() -> Callable[[str], tuple[dict[str, Tensor], dict[str, Any]]]:
    """Tensors and metadata of a golden file. Tests of them skip where the folder isn't there."""

    def load(name: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
        path = FOLDER / name
        if not path.is_file():
            pytest.skip(f"{path} is not here")
        with safe_open(path, "pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, json.loads(file.metadata()["json"])  # noqa: SIM118

    return load


@pytest.fixture
def small() -> ActDiff:
    """An ActDiff for 6 features and 4 classes, several per frame."""
    config = ActDiffConfig(
        encoder=EncoderConfig(layers=4, width=8, condition_layers=(1, 3)),
        decoder=DecoderConfig(layers=3, width=6, time_width=16),
        diffusion=DiffusionConfig(sampling_steps=4),
    )
    torch.manual_seed(0)
    return ActDiff(6, 4, config)


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
