"""HopaDIFF, and ActDiff as a segmenter: padding, gradients, what reaches what, and learning by heart."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch
from made_batches import BATCH, LENGTHS, C, F, batch_of, sample
from seeded_generators import draws_of
from torch import Tensor

from rhas.manifests.common.errors import InputError
from rhas.train.data import Batch, collate
from rhas.train.data.generators import Generators
from rhas.train.models.actdiff.config import DecoderConfig, DiffusionConfig, EncoderConfig
from rhas.train.models.actdiff.masks import ConditionMaskConfig
from rhas.train.models.actdiff.segmenter import ActDiffSegmenter, ActDiffSegmenterConfig
from rhas.train.models.hopadiff.config import HopaDIFFConfig
from rhas.train.models.hopadiff.fourier import FourierConfig
from rhas.train.models.hopadiff.hp_xlstm import HPxLSTM, HPxLSTMConfig
from rhas.train.models.hopadiff.segmenter import HopaDIFF
from rhas.train.models.losses import BoundaryConfig, LossConfig
from rhas.train.models.segmenter import Segmenter

SMALL: dict[str, Any] = {
    "encoder": EncoderConfig(layers=4, width=8, condition_layers=(1, 3)),
    "decoder": DecoderConfig(layers=3, width=6, time_width=16),
    "diffusion": DiffusionConfig(sampling_steps=4),
}
XLSTM = HPxLSTMConfig(heads=2, gate_width=4, chunk=16)
STILL: dict[str, Any] = {  # no dropout, nothing blanked
    "encoder": EncoderConfig(
        layers=4, width=8, kernel=5, condition_layers=(1, 3), dropout=0, channel_dropout=0, temporal_dropout=0
    ),
    "decoder": DecoderConfig(layers=3, width=6, time_width=16, dropout=0),
    "condition_masks": ConditionMaskConfig(kinds=("full",)),
}
VARIANTS: dict[str, dict[str, Any]] = {
    "full": {},
    "bands": {"fourier": FourierConfig(variant="bands", band_limits=(10.0, 4.0))},
    "no partial branch": {"partial_branch": False},
    "no HP-xLSTM": {"hp_xlstm": None},
    "no BCA": {"hp_xlstm": XLSTM.replace(cross_gates=False)},
    "no Fourier condition": {"fourier": FourierConfig(variant="none")},
    "shared condition": {"shared_condition": True},
    "condition entering": {"decoder": DecoderConfig(layers=3, width=6, time_width=16, condition_input=True)},
    "both": {
        "shared_condition": True,
        "decoder": DecoderConfig(layers=3, width=6, time_width=16, condition_input=True),
    },
    "both, without a partial branch": {
        "shared_condition": True,
        "decoder": DecoderConfig(layers=3, width=6, time_width=16, condition_input=True),
        "partial_branch": False,
    },
    "ActDiff": {"partial_branch": False, "hp_xlstm": None, "fourier": FourierConfig(variant="none")},
}
every_variant = pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS)


def hopadiff(**changes: Any) -> HopaDIFF:
    torch.manual_seed(0)
    model = HopaDIFF(F, C, HopaDIFFConfig(**{**SMALL, "hp_xlstm": XLSTM, **changes}))
    with torch.no_grad():
        for branch in model.branches().values():
            branch.features.absent_F.normal_()
    return model


def generators(batch: Batch, first_seed: int) -> Generators:
    return draws_of(batch.mask_BT, first_seed)


def total(model: Segmenter, batch: Batch, seed: int = 1) -> Tensor:
    return torch.stack(list(model.losses(batch, generators(batch, seed)).values())).sum()


@every_variant
@pytest.mark.parametrize("training", [False, True])
@torch.no_grad()
def test_padding_and_company_change_nothing(changes: dict[str, Any], training: bool) -> None:
    model = hopadiff(**changes).train(
        training
    )  # dropout, blanked conditions, time steps, noise: all as usual
    means = dict.fromkeys(model.losses(BATCH, generators(BATCH, 0)), torch.zeros(()))
    for i in range(len(LENGTHS)):
        alone = batch_of(i)
        means = {
            name: means[name] + loss / 3 for name, loss in model.losses(alone, generators(alone, i)).items()
        }
    torch.testing.assert_close(model.losses(BATCH, generators(BATCH, 0)), means, rtol=0, atol=1e-5)


@every_variant
@torch.no_grad()
def test_a_padded_prediction_is_that_of_each_video(changes: dict[str, Any]) -> None:
    model = hopadiff(**changes).eval()
    scores = model.predict(BATCH, generators(BATCH, 0))
    assert scores.shape == (3, C, 40) and (scores >= 0).all() and (scores <= 1).all()
    assert not (scores * ~BATCH.mask_BT[:, None]).any()
    for i, length in enumerate(LENGTHS):
        alone = batch_of(i)
        torch.testing.assert_close(
            scores[i : i + 1, :, :length], model.predict(alone, generators(alone, i)), rtol=0, atol=1e-5
        )


@every_variant
def test_gradients_reach_every_parameter(changes: dict[str, Any]) -> None:
    model = hopadiff(**{**STILL, **changes}).train()
    total(model, BATCH).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.any(), name


@pytest.mark.parametrize("variant", ["dft", "bands"])
def test_the_decoders_learn_through_the_condition(variant: Any) -> None:
    """The decoders' losses alone train both encoders, HP-xLSTM and the weights of the frequency channels."""
    model = hopadiff(**STILL, fourier=FourierConfig(variant=variant)).train()
    losses = model.losses(BATCH, generators(BATCH, 1))
    torch.stack([loss for name, loss in losses.items() if "decoder" in name]).sum().backward()
    for name, parameter in model.named_parameters():
        own_logits = ".encoder.conv_out." in name
        assert (parameter.grad is None or not parameter.grad.any()) == own_logits, name
    for branch in model.branches().values():
        grad = branch.decoder.layers[0].attention.query.weight.grad
        assert grad[:, -16:].any(0).all()  # the last 16 of the channels are frequencies


