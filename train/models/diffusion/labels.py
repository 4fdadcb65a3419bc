"""Labels as the signal of a diffusion: [0,1] to signal and back, noising, and the link from logits to labels.

x0 = (2y − 1)·scale; what a decoder sees is x_t clamped to ±scale and mapped back to [0,1] (ActDiff, Liu et
al., 2023, arXiv:2303.17959). The network predicts x0. The link is the same in training and in sampling:
softmax where a frame has one label, sigmoid where it may have several.

Shapes: B batch, C classes, T frames. y is in [0,1], t_B holds time steps 0 … steps − 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from rhas.manifests.common.configs import Settings
from rhas.train.data.generators import Generators
from rhas.train.models.diffusion.schedule import CosineSchedule

Link = Literal["softmax", "sigmoid"]


def probabilities(logits_BCT: Tensor, link: Link) -> Tensor:
    """Logits as labels in [0,1] [B, C, T]: softmax over classes, or each class by itself."""
    return logits_BCT.softmax(1) if link == "softmax" else logits_BCT.sigmoid()


def log_probabilities(logits_BCT: Tensor, link: Link) -> Tensor:
    """The log of `probabilities` [B, C, T]."""
    return logits_BCT.log_softmax(1) if link == "softmax" else F.logsigmoid(logits_BCT)


class DiffusionConfig(Settings):
    """How labels are noised in training and sampled in inference."""

    steps: int = Field(1000, ge=1)
    scale: float = Field(0.5, gt=0)
    sampling_steps: int = Field(25, ge=1)
    eta: float = Field(1.0, ge=0, le=1)
    """Of DDIM: 0 is deterministic, 1 has the noise of DDPM."""

    def conflicts(self) -> Iterator[tuple[str, str]]:
        if self.sampling_steps > self.steps:
            yield "sampling_steps", f"at most steps, which is {self.steps}"


class LabelDiffusion(nn.Module):
    """The forward process and its maps. `rhas.train.models.diffusion.ddim` is the way back."""

    shares_S2: Tensor

    def __init__(self, config: DiffusionConfig, link: Link):
        super().__init__()
        self.config, self.link = config, link
        self.schedule = CosineSchedule(config.steps)
        # √ᾱ and √(1−ᾱ) of each time step, rounded once from float64, where the noise is: reading a few numbers of a
        # table on the CPU would make a GPU wait at every step.
        alphas_bar_S = self.schedule.alphas_bar_S
        shares_S2 = torch.stack([alphas_bar_S.sqrt(), (1 - alphas_bar_S).sqrt()], 1).float()
        self.register_buffer("shares_S2", shares_S2, persistent=False)

    def to_signal(self, y_BCT: Tensor) -> Tensor:
        """Labels in [0,1] as signal in [−scale, scale]."""
        return (2 * y_BCT - 1) * self.config.scale

    def to_labels(self, x_BCT: Tensor) -> Tensor:
        """Signal, however noisy, as labels in [0,1]: clamped to ±scale first."""
        scale = self.config.scale
        return (x_BCT.clamp(-scale, scale) / scale + 1) / 2

    def q_sample(self, y_BCT: Tensor, t_B: Tensor, noise_BCT: Tensor) -> Tensor:
        """x_t = √ᾱ_t x_0 + √(1−ᾱ_t) ε [B, C, T], not clamped (HopaDIFF, Section 4.1)."""
        signal_B11, noise_B11 = self.shares_S2[t_B].to(y_BCT.dtype)[:, :, None, None].unbind(1)
        return signal_B11 * self.to_signal(y_BCT) + noise_B11 * noise_BCT

    def draw(self, y_BCT: Tensor, generators: Generators) -> tuple[Tensor, Tensor]:
        """Float labels noised for a training step, as the decoder sees them [B, C, T], and their time steps [B]."""
        t_B = generators.integers(self.config.steps).to(y_BCT.device)
        noise_BCT = generators.normal(y_BCT.shape[1]).to(y_BCT)
        return self.to_labels(self.q_sample(y_BCT, t_B, noise_BCT)), t_B
