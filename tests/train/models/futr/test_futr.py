"""FUTR: its layers against PyTorch's attention, what queries are to say and what is made of it, and what every model
is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from every_model import small_config, small_model
from made_batches import BATCH, LENGTHS, C, F, batch_of
from torch import Tensor, nn

from rhas.manifests.common.errors import InputError
from rhas.train.data.generators import Generators
from rhas.train.models.futr.future import future_of, told
from rhas.train.models.futr.model import FUTR, FUTRNetworkConfig
from rhas.train.models.futr.released import load_released
from rhas.train.models.futr.segmenter import FUTRConfig, FUTRSegmenter

NETWORK = FUTRNetworkConfig(width=8, heads=2, encoder_layers=2, decoder_layers=2, queries=5, positions=60)


def segmenter(**changes: Any) -> FUTRSegmenter:
    torch.manual_seed(0)
    return FUTRSegmenter(F, C, FUTRConfig(network=NETWORK, **changes))


class Reference(nn.Module):
    """The network as its paper and released code have it, of PyTorch's modules, under the released names."""

    def __init__(self) -> None:
        super().__init__()
        width, heads = NETWORK.width, NETWORK.heads
        self.input_embed = nn.Linear(F, width)
        self.query_embed = nn.Embedding(NETWORK.queries, width)
        self.fc_seg, self.fc, self.fc_len = nn.Linear(width, C), nn.Linear(width, C + 1), nn.Linear(width, 1)
        self.pos_embedding = nn.Parameter(torch.randn(1, NETWORK.positions, width))
        self.transformer = nn.Module()
        self.transformer.encoder, self.transformer.decoder = nn.Module(), nn.Module()
        self.transformer.encoder.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(width, heads, 4 * width, batch_first=True) for _ in range(2)
        )
        self.transformer.decoder.layers = nn.ModuleList(
            nn.TransformerDecoderLayer(width, heads, 4 * width, batch_first=True) for _ in range(2)
        )
        self.transformer.decoder.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, unseen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, position = self.input_embed(x.transpose(1, 2)).relu(), self.pos_embedding[:, : x.shape[2]]
        for layer in self.transformer.encoder.layers:
            placed = x + position
            x = layer.norm1(x + layer.self_attn(placed, placed, placed, key_padding_mask=unseen)[0])
            x = layer.norm2(x + layer.linear2(layer.linear1(x).relu()))
        query = self.query_embed.weight[None].expand(len(x), -1, -1)
        y, placed = torch.zeros_like(query), x + position
        for layer in self.transformer.decoder.layers:
            own = y + query
            y = layer.norm1(y + layer.self_attn(own, own, own)[0])
            y = layer.norm2(y + layer.multihead_attn(y + query, placed, placed, key_padding_mask=unseen)[0])
            y = layer.norm3(y + layer.linear2(layer.linear1(y).relu()))
        y = self.transformer.decoder.norm(y)
        return self.fc_seg(x).transpose(1, 2), self.fc(y), self.fc_len(y)[:, :, 0]


def test_weights_under_released_names_give_what_pytorchs_modules_give(tmp_path: Path) -> None:
    torch.manual_seed(1)
    theirs = Reference().eval()
    for parameter in theirs.parameters():
        nn.init.normal_(parameter, std=0.5)
    state = {f"module.{name}": x for name, x in theirs.state_dict().items()}
    state["module.pos_enc.pos_table"] = torch.zeros(1, 5, 8)  # a table that nothing uses
    torch.save(state, tmp_path / "release.ckpt")
    ours = FUTR(F, C, NETWORK).eval()
    assert load_released(ours, tmp_path / "release.ckpt") == ["pos_enc.pos_table"]
    with torch.no_grad():
        expected = theirs(BATCH.holistic_BFT, ~BATCH.mask_BT)
        found = ours(BATCH.holistic_BFT, BATCH.mask_BT)
    real = BATCH.mask_BT[:, None]
    torch.testing.assert_close(found.frames_BCT * real, expected[0] * real, rtol=0, atol=1e-5)
    torch.testing.assert_close(found.actions_BMN, expected[1], rtol=0, atol=1e-5)
    torch.testing.assert_close(found.durations_BM, expected[2], rtol=0, atol=1e-5)
    del state["module.fc_len.bias"]
    state["module.transformer.encoder.layers.0.self_attn.in_proj_bias"] = torch.zeros(25)
    torch.save(state, tmp_path / "other.ckpt")
    with pytest.raises(InputError, match=r"in_proj_bias: got \(25,\): expected three matrices in one"):
        load_released(ours, tmp_path / "other.ckpt")