def test_a_step_and_a_prediction_are_the_generators() -> None:
    model = hopadiff().train()
    state = torch.get_rng_state()
    once, again, other = (model.losses(BATCH, generators(BATCH, seed)) for seed in (1, 1, 2))
    assert once == again and all(once[name] != other[name] for name in once)
    model.eval()
    first, second, third = (model.predict(BATCH, generators(BATCH, s)) for s in (0, 0, 5))
    assert torch.equal(first, second) and not torch.equal(first, third)
    assert torch.equal(state, torch.get_rng_state())


def test_each_branch_follows_its_own_labels_and_they_are_averaged(monkeypatch: pytest.MonkeyPatch) -> None:
    model = hopadiff(diffusion=DiffusionConfig(sampling_steps=20)).eval()
    seen: dict[str, list[Tensor]] = {"holistic": [], "partial": []}

    def always(name: str, logit: float) -> Callable[..., Tensor]:
        def decode(noisy_BCT: Tensor, *_: Any) -> Tensor:
            seen[name].append(noisy_BCT)
            return torch.full_like(noisy_BCT, logit)

        return decode

    monkeypatch.setattr(model.holistic.decoder, "forward", always("holistic", 30.0))
    monkeypatch.setattr(model.partial.decoder, "forward", always("partial", -30.0))
    scores = model.predict(BATCH, generators(BATCH, 0))
    real = BATCH.mask_BT[:, None].expand_as(scores)
    assert torch.allclose(scores[real], torch.tensor(0.5))
    assert not torch.equal(seen["holistic"][0], seen["partial"][0])
    assert len(seen["holistic"]) == len(seen["partial"]) == 20
    assert seen["holistic"][-1][real].mean() > 0.9 and seen["partial"][-1][real].mean() < 0.1


@pytest.mark.parametrize("stream", ["holistic", "partial"])
@torch.no_grad()
def test_both_streams_count_and_an_absent_feature_is_no_feature(stream: str) -> None:
    model = hopadiff().eval()

    def predict(changed: Batch) -> Tensor:
        return model.predict(changed, generators(changed, 3))

    has = getattr(BATCH, f"has_{stream}_BT")
    features = getattr(BATCH, f"{stream}_BFT")
    elsewhere = dataclasses.replace(BATCH, **{f"{stream}_BFT": features + 9.0 * ~has[:, None]})
    assert torch.equal(predict(elsewhere), predict(BATCH))
    changed = dataclasses.replace(BATCH, **{f"{stream}_BFT": -features})
    assert not torch.allclose(predict(changed), predict(BATCH))
    zeros_there = dataclasses.replace(BATCH, **{f"has_{stream}_BT": BATCH.mask_BT})
    assert not torch.allclose(predict(zeros_there), predict(BATCH))  # zeros are not absent


