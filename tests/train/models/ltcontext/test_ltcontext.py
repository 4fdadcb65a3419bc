"""LTContext: parity with the authors' released code, padding, what reaches what, and learning by heart."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from made_batches import BATCH, LENGTHS, C, F, batch_of
from seeded_generators import draws_of
from torch import Tensor

from rhas.manifests.common.errors import InputError
from rhas.train.models.losses import LossConfig
from rhas.train.models.ltcontext.model import LTContext, LTContextNetworkConfig, Stage
from rhas.train.models.ltcontext.released import load_released
from rhas.train.models.ltcontext.segmenter import LTContextConfig, LTContextSegmenter
from rhas.train.models.registry import build_model, model_config

Golden = Callable[[str], tuple[dict[str, Tensor], dict[str, Any]]]
SMALL = LTContextNetworkConfig(stages=3, layers=2, width=8, window=8, long_term_step=4)
STILL = SMALL.replace(dropout=0, attention_dropout=0, channel_dropout=0)
LINKS = pytest.mark.parametrize("link", ["softmax", "sigmoid"])


def segmenter(network: LTContextNetworkConfig = SMALL, **changes: Any) -> LTContextSegmenter:
    torch.manual_seed(0)
    return LTContextSegmenter(F, C, LTContextConfig(network=network, **{"stream": "both", **changes}))


def unmasked(
    stage: Stage, x: Tensor, before: Tensor | None, mask: Tensor, generators: None
) -> tuple[Tensor, Tensor]:
    """A stage of the released code: what conv_in makes of the padding reaches the last real frames."""
    x = stage.conv_in(x)
    for layer in stage.layers:
        x = layer(x, before, mask, generators)
    return stage.conv_out(x) * mask[:, None], x


def test_parity_with_the_released_code(
    golden: Golden, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To 1e-4 of the output's scale: two videos, the second padded."""
    tensors, meta = golden("ltcontext_eval.safetensors")
    given = meta["ltc"]
    config = LTContextNetworkConfig(
        stages=given["NUM_STAGES"], layers=given["NUM_LAYERS"], width=given["MODEL_DIM"],
        window=given["WINDOWED_ATTN_W"], long_term_step=given["LONG_TERM_ATTN_G"],
    )  # fmt: skip
    assert given["USE_INSTANCE_NORM"]  # which in the released code leaves norms out
    model = LTContext(meta["input_dim"], meta["num_classes"], config).eval()
    path = tmp_path / "release.model"
    torch.save({k.removeprefix("param/"): x for k, x in tensors.items() if k.startswith("param/")}, path)
    load_released(model, path)
    expected, mask = tensors["out/stage_logits"], tensors["in/mask"][:, 0].bool()
    tolerance = {"rtol": 0, "atol": 1e-4 * expected.abs().max().item()}
    ours = torch.stack(model(tensors["in/features"], mask))
    assert mask[0].all() and not mask[1].all()
    torch.testing.assert_close(ours[:, 0], expected[:, 0], **tolerance)
    # Ours is the same with padding as without, the released code is not, so here padding is treated as there.
    assert not torch.allclose(ours[:, 1], expected[:, 1], **tolerance)
    monkeypatch.setattr(Stage, "forward", unmasked)
    torch.testing.assert_close(torch.stack(model(tensors["in/features"], mask)), expected, **tolerance)


def test_a_released_file_of_another_size_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "release.model"
    torch.save({"stage1.input_proj.bias": torch.zeros(3), "other": torch.zeros(1)}, path)
    with pytest.raises(InputError) as caught:
        load_released(LTContext(F, C, SMALL), path)
    problems = {(p.column, str(p.value)) for p in caught.value.problems}
    assert {("other", "None"), ("stage1.input_proj.bias", "(3,)")} <= problems
    assert ("stages.1.layers.1.ltc_attn.attn.proj.1.bias", "no such parameter") in problems


@LINKS
@pytest.mark.parametrize("training", [False, True])
@torch.no_grad()
def test_padding_and_company_change_nothing(link: str, training: bool) -> None:
    model = segmenter(link=link).train(training)
    means = dict.fromkeys(model.losses(BATCH, draws_of(BATCH.mask_BT, 0)), torch.zeros(()))
    for i in range(len(LENGTHS)):
        alone = batch_of(i)
        found = model.losses(alone, draws_of(alone.mask_BT, i))
        means = {name: means[name] + loss / 3 for name, loss in found.items()}
    torch.testing.assert_close(model.losses(BATCH, draws_of(BATCH.mask_BT, 0)), means, rtol=0, atol=1e-5)


