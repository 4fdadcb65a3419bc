"""ActDiff (Liu et al., 2023, arXiv:2303.17959): one feature stream, an encoder, and a decoder that denoises labels.

In training the decoder gets noised labels and the encoder's condition, parts of it blanked; both networks'
logits are supervised (`rhas.train.models.losses`). In inference DDIM turns noise into labels.

Shapes: B batch, F feature size, N channels of the condition, C classes, T frames. mask_BT True = real frame.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rhas.train.data.generators import Generators
from rhas.train.models.actdiff.config import ActDiffConfig
from rhas.train.models.actdiff.masks import draw_condition_mask
from rhas.train.models.actdiff.networks import Decoder, Encoder
from rhas.train.models.diffusion.ddim import ddim_sample
from rhas.train.models.diffusion.labels import LabelDiffusion, probabilities
from rhas.train.models.layers.masking import Mask, masked


class ActDiff(nn.Module):
    """Features [B, F, T] to labels [B, C, T]."""

    def __init__(self, feature_size: int, classes: int, config: ActDiffConfig):
        super().__init__()
        self.config, self.classes = config, classes
        self.diffusion = LabelDiffusion(config.diffusion, config.link)
        self.encoder = Encoder(feature_size, classes, config.encoder)
        self.decoder = Decoder(classes, config.encoder.condition_channels, config.decoder)

    def forward(
        self, features_BFT: Tensor, y_BCT: Tensor, boundary_B1T: Tensor, mask_BT: Mask,
        generators: Generators,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        """Logits of encoder and decoder [B, C, T] for a training step.

        y holds the labels, 0 or 1 and not softened, and `boundary_B1T` their boundary curve. `generators` has
        all of it: dropout, time steps, noise, and which frames of the condition are blanked.
        """
        encoder_BCT, condition_BNT = self.encoder(features_BFT, mask_BT, generators)
        kept_B1T = draw_condition_mask(
            self.config.condition_masks, self.config.boundary.kept_below, y_BCT, boundary_B1T, generators
        )
        noisy_BCT, t_B = self.diffusion.draw(y_BCT, generators)
        projected = self.decoder.project(condition_BNT * kept_B1T, generators)
        return encoder_BCT, self.decoder(noisy_BCT, t_B, projected, mask_BT, generators)

    @torch.no_grad()
    def sample(
        self, features_BFT: Tensor, mask_BT: Mask, generators: Generators, start_BCT: Tensor | None = None
    ) -> Tensor:
        """Labels in [0,1] [B, C, T], zero in the padding; see `ddim_sample`."""
        return self.heads(features_BFT, mask_BT, generators, start_BCT)["decoder"]

    @torch.no_grad()
    def heads(
        self, features_BFT: Tensor, mask_BT: Mask, generators: Generators, start_BCT: Tensor | None = None
    ) -> dict[str, Tensor]:
        """What was sampled, as `decoder`, and what the `encoder` says by itself, both [B, C, T] in [0,1]."""
        encoder_BCT, condition_BNT = self.encoder(features_BFT, mask_BT)
        projected = self.decoder.project(condition_BNT)

        def decode(noisy_BCT: Tensor, t_B: Tensor) -> Tensor:
            return self.decoder(noisy_BCT, t_B, projected, mask_BT)

        sampled_BCT = ddim_sample(decode, self.diffusion, mask_BT, self.classes, generators, start_BCT)
        read_BCT = masked(probabilities(encoder_BCT.float(), self.config.link), mask_BT)
        return {"decoder": sampled_BCT, "encoder": read_BCT}