def test_cues_are_exchanged_only_through_bca_and_a_shared_condition() -> None:
    apart = VARIANTS["no BCA"]
    shared = {**apart, "shared_condition": True}
    for changes, talks in ((VARIANTS["full"], True), (apart, False), (shared, True)):
        model = hopadiff(**{**STILL, **changes}).eval()
        losses = model.losses(BATCH, generators(BATCH, 0))
        losses["holistic_decoder_cross_entropy"].backward()
        reached = any(p.grad is not None and p.grad.any() for p in model.partial.encoder.parameters())
        assert reached == talks


@pytest.mark.parametrize("stream", ["holistic", "partial"])
@pytest.mark.parametrize("name", ["hopadiff", "actdiff"])
def test_labels_that_are_not_valid_count_for_nothing(name: str, stream: Any) -> None:
    model: Segmenter = hopadiff()
    if name == "actdiff":
        model = ActDiffSegmenter(F, C, ActDiffSegmenterConfig(**SMALL, stream=stream))
    valid = BATCH.valid_BT[:, None].expand_as(BATCH.labels_BCT)
    other = dataclasses.replace(BATCH, labels_BCT=torch.where(valid, BATCH.labels_BCT, 1 - BATCH.labels_BCT))
    for seed in range(5):
        assert model.losses(other, generators(other, seed)) == model.losses(BATCH, generators(BATCH, seed))
    nothing = dataclasses.replace(BATCH, valid_BT=torch.zeros_like(BATCH.valid_BT))
    assert all(loss == 0 for loss in model.losses(nothing, generators(nothing, 0)).values())


