"""FACT gives the numbers of its authors' released code: outputs, cuts, matches, losses, gradients, predictions."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch
from seeded_generators import draws_of
from torch import Tensor
from torch.nn import functional as F

from rhas.train.data import Batch
from rhas.train.metrics import ReadOut
from rhas.train.models.fact import segmenter
from rhas.train.models.fact.attention import sinusoids
from rhas.train.models.fact.blocks import BlockOutput, CrossAttentions
from rhas.train.models.fact.config import MatchingConfig
from rhas.train.models.fact.cuts import cut
from rhas.train.models.fact.losses import Target, block_losses, target_of
from rhas.train.models.fact.matching import Pairs, cost, matched, overlap
from rhas.train.models.fact.released import released_name
from rhas.train.models.fact.scores import scores_of
from rhas.train.models.fact.segmenter import FACTSegmenter
from rhas.train.models.fact.truth import Truth, truth_of
from rhas.train.models.losses import smoothing_loss

Golden = Callable[[str], tuple[dict[str, Tensor], dict[str, Any]]]
Released = Callable[[str], tuple[FACTSegmenter, dict[str, Tensor], Batch]]
# Of a block: golden names, and ours.
LOSSES = {
    "frame": "frames_cross_entropy", "segment": "segments_cross_entropy", "token": "tokens_cross_entropy",
    "f2a": "f2a_attention", "a2f": "a2f_attention",
}  # fmt: skip
SMOOTH = {"frames": "frames_smoothing", "f2a": "f2a_smoothing", "a2f": "a2f_smoothing"}


def same(ours: Tensor, theirs: Tensor) -> None:
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4 * theirs.abs().max().item())


def read(output: BlockOutput, frames_count: float) -> Tensor:
    """The authors' inference is a read-out of ours: both scores by the shares of their `mwt`, the best class."""
    heads = {name: scores.detach().numpy() for name, scores in scores_of(output, "softmax").items()}
    readout = ReadOut(None, ("tokens", "frames"), shares=(1 - frames_count, frames_count))
    return torch.from_numpy(readout.scores(heads).argmax(1))


def pairs_of(tensors: dict[str, Tensor], where: str) -> list[tuple[int, int]]:
    return sorted(
        zip(*(tensors[f"{where}/match_{side}"].tolist() for side in ("tokens", "segments")), strict=True)
    )


def in_order(pairs: Pairs) -> list[tuple[int, int]]:
    return sorted(zip(*(side.tolist() for side in pairs), strict=True))


@pytest.mark.parametrize("name", ["fact_o2o", "fact_o2m"])
def test_blocks_matches_and_predictions(name: str, released: Released, golden: Golden) -> None:
    model, tensors, batch = released(name)
    truths = truth_of(batch.labels_BCT, batch.valid_BT, batch.lengths_B.tolist())
    for video, truth in enumerate(truths):
        where = f"out/video{video}"
        outputs = model.fact(tensors[f"in/video{video}/features"])
        for number, output in enumerate(outputs):
            block = {k.removeprefix(f"{where}/block{number}/"): x for k, x in tensors.items()}
            same(output.frames_TC, block["frame_logits"])
            same(output.tokens_MN, block["action_logits"])
            if (attentions := output.attentions) is None:
                assert "a2f_logits" not in block
                continue
            same(attentions.a2f_XM, block["a2f_logits"])
            same(attentions.f2a_MX, block["f2a_logits"])
            same(attentions.attention_TM, block["a2f_attention"])
            if (cuts := attentions.cuts) is not None and attentions.segments_SC is not None:
                assert torch.equal(cuts.of_frame_T.bincount(), block["segment_lengths"])
                same(attentions.segments_SC, block["segment_logits"])
        same(cost(outputs[-1], truth, model.config.matching), tensors[f"{where}/cost"])
        (pairs,) = matched(outputs[-1:], [truth], model.config.matching)
        assert in_order(pairs) == pairs_of(tensors, where)
        mwt = golden(f"{name}.safetensors")[1]["config"]["FACT"]["mwt"]
        assert torch.equal(read(outputs[-1], mwt), tensors[f"{where}/prediction"])


def columns_of(tensors: dict[str, Tensor]) -> list[Pairs]:
    """The pairs of each video, in the order of the released code."""
    sides = ("tokens", "segments")
    return [Pairs(*(tensors[f"out/video{v}/match_{side}"].numpy() for side in sides)) for v in (0, 1)]


@pytest.mark.parametrize("name", ["fact_o2o", "fact_o2m"])
def test_losses_of_blocks(name: str, released: Released) -> None:
    """With the mended weights of segments, where background weighs less than other classes."""
    model, tensors, batch = released(name)
    weight_N = torch.cat([model.class_weight_C, model.null_weight[None]])
    for video, length in enumerate(batch.lengths_B.tolist()):
        y_CT, where = batch.labels_BCT[video, :, :length], f"video{video}/block"
        (truth,) = truth_of(y_CT[None], batch.valid_BT[video : video + 1, :length], [length])
        target = target_of(y_CT, truth, columns_of(tensors)[video], 9, weight_N)
        for number, output in enumerate(model.fact(tensors[f"in/video{video}/features"])):
            found = block_losses(output, target, "softmax", "sum")
            if "segments_cross_entropy" in found:  # of which theirs take the mean later
                found["frames_cross_entropy"] *= 2
                found["segments_cross_entropy"] *= 2
            names = {f"loss_{theirs}": ours for theirs, ours in LOSSES.items()}
            names |= {f"smooth_{theirs}": ours for theirs, ours in SMOOTH.items()}
            for theirs, ours in names.items():
                key = f"{where}{number}/{theirs}"
                expected = tensors.get(f"mended/{key}", tensors.get(f"out/{key}"))
                assert (expected is None) == (ours not in found)
                if expected is not None:
                    assert found[ours].item() == pytest.approx(expected.item(), rel=1e-4), key