@pytest.mark.parametrize("frames", [1, 3, 8, 9, 13])
@torch.no_grad()
def test_any_length_gives_what_it_gives_padded(frames: int) -> None:
    model = LTContext(F, C, SMALL).eval()
    features, mask = torch.randn(2, F, 40), torch.arange(40) < torch.tensor([[40], [frames]])
    together = torch.stack(model(features, mask))[:, 1]
    alone = torch.stack(model(features[1:, :, :frames], mask[1:, :frames]))[:, 0]
    torch.testing.assert_close(together[:, :, :frames], alone, rtol=0, atol=1e-5)
    assert not together[:, :, frames:].any()


@LINKS
def test_gradients_reach_every_parameter(link: str) -> None:
    model = segmenter(STILL, link=link).train()
    torch.stack([*model.losses(BATCH, draws_of(BATCH.mask_BT, 0)).values()]).sum().backward()
    for name, parameter in model.named_parameters():
        # A key's bias adds the same to all that a frame compares, so no gradient but rounding reaches it.
        assert parameter.grad is not None and (parameter.grad.any() or "key.bias" in name), name


def test_windows_and_steps_see_what_they_name() -> None:
    """One layer without convolution over time: which frames a frame's output depends on."""
    config = LTContextNetworkConfig(stages=1, layers=1, width=8, kernel=1, window=4, long_term_step=5)
    model = LTContext(F, C, config).eval()
    features = torch.randn(1, F, 23, requires_grad=True)
    logits = model(features, torch.ones(1, 23, dtype=torch.bool))[0]
    (gradient,) = torch.autograd.grad(logits[0, :, 9].sum(), features)
    seen = set(gradient.abs().sum((0, 1)).nonzero()[:, 0].tolist())
    local = set(range(6, 14))  # 9 is in [8, 12); half a window on either side
    strided = {4, 9, 14, 19}
    through = set().union(*(range(t // 4 * 4 - 2, t // 4 * 4 + 6) for t in strided)) & set(range(23))
    assert local | strided <= seen <= local | strided | through and 0 not in seen and 1 not in seen


def test_no_attention_holds_a_weight_for_each_pair_of_frames() -> None:
    """In a process of its own, whose peak nothing else has set: T² / G weights would take 275 MiB."""
    code = """
import torch
from rhas.train.device import peak_bytes
from rhas.train.models.ltcontext.model import LongTermAttention
x_BDT = torch.randn(1, 64, 24000, requires_grad=True)
attention = LongTermAttention(64, 8, 0.0)
before = peak_bytes()
attention(x_BDT, None, torch.ones(1, 24000, dtype=torch.bool), None).square().sum().backward()
print((peak_bytes() - before) >> 20)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 200


def test_it_learns_videos_by_heart() -> None:
    torch.manual_seed(0)
    network = LTContextNetworkConfig(
        stages=3,
        layers=3,
        width=32,
        window=8,
        long_term_step=4,
        dropout=0,
        attention_dropout=0,
        channel_dropout=0,
    )
    model = LTContextSegmenter(
        F,
        C,
        LTContextConfig(network=network, stream="both", losses=LossConfig(cross_entropy=1, smoothing=0)),
    ).train()
    optimiser = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(150):
        loss = torch.stack([*model.losses(BATCH, draws_of(BATCH.mask_BT, 0)).values()]).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    scores = model.eval().predict(BATCH, draws_of(BATCH.mask_BT, 0))
    right_BT = ((scores > 0.5) == BATCH.labels_BCT.bool()).all(1)
    assert right_BT[BATCH.valid_BT].float().mean() >= 0.95


def test_defaults_are_the_papers_and_configs_are_checked() -> None:
    config = LTContextConfig()
    assert (config.losses.cross_entropy, config.losses.smoothing, config.network.stages) == (1, 0.17, 4)
    with pytest.raises(InputError) as caught:
        LTContextNetworkConfig(kernel=2, width=6, window=3, long_term_step=0)
    assert [p.column for p in caught.value.problems] == ["width", "kernel", "window", "long_term_step"]
    with pytest.raises(InputError, match=r"column boundary: got .*: expected one of stream, link"):
        model_config("ltcontext", {"boundary": {"weight": 0.1}})  # it has no such loss
    model = build_model("ltcontext", F, C, {"network": {"stages": 2}, "stream": "partial"})
    assert isinstance(model, LTContextSegmenter) and len(model.ltcontext.later) == 1
