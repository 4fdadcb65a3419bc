"""ActDiff against the authors' released code: what it gave on random weights, to 1e-4 of the output's scale."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from seeded_generators import draws_of
from torch import Tensor

from rhas.train.data.targets import soft_labels
from rhas.train.models.actdiff.config import ActDiffConfig, DecoderConfig, DiffusionConfig, EncoderConfig
from rhas.train.models.actdiff.model import ActDiff
from rhas.train.models.actdiff.released import load_released
from rhas.train.models.losses import actdiff_losses

Golden = Callable[[str], tuple[dict[str, Tensor], dict[str, Any]]]


def same(ours: Tensor, released: Tensor) -> None:
    torch.testing.assert_close(ours, released, rtol=0, atol=1e-4 * released.abs().max().item())


@pytest.fixture(scope="module")
def released(golden: Golden) -> dict[str, Tensor]:
    return golden("diffact_eval.safetensors")[0]


@pytest.fixture(scope="module")
def model(golden: Golden, tmp_path_factory: pytest.TempPathFactory) -> ActDiff:
    """Built from the file's configuration, with its parameters, which go through a checkpoint file."""
    tensors, meta = golden("diffact_eval.safetensors")
    encoder, decoder, diffusion = meta["encoder"], meta["decoder"], meta["diffusion"]
    config = ActDiffConfig(
        encoder=EncoderConfig(
            layers=encoder["num_layers"], width=encoder["num_f_maps"], kernel=encoder["kernel_size"],
            condition_layers=tuple(encoder["feature_layer_indices"]),
        ),
        decoder=DecoderConfig(
            layers=decoder["num_layers"], width=decoder["num_f_maps"], kernel=decoder["kernel_size"],
            time_width=decoder["time_emb_dim"],
        ),
        link="softmax",
        diffusion=DiffusionConfig(
            steps=diffusion["timesteps"], scale=diffusion["snr_scale"],
            sampling_steps=diffusion["sampling_timesteps"], eta=diffusion["ddim_sampling_eta"],
        ),
    )  # fmt: skip
    model = ActDiff(encoder["input_dim"], meta["num_classes"], config)
    path: Path = tmp_path_factory.mktemp("released") / "release.model"
    torch.save({k.removeprefix("param/"): x for k, x in tensors.items() if k.startswith("param/")}, path)
    load_released(model, path)
    return model.eval()


def everything(x: Tensor) -> Tensor:
    return torch.ones(x.shape[0], x.shape[2], dtype=torch.bool)


@torch.no_grad()
def test_encoder(model: ActDiff, released: dict[str, Tensor]) -> None:
    x = released["in/features"]
    logits, condition = model.encoder(x, everything(x))
    same(logits, released["out/encoder_logits"])
    same(condition, released["out/encoder_features"])


@torch.no_grad()
def test_decoder(model: ActDiff, released: dict[str, Tensor]) -> None:
    noisy, t, condition = (released[k] for k in ("in/noisy_labels", "in/t", "out/encoder_features"))
    same(
        model.decoder(noisy, t, model.decoder.project(condition), everything(noisy)),
        released["out/decoder_logits"],
    )


def test_ddim(model: ActDiff, released: dict[str, Tensor]) -> None:
    x = released["in/features"]
    out = model.sample(x, everything(x), draws_of(everything(x), 0), released["in/ddim_start_noise"])
    same(out, released["out/ddim_probabilities"])


def test_schedule(model: ActDiff, released: dict[str, Tensor]) -> None:
    schedule = model.diffusion.schedule
    torch.testing.assert_close(schedule.betas_S, released["param/betas"], rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(schedule.alphas_bar_S, released["param/alphas_cumprod"], rtol=1e-9, atol=0)


@torch.no_grad()
@pytest.mark.parametrize(("outputs", "sigma"), [("out", None), ("out_soft1.4", 1.4)])
def test_losses(
    golden: Golden, model: ActDiff, released: dict[str, Tensor], outputs: str, sigma: float | None
) -> None:
    given, _ = golden("diffact_loss.safetensors")
    x, y = released["in/features"], given["in/labels"]
    mask = everything(x)
    encoder, condition = model.encoder(x, mask)
    noised = model.diffusion.to_labels(model.diffusion.q_sample(y, given["in/t"], given["in/noise"]))
    decoder = model.decoder(noised, given["in/t"], model.decoder.project(condition), mask)
    target = y if sigma is None else soft_labels(y[0].T, mask[0], sigma).T[None]
    losses = actdiff_losses(encoder, decoder, target, given["in/boundary"], mask, "softmax")
    for name, loss in losses.items():
        theirs = name.replace("smoothing", "mse").replace("cross_entropy", "ce")
        same(loss, given[f"{outputs}/{theirs}_loss"])
    # The sixth is a constant there, and absent here.
    assert given[f"{outputs}/encoder_boundary_loss"].item() == 0 and "encoder_boundary" not in losses
