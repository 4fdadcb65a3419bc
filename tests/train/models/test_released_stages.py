"""MS-TCN++ and ASFormer against their released code, run once on weights and features that a formula gives.

What is written here are numbers of theirs, in eval mode and float32: logits of every ninth frame, the loss of their
training, and the norm of its gradient in each part. Entry j of the n-th of their parameters, in alphabetical order, is
1.5 / √inputs · sin(1.3 j + 0.7 n), with 16 for the inputs of a bias.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rhas.manifests.common.errors import InputError
from rhas.train.models.asformer import released as asformer_released
from rhas.train.models.asformer.model import ASFormer, ASFormerNetworkConfig
from rhas.train.models.losses import LossConfig, encoder_losses, weighted
from rhas.train.models.mstcn import released as mstcn_released
from rhas.train.models.mstcn.model import MSTCN, MSTCNNetworkConfig

F, C, T = 5, 3, 37
MSTCN_LOGITS = [
    [[-0.27436, 0.82511, 0.77485, 1.39393, 0.26503], [1.63613, 3.44315, 3.22905, 2.78773, 3.09126],
     [0.54789, -0.35657, -0.32942, -0.99612, 0.16554]],
    [[1.55175, 0.49905, 0.96588, 0.63246, -0.32874], [-5.4359, -4.2806, -5.80977, -5.65619, -4.76545],
     [-2.18702, -1.00966, -1.6415, -1.2915, -0.23419]],
    [[5.90564, 4.23105, 5.00626, 4.51425, 1.51627], [0.53963, -1.97812, -1.83832, -1.60721, -2.8791],
     [-5.70789, -4.30499, -5.06512, -4.54816, -1.68744]],
]  # fmt: skip
ASFORMER_LOGITS = [
    [[-4.86017, -5.97553, -5.24558, -3.71857, -4.80948], [-8.48318, -8.31785, -6.0454, -8.10836, -7.86543],
     [3.79583, 4.92903, 4.44431, 2.69468, 3.8118]],
    [[7.68583, 7.57143, 7.94975, 6.45139, 6.87821], [-11.74741, -10.02984, -10.26048, -11.97602, -12.15681],
     [-8.88506, -8.58531, -8.98852, -7.67528, -8.12161]],
    [[-0.48794, -1.00799, -1.68852, -1.66167, -2.2585], [-4.4956, -6.96165, -5.4428, -4.71657, -5.79089],
     [-0.05601, 0.19793, 1.04236, 1.09387, 1.57478]],
]  # fmt: skip


def released_state(model: nn.Module, released: Any, unused: list[str]) -> dict[str, Tensor]:
    """All of their parameters by the formula; those that are `unused` are [3, 6, 1] or [3]."""
    shapes = {released.released_name(name): x.shape for name, x in model.state_dict().items()}
    shapes |= {name: torch.Size([3, 6, 1] if name.endswith("weight") else [3]) for name in unused}
    return {name: _wave(shapes[name], number) for number, name in enumerate(sorted(shapes))}


def _wave(shape: torch.Size, number: int) -> Tensor:
    inputs = shape[1:].numel() if len(shape) > 1 else 16
    waves = torch.sin(1.3 * torch.arange(shape.numel(), dtype=torch.float64) + 0.7 * number)
    return (1.5 / math.sqrt(inputs) * waves).reshape(shape).float()


def mstcn() -> MSTCN:
    return MSTCN(F, C, MSTCNNetworkConfig(prediction_layers=4, refinements=2, refinement_layers=3, width=6))


def asformer() -> ASFormer:
    return ASFormer(F, C, ASFormerNetworkConfig(decoders=2, layers=5, width=6))


def unused_of_asformer() -> list[str]:
    """A softmax over the frame alone asks for no query and no key."""
    stages = ("decoders.0", "decoders.1", "encoder")
    parts = [f"{part}_conv.{kind}" for part in ("key", "query") for kind in ("bias", "weight")]
    return [f"{stage}.layers.0.att_layer.{part}" for stage in stages for part in parts]


CASES = {
    "mstcn": (mstcn, mstcn_released, [], MSTCN_LOGITS, 8.186451,
              {"prediction": 10.3739, "refinements.0": 13.350621, "refinements.1": 8.770074}),
    "asformer": (asformer, asformer_released, unused_of_asformer(), ASFORMER_LOGITS, 21.021553,
                 {"encoder": 28.960767, "decoders.0": 61.651504, "decoders.1": 13.035072}),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_parity_with_the_released_code(case: str, tmp_path: Path) -> None:
    make, released, unused, expected, expected_loss, expected_norms = CASES[case]
    model: Any = make().eval()
    path = tmp_path / "epoch-100.model"
    torch.save(released_state(model, released, unused), path)
    assert released.load_released(model, path) == unused
    rows, frames = torch.arange(F)[:, None], torch.arange(T)
    logits = model(torch.sin(0.37 * frames * (rows + 1) + rows)[None], None)
    found, numbers = torch.stack(logits)[:, 0, :, ::9], torch.tensor(expected)
    torch.testing.assert_close(found, numbers, rtol=0, atol=1e-4 * float(numbers.abs().max()))
    y, mask = nn.functional.one_hot(frames // 9 % C, C).T[None].float(), torch.ones(1, T, dtype=torch.bool)
    weights = LossConfig(cross_entropy=1.0, smoothing=0.15).weights
    losses = [sum(weighted(encoder_losses(own, y, mask, "softmax"), weights).values()) for own in logits]
    loss = torch.stack(losses).sum()  # type: ignore[arg-type]
    assert loss.item() == pytest.approx(expected_loss, rel=1e-4)
    loss.backward()
    for part, norm in expected_norms.items():
        gradients = [p.grad for p in model.get_submodule(part).parameters()]
        assert nn.utils.get_total_norm(gradients).item() == pytest.approx(norm, rel=1e-4)


def test_a_released_file_of_another_size_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "epoch-100.model"
    torch.save({"encoder.conv_1x1.bias": torch.zeros(3), "other": torch.zeros(1)}, path)
    with pytest.raises(InputError) as caught:
        asformer_released.load_released(asformer(), path)
    problems = {(p.column, str(p.value)) for p in caught.value.problems}
    assert {("other", "None"), ("encoder.conv_1x1.bias", "(3,)")} <= problems
    assert ("decoders.1.layers.4.att_layer.key_conv.weight", "no such parameter") in problems
