"""HopaDIFF: a holistic and a partial branch that exchange cues, and a diffusion over labels in each.

    z^h, z^p = E_h(holistic), E_p(partial)          encoders, Eq. 3
    ẑ^h, ẑ^p = HP-xLSTM(z^h, z^p)                   cues exchanged, Eq. 4 and 5
    s^m = D_m(y_t, ẑ^m, Fourier(ẑ^m)), m = h, p     decoders, Eq. 6 and 7

z is what ActDiff conditions its decoder on, the outputs of a few encoder layers. Both encoders and both
decoders are supervised. What the paper leaves open:
- Each branch has a diffusion of its own, in training (time step, noise, blanked frames; Eq. 7 writes one y_t,
  the expected loss is the same) and in inference, where it starts from noise of its own and follows its own
  x0 to the end. The mean of the two denoised labels is the prediction.
- Frames of the condition that ActDiff blanks in training are blanked before the Fourier transform, which
  would otherwise bring them back.
- A frame without a holistic or partial feature has that stream's learned embedding in the feature's place
  (`rhas.train.models.streams`); the branch goes on over it, and it is supervised if it is valid.

Shapes: B batch, F feature size, N channels of z, C classes, T frames. h is holistic, p partial.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from rhas.train.models.actdiff.masks import draw_condition_mask
from rhas.train.models.actdiff.networks import Decoder, Encoder, Projected
from rhas.train.models.actdiff.segmenter import DiffusionSegmenter
from rhas.train.models.diffusion.ddim import ddim_sample
from rhas.train.models.diffusion.labels import LabelDiffusion, probabilities
from rhas.train.models.hopadiff.config import HopaDIFFConfig
from rhas.train.models.hopadiff.fourier import FourierCondition
from rhas.train.models.hopadiff.hp_xlstm import HPxLSTM, LoneXLSTM
from rhas.train.models.layers.masking import Mask, masked
from rhas.train.models.layers.pointwise import Pointwise
from rhas.train.models.streams import Stream, StreamName

if TYPE_CHECKING:
    from rhas.train.data import Batch
    from rhas.train.data.generators import Generators


class HopaDIFF(DiffusionSegmenter):
    """Both feature streams to labels."""

    def __init__(self, feature_size: int, classes: int, config: HopaDIFFConfig):
        super().__init__(classes, config)
        self.config = config
        self.diffusion = LabelDiffusion(config.diffusion, config.link)
        self.holistic = Branch("holistic", feature_size, classes, config)
        self.partial = Branch("partial", feature_size, classes, config) if config.partial_branch else None
        self.hp_xlstm: HPxLSTM | LoneXLSTM | None = None
        if config.hp_xlstm is not None:
            block = HPxLSTM if config.partial_branch else LoneXLSTM
            self.hp_xlstm = block(config.encoder.condition_channels, config.hp_xlstm)
        channels = config.encoder.condition_channels * len(self.branches())
        self.fused = Pointwise(channels, classes) if config.fused_head else None

    def branches(self) -> dict[str, Branch]:
        """The branches that there are, the holistic one first."""
        both = {"holistic": self.holistic, "partial": self.partial}
        return {name: branch for name, branch in both.items() if branch is not None}

    def losses(self, batch: Batch, generators: Generators) -> dict[str, Tensor]:
        """Losses of each encoder and decoder: `holistic_encoder_cross_entropy`, `partial_decoder_boundary` …"""
        y_BCT, boundary_B1T = self.targets(batch)
        logits, features = self._encode(batch, generators)
        losses: dict[str, Tensor] = {}
        for index, (name, branch) in enumerate(self.branches().items()):
            kept_B1T = draw_condition_mask(
                self.config.condition_masks, self.config.boundary.kept_below, y_BCT, boundary_B1T, generators
            )
            noisy_BCT, t_B = self.diffusion.draw(y_BCT, generators)
            seen = [z * kept_B1T for z in self._seen(features, index)]
            condition = branch.condition(seen, batch.real_BT, generators)
            decoder_BCT = branch.decoder(noisy_BCT, t_B, condition, batch.real_BT, generators)
            supervised = self.supervise(logits[index], decoder_BCT, batch)
            losses |= {f"{name}_{loss}": value for loss, value in supervised.items()}
        if self.fused is not None:
            supervised = self.supervise_encoder(self.fused(torch.cat(features, dim=1)), batch)
            losses |= {f"fused_{loss}": value for loss, value in supervised.items()}
        return losses

    @torch.no_grad()
    def predict(self, batch: Batch, generators: Generators) -> Tensor:
        """Scores in [0, 1] [B, C, T], zero in the padding: the mean of the branches' labels. In eval mode only."""
        return self.heads(batch, generators)["decoder"]

    @torch.no_grad()
    def heads(self, batch: Batch, generators: Generators) -> dict[str, Tensor]:
        """The mean of the branches' denoised labels, as `decoder`, and each branch's decoder and encoder alone."""
        assert not self.training, "predict draws no dropout: call eval() first"
        logits, features = self._encode(batch)
        branches, mask_BT = list(self.branches().values()), batch.real_BT
        conditions = [b.condition(self._seen(features, i), mask_BT) for i, b in enumerate(branches)]

        # One DDIM run over the branches one after the other in a batch of their own: [branches · B, C, T].
        def decode(noisy: Tensor, t: Tensor) -> Tensor:
            parts = zip(branches, noisy.split(len(batch)), t.split(len(batch)), conditions, strict=True)
            return torch.cat([branch.decoder(x, at, given, mask_BT) for branch, x, at, given in parts])

        count = len(branches)
        masks = None if mask_BT is None else mask_BT.repeat(count, 1)
        denoised = ddim_sample(decode, self.diffusion, masks, self.classes, generators.repeated(count))
        decoded = denoised.unflatten(0, (count, -1))
        heads = {"decoder": decoded.mean(0)}
        for index, name in enumerate(self.branches()):
            if count > 1:
                heads[f"{name}_decoder"] = decoded[index]
            read_BCT = probabilities(logits[index].float(), self.link)
            heads[f"{name}_encoder"] = masked(read_BCT, mask_BT)
        if self.fused is not None:
            fused_BCT = self.fused(torch.cat(features, dim=1))
            heads["fused"] = masked(probabilities(fused_BCT.float(), self.link), mask_BT)
        return heads

    def _seen(self, features: list[Tensor], index: int) -> list[Tensor]:
        """What a branch's decoder is conditioned on: its own features first."""
        others = [z for i, z in enumerate(features) if i != index]
        return [features[index], *(others if self.config.shared_condition else ())]

    def _encode(
        self, batch: Batch, generators: Generators | None = None
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Each branch's encoder logits [B, C, T] and its features ẑ [B, N, T], cues exchanged."""
        encoded = [
            branch.encoder(branch.features(batch), batch.real_BT, generators)
            for branch in self.branches().values()
        ]
        logits, features = [pair[0] for pair in encoded], [pair[1] for pair in encoded]
        if self.hp_xlstm is not None:
            features = list(self.hp_xlstm(*features, batch.real_BT))
        return logits, features


class Branch(nn.Module):
    """The stream, encoder, Fourier condition and decoder of one branch. What is done with them is HopaDIFF's."""

    def __init__(self, stream: StreamName, feature_size: int, classes: int, config: HopaDIFFConfig):
        super().__init__()
        self.features = Stream(stream, feature_size)
        self.encoder = Encoder(feature_size, classes, config.encoder)
        self.fourier = FourierCondition(config.fourier)
        channels = config.encoder.condition_channels
        others = channels if config.shared_condition and config.partial_branch else 0
        self.decoder = Decoder(classes, channels + self.fourier.channels(channels) + others, config.decoder)

    def condition(self, seen: list[Tensor], mask_BT: Mask, generators: Generators | None = None) -> Projected:
        """ẑ and its frequency channels side by side (Eq. 6), as the decoder's layers project them.

        `seen`: the branch's own ẑ [B, N, T], and the other's if the condition is shared.
        """
        own, *others = seen
        condition = torch.cat([own, self.fourier(own, mask_BT), *others], dim=1)
        return self.decoder.project(condition, generators)
