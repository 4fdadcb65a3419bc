"""FACT as a segmenter: padding, gradients, several labels a frame, what counts for nothing, and what is refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from made_batches import BATCH, LENGTHS, C, F, batch_of
from seeded_generators import draws_of
from torch import Tensor

from rhas.manifests.common.errors import InputError
from rhas.manifests.tables.vocabulary import Vocabulary
from rhas.train.config import TrainConfig
from rhas.train.fitting.initialising import Source, initialise
from rhas.train.fitting.training import check_link
from rhas.train.models.fact.blocks import BlockOutput, CrossAttentions
from rhas.train.models.fact.config import (
    FACTConfig,
    FACTLossConfig,
    MatchingConfig,
    NetworkConfig,
    TimeMaskConfig,
)
from rhas.train.models.fact.matching import cost, matched
from rhas.train.models.fact.model import masked_in_time
from rhas.train.models.fact.scores import by_any
from rhas.train.models.fact.segmenter import FACTSegmenter
from rhas.train.models.fact.truth import truth_of
from rhas.train.runs.building import build_for

SMALL = NetworkConfig(
    tokens=6, width=16, frame_width=8, frame_layers=(2, 2), token_width=8, token_layers=2, heads=2, feedforward=8
)  # fmt: skip
STILL = SMALL.replace(dropout=0, channel_dropout=0)
LINKS = pytest.mark.parametrize("link", ["softmax", "sigmoid"])


def segmenter(network: NetworkConfig = SMALL, **changes: Any) -> FACTSegmenter:
    torch.manual_seed(0)
    config = FACTConfig(network=network, **{"time_mask": TimeMaskConfig(longest=6, share=0.5), **changes})
    return FACTSegmenter(F, C, config)


def total(model: FACTSegmenter, batch: Any = BATCH) -> Tensor:
    return torch.stack(list(model.losses(batch, draws_of(batch.mask_BT, 0)).values())).sum()


@LINKS
@torch.no_grad()
def test_padding_and_company_change_nothing(link: str) -> None:
    """Nor which draws a video gets, in training; and two equal calls are equal."""
    network = SMALL.replace(frame_positions=True) if link == "sigmoid" else SMALL.replace(frame_branch="m2")
    model = segmenter(network, link=link).train()
    means = dict.fromkeys(model.losses(BATCH, draws_of(BATCH.mask_BT, 0)), torch.zeros(()))
    for i in range(len(LENGTHS)):
        alone = batch_of(i)
        found = model.losses(alone, draws_of(alone.mask_BT, i))
        means = {name: means[name] + loss / 3 for name, loss in found.items()}
    torch.testing.assert_close(model.losses(BATCH, draws_of(BATCH.mask_BT, 0)), means, rtol=0, atol=1e-5)
    heads = model.eval().heads(BATCH, draws_of(BATCH.mask_BT, 0))
    assert list(heads) == ["frames", "tokens"]
    for name, scores_BCT in heads.items():
        assert scores_BCT.min() >= 0 and scores_BCT.max() <= 1
        assert torch.equal(scores_BCT, model.heads(BATCH, draws_of(BATCH.mask_BT, 5))[name])
        for i, frames in enumerate(LENGTHS):
            alone_CT = model.heads(batch_of(i), draws_of(batch_of(i).mask_BT, 0))[name][0]
            torch.testing.assert_close(scores_BCT[i, :, :frames], alone_CT, rtol=0, atol=1e-5)
            assert not scores_BCT[i, :, frames:].any()


@LINKS
def test_gradients_reach_every_parameter(link: str) -> None:
    model = segmenter(STILL.replace(blocks="iuUU"), link=link).train()
    with torch.no_grad():
        for parameter in model.parameters():  # biases begin as zeros, behind which nothing is felt
            parameter.add_(0.1 * torch.randn_like(parameter))
    total(model).backward()
    for name, parameter in model.named_parameters():
        # A key's bias adds the same to all that is compared. The first tokens are zeros, all alike.
        same = "key.bias" in name or name.startswith("fact.first.tokens.layers.0.self_attention.")
        assert parameter.grad is not None and (parameter.grad.any() or same), name


@LINKS
@pytest.mark.parametrize("nothing", ["counts", "is labelled"])
def test_where_nothing_is_to_be_learnt_nothing_breaks(link: str, nothing: str) -> None:
    none = torch.zeros_like(BATCH.valid_BT) if nothing == "counts" else BATCH.valid_BT
    batch = dataclasses.replace(BATCH, valid_BT=none, labels_BCT=torch.zeros_like(BATCH.labels_BCT))
    model = segmenter(STILL, link=link).train()
    loss = total(model, batch)
    loss.backward()
    assert (loss == 0) == (nothing == "counts")
    gradients = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    assert gradients.isfinite().all() and bool(gradients.any()) == (nothing != "counts")


def test_what_does_not_count_changes_no_loss() -> None:
    """What a model says of other frames may depend on its features, but nothing on its labels."""
    labels = torch.where(BATCH.valid_BT[:, None], BATCH.labels_BCT, 1 - BATCH.labels_BCT)
    model = segmenter(STILL)
    assert torch.equal(total(model, dataclasses.replace(BATCH, labels_BCT=labels)), total(model))


def overlapping() -> tuple[Tensor, Tensor]:
    """Labels [1, C, T] of runs that overlap, and which frames count [1, T]."""
    labels = torch.zeros(1, C, 20)
    labels[0, 0, 2:12], labels[0, 1, 8:18], labels[0, 0, 15:20] = 1, 1, 1
    counts = torch.ones(1, 20, dtype=torch.bool)
    counts[0, 5] = False
    return labels, counts


def test_segments_of_several_labels_share_their_frames() -> None:
    """Runs, soft IoU, cost and noisy-or by their definitions, a number at a time."""
    labels, counts = overlapping()
    (truth,) = truth_of(labels, counts, [20])
    bounds = list(
        zip(
            *(x.tolist() for x in (truth.runs.classes_S, truth.runs.starts_S, truth.runs.ends_S)), strict=True
        )
    )
    assert bounds == [(0, 2, 5), (0, 6, 12), (1, 8, 18), (0, 15, 20)]  # a run ends where frames don't count
    torch.manual_seed(0)
    tokens_MN, a2f_TM = torch.randn(3, C + 1), torch.randn(20, 3)
    output = BlockOutput(torch.zeros(20, C), tokens_MN, CrossAttentions(a2f_TM.T, a2f_TM))
    p_MN, attention_TM = tokens_MN.softmax(1), a2f_TM.softmax(1)
    expected = torch.zeros(3, 4)
    for m in range(3):
        for s, (c, start, end) in enumerate(bounds):
            shares = [
                float(start <= t < end) / max(1, sum(a <= t < b for _, a, b in bounds)) for t in range(20)
            ]
            pairs = [(float(attention_TM[t, m]), shares[t]) for t in range(20) if t != 5]
            iou = sum(min(pair) for pair in pairs) / sum(max(pair) for pair in pairs)
            expected[m, s] = -(0.2 * p_MN[m, c] + iou)
    torch.testing.assert_close(cost(output, truth, MatchingConfig()), expected)
    (pairs,) = matched([output], [truth], MatchingConfig())
    by_segment = dict(zip(pairs.segments_P.tolist(), pairs.tokens_P.tolist(), strict=True))
    assert by_segment.keys() == set(range(4)) and by_segment[2] not in [by_segment[s] for s in (0, 1, 3)]
    scores_TC = by_any(tokens_MN, attention_TM)
    for t in range(20):
        for c in range(C):
            without = np.prod([1 - float(attention_TM[t, m] * p_MN[m, c]) for m in range(3)])
            assert scores_TC[t, c].item() == pytest.approx(1 - without, abs=1e-6)


def training(*label_sets: Tensor) -> Any:
    """What `prepare` sees of a `SampleSet`: all frames count."""
    labels = [(own[0].T.bool().numpy(), np.ones(own.shape[2], bool)) for own in label_sets]
    return SimpleNamespace(vocabulary=Vocabulary(tuple("abcd"), ("c",)), labels=lambda: iter(labels))


def test_weights_of_null_and_background_come_from_the_training_split() -> None:
    """Null weighs M / ((M − S) C), as released: S are tokens that are taken, on average."""
    once, more = torch.zeros(1, C, 20), overlapping()[0]
    once[0, 3, 4:9] = 1
    for kind, taken in (("o2o", (1 + 3) / 2), ("o2m", (1 + 2) / 2)):
        losses = FACTLossConfig(background=0.5)
        model = segmenter(matching=MatchingConfig(kind=kind), losses=losses)  # type: ignore[arg-type]
        model.prepare(training(once, more))
        assert model.null_weight.item() == pytest.approx(6 / ((6 - taken) * C))
        assert model.class_weight_C.tolist() == [1, 1, 0.5, 1] and model.remarks == ()
    few = segmenter(
        SMALL.replace(tokens=2), matching=MatchingConfig(kind="o2o"), losses=FACTLossConfig(null=0.1)
    )
    few.prepare(training(once, more, more))
    assert few.null_weight.item() == pytest.approx(0.1)
    (said,) = few.remarks
    assert "2 of 3 samples to train on have more segments, up to 3, than the 2 tokens" in said
    assert said.endswith("2 of 7 go without one")
    total(few.train()).backward()  # a video has more segments than tokens: the others are matched
    with pytest.raises(InputError, match=r"settings\.network\.tokens: got 2: expected more than 2\.3"):
        segmenter(SMALL.replace(tokens=2), matching=MatchingConfig(kind="o2o")).prepare(
            training(once, more, more)
        )


def test_spans_of_time_are_masked() -> None:
    ones, lengths = torch.ones(50, 2), set()
    for seed in range(40):
        draws = draws_of(torch.ones(1, 50, dtype=torch.bool), seed)
        hidden_T = masked_in_time(ones, TimeMaskConfig(spans=1, longest=9, share=0.1), draws)[:, 0] == 0
        lengths.add(int(hidden_T.sum()))
        changes = (hidden_T[1:] != hidden_T[:-1]).sum()
        assert changes <= 2
    assert lengths == {0, 1, 2, 3, 4, 5}  # below 9, at most a tenth of the video
    assert masked_in_time(ones, TimeMaskConfig(spans=0), None) is ones


def test_it_learns_a_video_by_heart() -> None:
    """The frames, and the tokens that stand for its runs."""
    network = STILL.replace(
        tokens=12, width=32, frame_width=24, frame_layers=(3, 2), token_width=16, token_layers=1
    )
    model = segmenter(network, time_mask=TimeMaskConfig(spans=0), losses=FACTLossConfig(smoothing=0)).train()
    batch = batch_of(0)
    optimiser = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(80):
        optimiser.zero_grad()
        total(model, batch).backward()
        optimiser.step()
    heads = model.eval().heads(batch, draws_of(batch.mask_BT, 0))
    true_N, right = batch.labels_BCT.transpose(1, 2)[batch.valid_BT].bool(), {}
    for name, scores_BCT in heads.items():
        right[name] = ((scores_BCT.transpose(1, 2)[batch.valid_BT] > 0.3) == true_N).float().mean().item()
    assert right["frames"] >= 0.95 and right["tokens"] >= 0.85, right


def test_what_can_not_be_is_refused() -> None:
    with pytest.raises(InputError) as caught:
        NetworkConfig(blocks="uU", width=7, frame_layers=(0, 3))
    assert [p.column for p in caught.value.problems] == ["blocks", "width", "frame_layers"]
    with pytest.raises(InputError) as caught:
        NetworkConfig(width=64, heads=3, frame_branch="m2", frame_norm=True)
    assert [p.column for p in caught.value.problems] == ["token_width", "heads", "frame_norm"]
    with pytest.raises(InputError, match=r"settings\.network\.width: got 4: expected more than 5"):
        segmenter(SMALL.replace(width=4, token_width=4))
    model = segmenter()
    with pytest.raises(InputError, match="column compile: got True: expected false"):
        check_link(model, TrainConfig(model="fact", compile=True), None, Path())  # type: ignore[arg-type]


def test_weights_for_other_actions_are_no_beginning() -> None:
    """Every tensor has the same shape whatever the classes are, so nothing would tell that they are others."""
    config = TrainConfig(model="fact", settings={"network": SMALL.to_dict()})
    data = {"feature_size": F, "actions": ["walking", "running"]}
    model = build_for(config, data)
    state = {name: torch.ones_like(tensor) for name, tensor in model.state_dict().items()}

    def source(*actions: str) -> Source:
        return Source("given", Path("best.safetensors"), "", "fact", actions, 1, state)

    with pytest.raises(InputError, match="the same actions in the same order"):
        initialise(model, config, data, source("running", "walking"))
    record = initialise(model, config, data, source("walking", "running"))
    assert record["fresh"] == [] and model.null_weight.item() == 0.5 and (model.fact.query_MA == 1).all()