@pytest.mark.parametrize("name", ["fact_o2o", "fact_o2m"])
def test_loss_and_gradients_of_a_batch(
    name: str, released: Released, golden: Golden, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its first video is padded. The released code gives pairs the weights of other segments, so that is done here."""
    model, tensors, batch = released(name)
    weight_N = torch.cat([model.class_weight_C, model.null_weight[None]])
    columns = dict(zip(batch.lengths_B.tolist(), columns_of(tensors), strict=True))

    def as_released(y_CT: Tensor, truth: Truth, pairs: Pairs, *others: Any) -> Target:
        own = columns[len(truth.counts_T)]
        assert in_order(pairs) == in_order(own)
        target = target_of(y_CT, truth, own, *others)
        return dataclasses.replace(target, weight_P=weight_N[torch.from_numpy(truth.runs.classes_S)])

    monkeypatch.setattr(segmenter, "target_of", as_released)
    total = torch.stack(list(model.losses(batch, draws_of(batch.mask_BT, 0)).values())).sum()
    assert total.item() == pytest.approx(tensors["out/loss"].item(), rel=1e-5)
    total.backward()
    squares: dict[str, float] = {}
    for ours, parameter in model.fact.named_parameters():
        theirs = released_name(ours, model.config.network.frame_branch)
        for part in ("q_proj_", "k_proj_", "v_proj_"):  # one tensor there, if they are of one size
            joined = theirs.replace(part, "in_proj_")
            theirs = joined if f"param/{joined}" in tensors else theirs
        assert parameter.grad is not None
        squares[theirs] = squares.get(theirs, 0.0) + parameter.grad.square().sum().item()
    names = golden(f"{name}.safetensors")[1]["grad_norm_parameters"]
    assert sorted(names) == sorted(squares)
    same(torch.tensor([squares[theirs] ** 0.5 for theirs in names]), tensors["out/grad_norms"])


def parts(tensors: dict[str, Tensor], case: str, null: float | None = None) -> BlockOutput:
    """The inputs of a case; with another logit of null, if that is asked for."""
    frames, tokens, a2f = (tensors[f"in/{case}/{n}_logits"] for n in ("frame", "token", "a2f"))
    if null is not None:
        tokens = torch.cat([tokens[:, :-1], torch.full_like(tokens[:, -1:], null)], 1)
    return BlockOutput(frames, tokens, CrossAttentions(a2f.T, a2f))


def test_matching_losses_and_inference_of_made_numbers(golden: Golden) -> None:
    """More tokens than segments and fewer, repeats, one segment; some, all and none of the tokens null."""
    tensors, meta = golden("fact_parts.safetensors")
    for case, given in meta["cases"].items():
        where, output = f"out/{case}", parts(tensors, case)
        y_1CT = F.one_hot(tensors[f"in/{case}/labels"], given["classes"]).T[None].float()
        (truth,) = truth_of(y_1CT, torch.ones_like(y_1CT[:, 0], dtype=torch.bool), [y_1CT.shape[2]])
        assert truth.runs.classes_S.tolist() == tensors[f"{where}/transcript"].tolist()
        assert torch.equal(truth.on_TS.argmax(1), tensors[f"{where}/segment_of_frame"])
        assert output.attentions is not None
        same(overlap(output.attentions.attention_TM, truth), tensors[f"{where}/soft_iou"])
        config = MatchingConfig(kind=given["match"], classes=given["pc"], overlap=given["a2fc"])
        (pairs,) = matched([output], [truth], config)
        assert in_order(pairs) == pairs_of(tensors, where)
        target = target_of(y_1CT[0], truth, pairs, len(output.tokens_MN), tensors[f"{where}/class_weight"])
        found = block_losses(output, target, "softmax", "sum")
        # The released attention losses stop at more segments than tokens, and have weights of other segments in o2m.
        with_attention = f"{where}/loss_a2f" in tensors and (
            given["match"] == "o2o" or case == "o2m_few_actions"
        )
        for theirs in ("frame", "token", *(("f2a", "a2f") if with_attention else ())):
            assert found[LOSSES[theirs]].item() == pytest.approx(
                tensors[f"{where}/loss_{theirs}"].item(), rel=1e-5
            )
        for mwt in (0.1, 0.5, 0.9):
            assert torch.equal(read(output, mwt), tensors[f"{where}/prediction_{mwt}"])
        assert torch.equal(read(parts(tensors, case, 100), 0.1), tensors[f"{where}/prediction_all_null"])
        assert torch.equal(read(parts(tensors, case, -100), 0.1), tensors[f"{where}/prediction_no_null"])


def test_cuts_positions_and_smoothness(golden: Golden) -> None:
    tensors, _ = golden("fact_parts.safetensors")
    cuts = cut(F.one_hot(tensors["in/pool/prediction"]).float())
    assert torch.equal(cuts.middles(), tensors["out/pool/centres"])
    same(cuts.means(tensors["in/pool/features"]), tensors["out/pool/segments"])
    same(cuts.on_frames(tensors["out/pool/segments"]), tensors["out/pool/frames"])
    same(sinusoids(15, 8, "cpu"), tensors["out/positions"])
    logits_1CT = tensors["in/smooth/logits"].T[None]
    mask_1T = torch.ones_like(logits_1CT[:, 0], dtype=torch.bool)
    same(smoothing_loss(logits_1CT, mask_1T, "softmax", both=True)[0], tensors["out/smooth/loss"])