def test_what_queries_are_to_say() -> None:
    """Of 12 frames the first 2 are seen; 3 don't count, and 10 and 11 lie behind what is told."""
    labels = torch.zeros(2, 3, 12)
    labels[0, 0, :4], labels[0, 1, 4:6], labels[0, 2, 6:] = 1, 1, 1
    labels[1, 0], labels[1, 1, 5:] = 1, 1
    valid = torch.ones(2, 12, dtype=torch.bool)
    valid[0, 3] = valid[1, 5:7] = False
    future = future_of(labels, valid, torch.tensor([2, 2]), torch.tensor([10, 12]), 4)
    assert future.runs_B.tolist() == [3, 2]
    assert future.labels_BCM[0].T.tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0]]
    assert future.labels_BCM[1].T.tolist() == [[1, 0, 0], [1, 1, 0], [0, 0, 0], [0, 0, 0]]
    torch.testing.assert_close(
        future.shares_BM, torch.tensor([[1 / 7, 2 / 7, 4 / 7, 0], [3 / 8, 5 / 8, 0, 0]])
    )
    few = future_of(labels, valid, torch.tensor([2, 2]), torch.tensor([10, 12]), 2)
    assert few.runs_B.tolist() == [3, 2] and few.labels_BCM[0].T.tolist() == [[1, 0, 0], [0, 1, 0]]
    nothing = future_of(labels, valid, torch.tensor([12, 12]), torch.tensor([12, 12]), 2)
    assert nothing.runs_B.tolist() == [0, 0] and not nothing.labels_BCM.any() and not nothing.shares_BM.any()


def test_what_is_said_of_each_frame() -> None:
    """Two actions, the first for three quarters of 8 frames, then none, whose later queries count for nothing."""
    actions = torch.full((1, 4, 3), -9.0)
    actions[0, 0, 1] = actions[0, 1, 0] = actions[0, 2, 2] = actions[0, 3, 1] = 9
    durations = torch.tensor([[3.0, 1.0, 50.0, 50.0]]).log()
    arguments = torch.tensor([4]), torch.tensor([12]), 16
    for link in ("softmax", "sigmoid"):
        scores = told(actions, durations, link, *arguments)  # type: ignore[arg-type]
        assert scores[0].argmax(0).tolist() == [1] * 10 + [0] * 6 and scores.max() > 0.99
    actions[0, 0] = torch.tensor([-9.0, -8.0, 9.0])  # the first one says something in any case
    assert told(actions, durations, "softmax", *arguments)[0].argmax(0).tolist() == [1] * 10 + [0] * 6


def test_the_future_is_its_own_answer() -> None:
    """What queries are to say, said, is the labels."""
    labels = torch.zeros(1, 3, 20)
    labels[0, 0, :6], labels[0, 2, 6:13], labels[0, 1, 13:] = 1, 1, 1
    seen, until = torch.tensor([4]), torch.tensor([20])
    future = future_of(labels, torch.ones(1, 20, dtype=torch.bool), seen, until, 5)
    none = (torch.arange(5) >= future.runs_B)[None, :, None].float()
    actions = 20 * torch.cat([future.labels_BCM.transpose(1, 2), none], 2) - 10
    scores = told(actions, future.shares_BM.log(), "softmax", seen, until, 20)
    assert torch.equal(scores.argmax(1)[:, 4:], labels.argmax(1)[:, 4:])


