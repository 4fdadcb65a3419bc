"""RefAtomNet as a segmenter: padding, gradients, what each switch leaves out, and what it has to have."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from every_model import small_config, small_model
from made_batches import BATCH, LENGTHS, C, D, batch_of
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from rhas.manifests.common.errors import InputError
from rhas.train.data import Batch
from rhas.train.data.boxes import box_channels, corners
from rhas.train.models.refatomnet.agents import weighed
from rhas.train.models.refatomnet.config import NetworkConfig, RefAtomNetConfig
from rhas.train.models.refatomnet.segmenter import RefAtomNetSegmenter

SWITCHES: list[dict[str, Any]] = [
    {}, {"agent_attention": False}, {"attention_fusion": False}, {"token_fusion": False}, {"location": False},
    {"sentence": False}, {"sentence": False, "location": False}, {"released": True},
]  # fmt: skip
CASES = pytest.mark.parametrize("switches", SWITCHES, ids=str)


def segmenter(boxes: bool = False, tokens: int = 2, **network: Any) -> RefAtomNetSegmenter:
    torch.manual_seed(0)
    config = RefAtomNetConfig(
        tokens=tokens, boxes=boxes, chunk=50, network=NetworkConfig(agents=2, head=(8, 6), **network)
    )
    return RefAtomNetSegmenter(tokens * D + 6 * (boxes and config.network.location), C, config)


def boxed(batch: Batch) -> Batch:
    """With boxes in frames that have a person."""
    generator = torch.Generator().manual_seed(1)
    B, T = batch.mask_BT.shape
    low_BT2, size_BT2 = 0.5 * torch.rand(2, B, T, 2, generator=generator)
    box_BT4, sure_BT = torch.cat([low_BT2, low_BT2 + size_BT2], -1), torch.rand(B, T, generator=generator)
    channels = [
        box_channels(box_BT4[b].numpy(), sure_BT[b].numpy(), batch.has_partial_BT[b].numpy())
        for b in range(B)
    ]
    rows_B6T = torch.stack(channels).transpose(1, 2)
    streams = {
        name: torch.cat([getattr(batch, name), rows_B6T], 1) for name in ("holistic_BFT", "partial_BFT")
    }
    return dataclasses.replace(batch, **streams)


def total(model: RefAtomNetSegmenter, batch: Batch) -> Tensor:
    return torch.stack([*model.losses(batch, batch.generators("cpu", 0)).values()]).sum()


@CASES
@torch.no_grad()
def test_padding_and_company_change_nothing(switches: dict[str, Any]) -> None:
    model = segmenter(**switches)
    together = total(model.train(), BATCH)  # dropout is on
    scores = model.eval().predict(BATCH, BATCH.generators("cpu", 1))
    alone = []
    for i, length in enumerate(LENGTHS):
        batch = batch_of(i)
        alone.append(total(model.train(), batch))
        own = model.eval().predict(batch, batch.generators("cpu", 1))[0]
        torch.testing.assert_close(scores[i, :, :length], own, rtol=0, atol=1e-5)
        assert not scores[i, :, length:].any()
    torch.testing.assert_close(together, torch.stack(alone).mean(), rtol=0, atol=1e-5)


@CASES
@pytest.mark.parametrize("boxes", [True, False])
def test_gradients_reach_every_parameter_and_two_calls_give_the_same(
    switches: dict[str, Any], boxes: bool
) -> None:
    if boxes and switches.get("location") is False:
        pytest.skip("there are no boxes without places")
    model = segmenter(boxes, **switches)
    batch = boxed(BATCH) if boxes else BATCH
    gradients = []
    for _ in range(2):
        model.zero_grad()
        total(model.train(), batch).backward()
        gradients.append({name: p.grad for name, p in model.named_parameters()})
    for name, gradient in gradients[0].items():
        # As in the released code, where places enter the sum before their block: what its agents are is all it says.
        behind = any(f"location.{part}" in name for part in ("out", "mlp", "norm_out"))
        if switches.get("released") and behind:
            assert gradient is None, name
            continue
        assert gradient is not None and torch.equal(gradient, gradients[1][name]), name
        assert gradient.any(), name


def test_a_step_is_linear_in_the_frames() -> None:
    """By the products of its forward and backward pass."""
    model, batch = segmenter(), batch_of(0)

    def flops(frames: int) -> int:
        longer = batch.taken([torch.arange(frames) % 40])
        with FlopCounterMode(display=False) as counter:
            total(model, longer).backward()
        return counter.get_total_flops()

    once, twice = flops(256), flops(512)
    assert once < twice <= 2.0 * once


@torch.no_grad()
def test_chunks_are_a_matter_of_memory() -> None:
    model = segmenter().eval()
    expected = model.predict(BATCH, BATCH.generators("cpu", 0))
    for chunk in (1, 7, 1000):
        model.config = model.config.replace(chunk=chunk)
        torch.testing.assert_close(model.predict(BATCH, BATCH.generators("cpu", 0)), expected)


@torch.no_grad()
def test_each_stream_says_something_and_a_switch_silences_it() -> None:
    changed: dict[str, dict[str, Any]] = {
        "sentence": {"sentence_BD": BATCH.sentence_BD + 1},  # type: ignore[operator]
        "location": {"partial_BFT": BATCH.partial_BFT.flip(0) + 1},
    }
    for stream, other in changed.items():
        batch = dataclasses.replace(BATCH, **other)
        for there in (True, False):
            model = segmenter(**{stream: there}).eval()
            one, two = (model.predict(b, b.generators("cpu", 0)) for b in (BATCH, batch))
            assert torch.equal(one, two) is not there
    # Nobody found: what stands in the rows of the person says nothing.
    model, nobody = segmenter().eval(), torch.zeros_like(BATCH.has_partial_BT)
    one, two = (
        model.predict(dataclasses.replace(b, has_partial_BT=nobody), b.generators("cpu", 0))
        for b in (BATCH, dataclasses.replace(BATCH, **changed["location"]))
    )
    assert torch.equal(one, two)


def test_what_weighs_is_what_the_formula_says() -> None:
    own, others = torch.tensor([[[3.0, 6.0], [9.0, 12.0]]]), torch.tensor([[[0.0, 0.0], [0.0, 2.0]]])
    e = float(torch.tensor(2.0).exp())
    along = torch.tensor([[0.5, 0.5], [1 / (1 + e), e / (1 + e)]])
    across = torch.tensor([[0.5, 1 / (1 + e)], [0.5, e / (1 + e)]])
    torch.testing.assert_close(weighed(own, others, False)[0], own[0] * (1 + along + across) / 3)
    torch.testing.assert_close(weighed(own, others, True)[0], own[0] * (2 + along) / 3)


def test_corners_are_what_boxes_were() -> None:
    box_T4 = torch.tensor([[0.1, 0.2, 0.4, 0.9], [0.0, 0.5, 1.0, 0.75], [0.3, 0.3, 0.6, 0.6]])
    there_T = torch.tensor([True, True, False])
    channels_T6 = box_channels(box_T4.numpy(), torch.rand(3).numpy(), there_T.numpy())
    torch.testing.assert_close(corners(channels_T6.T[None])[0].T, box_T4 * there_T[:, None])


def test_sizes_that_are_no_tokens_are_refused() -> None:
    for tokens, size in ((None, 12), (5, 12), (32, 12)):
        with pytest.raises(InputError, match=r"settings\.tokens: got .* expected how many query tokens"):
            RefAtomNetSegmenter(size, C, RefAtomNetConfig(tokens=tokens, boxes=False))
    with pytest.raises(InputError, match="the released code has agents and places"):
        NetworkConfig(released=True, location=False)


def test_it_learns_frames_by_heart() -> None:
    """Of noise, with as many frames as a step has."""
    config = small_config("refatomnet", settings={"tokens": 2, "boxes": False, "network": {"dropout": 0.0}})
    model = small_model(config).train()
    optimiser = torch.optim.Adam(model.parameters(), 0.003)
    for _ in range(400):
        optimiser.zero_grad()
        total(model, BATCH).backward()  # type: ignore[arg-type]
        optimiser.step()
    found = model.eval().predict(BATCH, BATCH.generators("cpu", 0)) > 0.5
    counts_BT = BATCH.valid_BT & BATCH.has_holistic_BT
    right = (found == BATCH.labels_BCT.bool()).all(1)[counts_BT].float().mean()
    assert right > 0.98
