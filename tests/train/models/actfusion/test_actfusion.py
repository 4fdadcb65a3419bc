"""ActFusion: parity with the authors' released code, masks, padding, and what masked frames can't say."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from made_batches import BATCH, LENGTHS, C, F, batch_of
from seeded_generators import draws_of, seeded
from torch import Tensor

from rhas.manifests.common.errors import InputError
from rhas.train.data.generators import Generators
from rhas.train.models.actdiff.config import ActDiffConfig, DecoderConfig, EncoderConfig
from rhas.train.models.actfusion.masks import InputMaskConfig, draw_input_mask
from rhas.train.models.actfusion.model import ActFusion
from rhas.train.models.actfusion.released import load_released
from rhas.train.models.actfusion.segmenter import ActFusionConfig, ActFusionSegmenter
from rhas.train.models.diffusion.labels import DiffusionConfig
from rhas.train.models.registry import model_config

Golden = Callable[[str], tuple[dict[str, Tensor], dict[str, Any]]]
TABLE = "rel_pos_emb.weight[9000:10101]"


def segmenter(kinds: tuple[str, ...] | None = None) -> ActFusionSegmenter:
    torch.manual_seed(0)
    masks = InputMaskConfig(clip=4, clips=2)
    config = ActFusionConfig(
        encoder=EncoderConfig(layers=4, width=8, kernel=5, condition_layers=(1, 3), position_bias=True),
        decoder=DecoderConfig(layers=3, width=6, time_width=16, position_bias=True),
        diffusion=DiffusionConfig(sampling_steps=3),
        input_masks=masks.replace(kinds=kinds) if kinds else masks,  # type: ignore[arg-type]
    )
    model = ActFusionSegmenter(F, C, config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "position_bias" in name or "absent" in name:
                parameter.normal_()
    return model


@pytest.fixture(scope="module")
def released(golden: Golden, tmp_path_factory: pytest.TempPathFactory) -> tuple[ActFusion, dict[str, Tensor]]:
    """Our model with the released parameters, which go through a checkpoint file, and the golden tensors."""
    tensors, meta = golden("actfusion_eval.safetensors")
    encoder, decoder, diffusion = meta["encoder"], meta["decoder"], meta["diffusion"]
    config = ActDiffConfig(
        encoder=EncoderConfig(
            layers=encoder["num_layers"], width=encoder["num_f_maps"], kernel=encoder["kernel_size"],
            condition_layers=tuple(encoder["feature_layer_indices"]), position_bias=True,
        ),
        decoder=DecoderConfig(
            layers=decoder["num_layers"], width=decoder["num_f_maps"], kernel=decoder["kernel_size"],
            time_width=decoder["time_emb_dim"], position_bias=True,
        ),
        link="softmax",
        diffusion=DiffusionConfig(
            steps=diffusion["timesteps"], scale=diffusion["snr_scale"],
            sampling_steps=diffusion["sampling_timesteps"], eta=diffusion["ddim_sampling_eta"],
        ),
    )  # fmt: skip
    state = {k.removeprefix("param/"): x for k, x in tensors.items() if k.startswith("param/")}
    for name in [name for name in state if name.endswith(TABLE)]:
        table = torch.zeros(20_000, 1)
        table[9000:10101] = state.pop(name)
        state[name.replace(TABLE, "rel_pos_emb.weight")] = table
    path: Path = tmp_path_factory.mktemp("released") / "release.model"
    torch.save(state, path)
    model = ActFusion(encoder["input_dim"], meta["num_classes"], config)
    load_released(model, path)
    return model.eval(), tensors


def same(ours: Tensor, theirs: Tensor) -> None:
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4 * theirs.abs().max().item())


def everything(x: Tensor) -> Tensor:
    return torch.ones(x.shape[0], x.shape[2], dtype=torch.bool)


def test_parity_of_encoder_and_decoder(released: tuple[ActFusion, dict[str, Tensor]]) -> None:
    model, given = released
    x = given["in/features"]
    logits, condition = model.encoder(x, everything(x))
    same(logits, given["out/encoder_logits"])
    same(condition, given["out/encoder_features"])
    projected = model.decoder.project(condition)
    decoded = model.decoder(given["in/noisy_labels"], given["in/t"], projected, everything(x))
    same(decoded, given["out/decoder_logits"])


def test_parity_of_segmentation_and_anticipation(released: tuple[ActFusion, dict[str, Tensor]]) -> None:
    model, given = released
    x, start = given["in/features"], given["in/ddim_start_noise"]
    mask, generators = everything(x), draws_of(everything(x), 0)
    same(model.sample(x, mask, generators, start), given["out/tas_probabilities"])
    seen = torch.arange(x.shape[2])[None] < given["in/observed_frames"]
    same(model.anticipate(x, seen, mask, generators, start), given["out/lta_probabilities"])


def test_a_table_that_is_too_short_is_refused(tmp_path: Path) -> None:
    model = segmenter().actfusion
    path = tmp_path / "release.model"
    torch.save({"encoder.encoder.layers.0.rel_pos_emb.weight": torch.zeros(500, 1)}, path)
    with pytest.raises(
        InputError, match=r"rel_pos_emb\.weight: got \(500, 1\): expected a table of more than"
    ):
        load_released(model, path)


@pytest.mark.parametrize("training", [False, True])
@torch.no_grad()
def test_padding_and_company_change_nothing(training: bool) -> None:
    model = segmenter().train(training)
    for first in range(4):  # so that all kinds of masks are met
        generators = draws_of(BATCH.mask_BT, first)
        means = dict.fromkeys(model.losses(BATCH, generators), torch.zeros(()))
        for i in range(len(LENGTHS)):
            alone = batch_of(i)
            found = model.losses(alone, draws_of(alone.mask_BT, first + i))
            means = {name: means[name] + loss / 3 for name, loss in found.items()}
        again = model.losses(BATCH, draws_of(BATCH.mask_BT, first))
        torch.testing.assert_close(again, means, rtol=0, atol=1e-5)


def test_gradients_reach_every_parameter() -> None:
    model = segmenter(("random", "anticipative")).train()
    for seed in range(3):
        torch.stack([*model.losses(BATCH, draws_of(BATCH.mask_BT, seed)).values()]).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.any(), name


@torch.no_grad()
def test_what_lies_ahead_is_anticipated_from_what_was_seen() -> None:
    model = segmenter().eval()
    frames = [length + 7 * b for b, length in enumerate(LENGTHS)]

    def generators(*videos: int) -> Generators:
        return Generators([frames[b] for b in videos], [seeded(b) for b in videos])

    together = model.anticipate(BATCH, frames, generators(0, 1, 2))
    assert together.shape == (3, C, max(frames)) and together.min() >= 0 and together.max() <= 1
    for b, count in enumerate(frames):
        alone = model.anticipate(batch_of(b), [count], generators(b))
        torch.testing.assert_close(together[b : b + 1, :, :count], alone, rtol=0, atol=1e-5)
        assert not together[b, :, count:].any()
    torch.testing.assert_close(
        model.anticipate(batch_of(0), [40], draws_of(batch_of(0).mask_BT, 0)),
        model.predict(batch_of(0), draws_of(batch_of(0).mask_BT, 0)),
    )  # with nothing ahead it segments


Y = torch.zeros(1, 4, 60)
Y[:, 0, :30], Y[:, 1, 20:], Y[:, 3, 50:] = 1, 1, 1
CURVE = torch.linspace(0, 1, 60)[None, None]
WHOLE = torch.ones(1, 60, dtype=torch.bool)


def kept(kind: str, seed: int = 0, **more: Any) -> Tensor:
    config = InputMaskConfig(kinds=(kind,), **more)  # type: ignore[arg-type]
    return draw_input_mask(config, 0.5, Y, CURVE, WHOLE.sum(1), draws_of(WHOLE, seed))[0, 0]


def test_masks_are_the_papers() -> None:
    assert kept("none").all() and torch.equal(kept("boundary"), CURVE[0, 0] < 0.5)
    ends = {int(kept("anticipative", seed).sum()) for seed in range(60)}
    assert ends == {int(share * 60) for share in InputMaskConfig().observed}
    assert all(kept("anticipative", seed)[: min(ends)].all() for seed in range(9))
    clips = kept("random", 3, clips=2).view(6, 10)
    assert clips.all(1).sum() == 4 and (~clips).all(1).sum() == 2
    assert not kept("random", clips=99).any()
    masked = {tuple((~kept("relation", seed)).nonzero()[:, 0].tolist()) for seed in range(40)}
    assert masked == {tuple(Y[0, c].nonzero()[:, 0].tolist()) for c in (0, 1, 3)}
    assert draw_input_mask(
        InputMaskConfig(kinds=("relation",)), 0.5, 0 * Y, CURVE, WHOLE.sum(1), draws_of(WHOLE, 0)
    ).all()


@torch.no_grad()
def test_a_masked_frame_says_nothing() -> None:
    model = segmenter(("boundary",)).train()
    batch = dataclasses.replace(BATCH, boundary_B1T=torch.zeros_like(BATCH.mask_BT[:, None].float()))
    batch.boundary_B1T[:, :, 5:9] = 1
    changed = dataclasses.replace(batch, holistic_BFT=batch.holistic_BFT.clone())
    changed.holistic_BFT[:, :, 5:9] += 9
    ours, theirs = (model.losses(b, draws_of(BATCH.mask_BT, 0)) for b in (batch, changed))
    assert ours == theirs


def test_configs_are_checked_and_defaults_have_the_bias() -> None:
    config = model_config("actfusion", {"encoder": {"layers": 10}})
    assert config.encoder.position_bias and config.decoder.position_bias
    assert config.condition_masks.kinds == ("full",) and len(config.input_masks.kinds) == 5
    with pytest.raises(InputError) as caught:
        InputMaskConfig(kinds=("none", "half"), observed=(1.0,), clip=0)  # type: ignore[arg-type]
    assert [p.column for p in caught.value.problems] == ["kinds", "observed", "clip"]