def test_targets_of_several_actions_stay_within_one(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = collate([sample(i, length, softened=True) for i, length in enumerate(LENGTHS)])
    batch.labels_BCT[:] = batch.mask_BT[:, None]  # all actions, everywhere
    model, seen = hopadiff(), []
    draw = model.diffusion.draw

    def spy(y_BCT: Tensor, its: Generators) -> tuple[Tensor, Tensor]:
        noisy_BCT, t_B = draw(y_BCT, its)
        seen.extend([y_BCT, noisy_BCT])
        return noisy_BCT, t_B

    monkeypatch.setattr(model.diffusion, "draw", spy)
    assert total(model, batch).isfinite()
    assert len(seen) == 4 and all(y.min() >= 0 and y.max() <= 1 for y in seen)
    assert batch.soft_labels_BCT is not None and batch.soft_labels_BCT.max() <= 1 + 1e-6  # rounding


@pytest.mark.parametrize("training", [False, True])
def test_without_all_it_is_actdiff_on_holistic_features(training: bool) -> None:
    weights = {"losses": LossConfig(cross_entropy=0.5, smoothing=0.1), "boundary": BoundaryConfig(weight=0.1)}
    ours = hopadiff(**VARIANTS["ActDiff"], **weights)
    actdiff = ActDiffSegmenter(F, C, ActDiffSegmenterConfig(**SMALL, **weights))
    renamed = {}
    for name, value in ours.state_dict().items():
        name = name.removeprefix("holistic.")
        renamed[f"actdiff.{name}" if name.startswith(("encoder.", "decoder.")) else name] = value
    actdiff.load_state_dict(renamed)
    ours.train(training), actdiff.train(training)
    for seed in range(5):
        theirs = {
            f"holistic_{name}": loss for name, loss in actdiff.losses(BATCH, generators(BATCH, seed)).items()
        }
        assert len(theirs) == 5 and ours.losses(BATCH, generators(BATCH, seed)) == theirs
    ours.eval(), actdiff.eval()
    assert torch.equal(
        ours.predict(BATCH, generators(BATCH, 0)), actdiff.predict(BATCH, generators(BATCH, 0))
    )


def test_switches_leave_out_what_they_name() -> None:
    models = {name: hopadiff(**changes) for name, changes in VARIANTS.items()}
    assert isinstance(models["full"].hp_xlstm, HPxLSTM) and models["no HP-xLSTM"].hp_xlstm is None
    assert not any("embed" in name for name, _ in models["no BCA"].named_parameters())
    assert models["no partial branch"].partial is None and models["no partial branch"].hp_xlstm is not None
    into = {
        name: model.holistic.decoder.layers[0].attention.query.in_channels for name, model in models.items()
    }
    assert (into["full"], into["bands"], into["no Fourier condition"]) == (6 + 32, 6 + 64, 6 + 16)
    with pytest.raises(InputError, match=r"hp_xlstm\.heads: got 3"):
        hopadiff(hp_xlstm=HPxLSTMConfig(heads=3))
    with pytest.raises(InputError, match=r"hp_xlstm\.heads: got 3"):
        hopadiff(hp_xlstm=HPxLSTMConfig(heads=3), partial_branch=False)


def test_losses_are_weighted_and_classes_too() -> None:
    model = hopadiff().eval()
    twice = hopadiff(
        losses=LossConfig(cross_entropy=2.0, smoothing=0.1), boundary=BoundaryConfig(weight=0)
    ).eval()
    plain, weighted = model.losses(BATCH, generators(BATCH, 0)), twice.losses(BATCH, generators(BATCH, 0))
    kinds = ("encoder_cross_entropy", "decoder_cross_entropy")
    names = [f"{branch}_{kind}" for branch in ("holistic", "partial") for kind in kinds]
    assert set(plain) == {*names, "holistic_decoder_boundary", "partial_decoder_boundary"}
    assert {name.split("_", 2)[2] for name in weighted} == {"cross_entropy", "smoothing"}
    assert all(torch.isclose(weighted[name], 2 * plain[name]) for name in names)
    model.weight_classes(torch.tensor([3.0, 1.0, 1.0, 1.0]))
    assert all(model.losses(BATCH, generators(BATCH, 0))[name] > plain[name] for name in names)
    assert "class_weight_C" in model.state_dict()


def test_a_batch_needs_its_boundary_curve() -> None:
    without = dataclasses.replace(BATCH, boundary_B1T=None)
    with pytest.raises(AssertionError, match=r"boundary\.sigma"):
        hopadiff().losses(without, generators(without, 0))


def test_defaults_are_the_papers() -> None:
    config = HopaDIFFConfig()
    encoder, decoder = config.encoder, config.decoder
    assert (encoder.layers, encoder.width, encoder.kernel, encoder.condition_layers) == (
        12,
        256,
        5,
        (7, 8, 9),
    )
    assert (decoder.layers, decoder.width, decoder.kernel, decoder.time_width) == (8, 128, 5, 512)
    assert (config.diffusion.steps, config.diffusion.sampling_steps, config.link) == (1000, 25, "sigmoid")
    assert config.losses.cross_entropy == config.boundary.weight and config.losses.smoothing == 0
    assert config.fourier.variant == "dft" and config.hp_xlstm is not None and config.partial_branch


def test_it_learns_videos_by_heart() -> None:
    samples = [sample(0, 40), sample(1, 30)]
    batch = collate([dataclasses.replace(one, valid=torch.ones_like(one.valid)) for one in samples])
    config = HopaDIFFConfig(
        encoder=EncoderConfig(
            layers=3,
            width=24,
            kernel=5,
            condition_layers=(0, 2),
            dropout=0,
            channel_dropout=0,
            temporal_dropout=0,
        ),
        decoder=DecoderConfig(layers=3, width=24, time_width=16, dropout=0),
        diffusion=DiffusionConfig(sampling_steps=8),
        condition_masks=ConditionMaskConfig(kinds=("full",)),
        hp_xlstm=XLSTM,
        # Where labels change every few frames, the boundary loss at full weight keeps them from being learnt:
        # it wants neighbours at a change to have nothing in common, and those beside it to differ by half.
        losses=LossConfig(cross_entropy=1.0, smoothing=0.0),
        boundary=BoundaryConfig(weight=0.1),
    )
    torch.manual_seed(0)
    model = HopaDIFF(F, C, config).train()
    optimiser = torch.optim.Adam(model.parameters(), lr=5e-3)
    its_draws, history = generators(batch, 0), []
    for _ in range(160):
        loss = torch.stack(list(model.losses(batch, its_draws).values())).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        history.append(loss.item())
    assert sum(history[-10:]) < 0.4 * sum(history[:10]), history[::10]
    scores = model.eval().predict(batch, generators(batch, 8))
    right_BT = ((scores > 0.5) == batch.labels_BCT.bool()).all(1)  # of all classes at once
    assert right_BT[batch.mask_BT].float().mean() >= 0.95
