"""ActDiff as a whole: padding, gradients, randomness, and what its configs refuse."""

from __future__ import annotations

import pytest
import torch
from seeded_generators import draws_of, seeded
from torch import Tensor

from rhas.manifests.common.errors import InputError
from rhas.train.data.targets import boundary_target
from rhas.train.models.actdiff.config import ActDiffConfig, DecoderConfig, EncoderConfig
from rhas.train.models.actdiff.masks import ConditionMaskConfig
from rhas.train.models.actdiff.model import ActDiff
from rhas.train.models.losses import BoundaryConfig, actdiff_losses, weighted

LENGTHS = (40, 17)
WEIGHTS = {"cross_entropy": 0.5, "smoothing": 0.1, "boundary": 0.1}
MASK = torch.arange(40) < torch.tensor(LENGTHS)[:, None]


def data() -> tuple[Tensor, Tensor]:
    """Features, with numbers in the padding, and labels that last for a while."""
    features = torch.randn(2, 6, 40, generator=seeded(0))
    labels = (torch.rand(2, 4, 8, generator=seeded(1)) < 0.4).float().repeat_interleave(5, 2)
    return features, labels * MASK[:, None]


@torch.no_grad()
def test_padding_changes_nothing(small: ActDiff) -> None:
    small.eval()
    features, y = data()
    t = torch.tensor([100, 700])
    encoder, condition = small.encoder(features, MASK)
    decoder = small.decoder(y, t, small.decoder.project(condition), MASK)
    sampled = small.sample(features, MASK, draws_of(MASK, 3))
    for b, length in enumerate(LENGTHS):
        one, mask = slice(b, b + 1), MASK[b : b + 1, :length]
        x = features[one, :, :length]
        alone, its_condition = small.encoder(x, mask)
        its_projected = small.decoder.project(its_condition)
        its_decoder = small.decoder(y[one, :, :length], t[one], its_projected, mask)
        its_sample = small.sample(x, mask, draws_of(mask, 3 + b))
        pairs = (encoder, alone), (condition, its_condition), (decoder, its_decoder), (sampled, its_sample)
        for together, single in pairs:
            torch.testing.assert_close(together[one, :, :length], single, rtol=0, atol=1e-5)
            assert (together[b, :, length:] == 0).all()


def curve(y: Tensor) -> Tensor:
    videos = [
        boundary_target(y_CT[:, mask_T].T, mask_T[mask_T], 1.0) for y_CT, mask_T in zip(y, MASK, strict=True)
    ]
    return torch.nn.utils.rnn.pad_sequence(videos, batch_first=True)[:, None]


def total(losses: dict[str, Tensor]) -> Tensor:
    return torch.stack([*weighted(losses, WEIGHTS).values()]).sum()


def losses(model: ActDiff, seed: int) -> dict[str, Tensor]:
    features, y = data()
    boundary = curve(y)
    encoder, decoder = model(features, y, boundary, MASK, draws_of(MASK, seed))
    return actdiff_losses(encoder, decoder, y, boundary, MASK, "sigmoid")


def test_a_training_step_is_the_generators(small: ActDiff) -> None:
    small.train()
    before = torch.get_rng_state()
    once, again, other = (total(losses(small, seed)) for seed in (1, 1, 3))
    assert once == again and once != other
    assert torch.equal(before, torch.get_rng_state())


def only(model: ActDiff, kind: str) -> ActDiff:
    masks = ConditionMaskConfig(kinds=(kind,))  # type: ignore[arg-type]
    model.config = model.config.replace(condition_masks=masks)
    return model


def test_the_decoders_loss_trains_the_encoder_through_the_condition(small: ActDiff) -> None:
    only(small, "full").train()
    losses(small, 1)["decoder_cross_entropy"].sum().backward()
    unused = {"encoder.conv_out.weight", "encoder.conv_out.bias"}  # the encoder's own logits
    for name, parameter in small.named_parameters():
        assert (parameter.grad is None or not parameter.grad.any()) == (name in unused), name


def test_a_blanked_condition_says_nothing(small: ActDiff) -> None:
    only(small, "zero").eval()
    features, y = data()
    boundary = curve(y)
    _, decoder = small(features, y, boundary, MASK, draws_of(MASK, 1))
    _, other = small(features * 3, y, boundary, MASK, draws_of(MASK, 1))
    assert torch.equal(decoder, other)


def test_it_learns_videos_by_heart() -> None:
    features, y = data()
    features[:, :4] += 4 * y  # the labels can be seen
    boundary = curve(y)
    encoder_config = EncoderConfig(
        layers=4,
        width=16,
        kernel=5,
        condition_layers=(1, 3),
        dropout=0,
        channel_dropout=0,
        temporal_dropout=0,
    )
    torch.manual_seed(0)
    model = ActDiff(
        6,
        4,
        ActDiffConfig(
            encoder=encoder_config, decoder=DecoderConfig(layers=4, width=32, time_width=16, dropout=0)
        ),
    )
    optimiser = torch.optim.Adam(model.parameters(), lr=2e-3)
    generators = draws_of(MASK, 0)
    for _ in range(100):
        encoder, decoder = model(features, y, boundary, MASK, generators)
        loss = total(actdiff_losses(encoder, decoder, y, boundary, MASK, "sigmoid"))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    model.eval()
    found = model.sample(features, MASK, draws_of(MASK, 8)) > 0.5
    right = (found == y.bool())[MASK[:, None].expand_as(y)]
    assert right.float().mean() > 0.95


def test_defaults_are_the_papers() -> None:
    config = ActDiffConfig()
    assert (config.encoder.layers, config.encoder.width, config.decoder.layers, config.decoder.width) == (
        12, 256, 8, 128,
    )  # fmt: skip
    assert config.encoder.condition_channels == 768


def test_configs_are_checked() -> None:
    with pytest.raises(InputError) as caught:
        EncoderConfig(layers=3, kernel=4, condition_layers=(), dropout=1.0)
    assert [p.column for p in caught.value.problems] == ["kernel", "condition_layers", "dropout"]
    with pytest.raises(InputError, match=r"condition_layers: got \[3\]: expected layers 0 to 2"):
        EncoderConfig(layers=3, condition_layers=(3,))
    with pytest.raises(InputError, match="time_width: got 7: expected a multiple of 2"):
        DecoderConfig(time_width=7)
    with pytest.raises(InputError, match="weight: got -1"):
        BoundaryConfig(weight=-1)