@pytest.mark.parametrize("link", ["sigmoid", "softmax"])
@torch.no_grad()
def test_padding_and_company_change_nothing(link: str) -> None:
    model = segmenter(link=link).train()
    together = model.losses(BATCH, BATCH.generators("cpu", 0))
    means = dict.fromkeys(together, torch.zeros(()))
    for i in range(len(LENGTHS)):
        alone = batch_of(i)
        found = model.losses(alone, alone.generators("cpu", 0))
        means = {name: means[name] + loss / len(LENGTHS) for name, loss in found.items()}
    torch.testing.assert_close(together, means, rtol=0, atol=1e-5)
    model.eval()
    frames = [length + 7 * b for b, length in enumerate(LENGTHS)]
    ahead = model.anticipate(BATCH, frames, Generators(frames, BATCH.generators("cpu", 0).each))
    scores = model.predict(BATCH, BATCH.generators("cpu", 0))
    assert ahead.shape == (3, C, max(frames)) and ahead.min() >= 0 and ahead.max() <= 1
    for b, count in enumerate(frames):
        alone = batch_of(b)
        own = model.anticipate(alone, [count], Generators([count], alone.generators("cpu", 0).each))
        torch.testing.assert_close(ahead[b : b + 1, :, :count], own, rtol=0, atol=1e-5)
        assert not ahead[b, :, count:].any()
        torch.testing.assert_close(scores[b, :, : LENGTHS[b]], ahead[b, :, : LENGTHS[b]], rtol=0, atol=1e-5)


@pytest.mark.parametrize("case", ["futr", "futr-50salads"])
def test_gradients_reach_every_parameter_and_two_calls_give_the_same(case: str) -> None:
    model = small_model(small_config(case)).train()
    gradients = []
    for _ in range(2):
        model.zero_grad()
        for step in range(3):  # so that a part and the whole are seen
            torch.stack([*model.losses(BATCH, BATCH.generators("cpu", step)).values()]).sum().backward()
        gradients.append({name: p.grad for name, p in model.named_parameters()})
    for name, gradient in gradients[0].items():
        assert gradient is not None and torch.equal(gradient, gradients[1][name]), name
        # A key's bias adds the same to all that a frame compares, so no gradient but rounding reaches it.
        assert gradient.any() or name.endswith("key.bias"), name


@torch.no_grad()
def test_what_was_not_seen_says_nothing() -> None:
    """Of a video seen up to .3, features behind that change no loss."""
    model = segmenter(observed=(0.3,)).eval()
    one = model.losses(batch_of(0), batch_of(0).generators("cpu", 0))
    changed = batch_of(0)
    changed.holistic_BFT[:, :, 12:] += 9
    assert model.losses(changed, changed.generators("cpu", 0)) == one
    changed.holistic_BFT[:, :, 11] += 9
    assert model.losses(changed, changed.generators("cpu", 0)) != one


def test_more_frames_than_positions_are_refused() -> None:
    with pytest.raises(InputError, match=r"settings\.network\.positions: got 60: expected at least 61"):
        segmenter().futr(torch.zeros(1, F, 61), None)


def test_it_learns_what_comes_next() -> None:
    """Two kinds of videos, told by their first frames, go on with other actions for other times."""
    torch.manual_seed(0)
    network = NETWORK.replace(encoder_layers=1, decoder_layers=1, dropout=0.0)
    model = FUTRSegmenter(F, C, FUTRConfig(network=network, link="softmax", observed=(0.25, 0.5))).train()
    batch = batch_of(0, 0)
    batch.holistic_BFT[:] = torch.tensor([-1.0, 1.0])[:, None, None]
    batch.has_holistic_BT[:], batch.valid_BT[:], batch.labels_BCT[:] = True, True, 0
    batch.labels_BCT[0, 0, :10] = batch.labels_BCT[1, 1, :10] = 1
    batch.labels_BCT[0, 2, 10:25] = batch.labels_BCT[0, 3, 25:] = batch.labels_BCT[1, 3, 10:] = 1
    optimiser = torch.optim.Adam(model.parameters(), 0.01)
    for step in range(150):
        optimiser.zero_grad()
        generators = batch.generators("cpu", step)
        torch.stack([*model.losses(batch, generators).values()]).sum().backward()
        optimiser.step()
    model.eval()
    seen = batch.first(10)
    found = model.anticipate(seen, [40, 40], Generators([40, 40], seen.generators("cpu", 0).each))
    right = (found.argmax(1) == batch.labels_BCT.argmax(1)).float()
    assert right[:, :28].mean() > 0.9  # half of the video behind what was seen
