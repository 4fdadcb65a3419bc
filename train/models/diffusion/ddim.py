"""DDIM (Song et al., 2021, arXiv:2010.02502, Eq. 12): from noise to labels in a few steps.

The decoder sees x_t clamped and mapped to [0,1]; ε is computed from x_t as it is, not clamped (ActDiff). All of it is
float32, whatever the decoder computes in.

Shapes: B batch, C classes, T frames.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from rhas.train.data.generators import Generators
from rhas.train.models.diffusion.labels import LabelDiffusion, probabilities
from rhas.train.models.layers.masking import Mask, masked

# Noisy labels in [0,1] [B, C, T] and time steps [B] to logits [B, C, T].
Decode = Callable[[Tensor, Tensor], Tensor]


@torch.no_grad()
def ddim_sample(
    decode: Decode, diffusion: LabelDiffusion, mask_BT: Mask, classes: int,
    generators: Generators, start_BCT: Tensor | None = None, steps: int | None = None, eta: float | None = None,
) -> Tensor:  # fmt: skip
    """Labels in [0,1] [B, C, T], zero in the padding.

    `start_BCT` replaces the noise to start from; `steps` and `eta` (0: no noise is drawn on the way)
    replace those of the diffusion's config. `decode` must leave padding out of account by itself.
    """
    config = diffusion.config
    steps = config.sampling_steps if steps is None else steps
    eta = config.eta if eta is None else eta
    alphas_bar = diffusion.schedule.alphas_bar_S.tolist()
    x_BCT = generators.normal(classes) if start_BCT is None else start_BCT

    visited = diffusion.schedule.visited(steps)
    for t, following in zip(visited, [*visited[1:], None], strict=True):
        t_B = torch.full((len(x_BCT),), t, device=x_BCT.device)
        logits_BCT = decode(diffusion.to_labels(x_BCT), t_B)
        x0_BCT = diffusion.to_signal(probabilities(logits_BCT.float(), diffusion.link))
        if following is None:
            x_BCT = x0_BCT
            break
        now, then = alphas_bar[t], alphas_bar[following]
        noise_BCT = (x_BCT - math.sqrt(now) * x0_BCT) / math.sqrt(1 - now)
        sigma = eta * math.sqrt((1 - then) / (1 - now) * (1 - now / then))
        x_BCT = math.sqrt(then) * x0_BCT + math.sqrt(max(0.0, 1 - then - sigma**2)) * noise_BCT
        if sigma > 0:
            x_BCT = x_BCT + sigma * generators.normal(classes)
    return masked(diffusion.to_labels(x_BCT), mask_BT)
