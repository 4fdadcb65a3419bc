"""RefAtomNet as a `Segmenter`, frame by frame: no frame knows of any other.

The picture's tokens are those of the whole frame; places are the tokens of the person's crop, each with the corners of
the person's box, instead of what a detector finds in the frame: grounding has said who it is. A frame in which nobody
was found has places of zeros, one that has no features at all a learned embedding. The sentence is looked at once.

It needs all query tokens of a frame: of their mean alone attention would be the identity.

Shapes: B batch, T frames, t those of a chunk, n = B · t, N query tokens, D width, C classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from rhas.manifests.common.errors import InputError, Problem
from rhas.train.data.boxes import CHANNELS, corners
from rhas.train.models.diffusion.labels import probabilities
from rhas.train.models.layers.masking import masked
from rhas.train.models.losses import label_loss
from rhas.train.models.refatomnet.config import RefAtomNetConfig
from rhas.train.models.refatomnet.head import ClassHead
from rhas.train.models.refatomnet.model import RefAtomNet
from rhas.train.models.segmenter import SupervisedSegmenter

if TYPE_CHECKING:
    from rhas.train.data import Batch
    from rhas.train.data.generators import Generators


class RefAtomNetSegmenter(SupervisedSegmenter):
    """RefAtomNet on both streams of a batch and the sentence."""

    def __init__(self, feature_size: int, classes: int, config: RefAtomNetConfig):
        """`feature_size`: N · D, and behind these what is told of boxes. Raises InputError where it isn't."""
        super().__init__(classes, config.link)
        self.config, network = config, config.network
        self.boxes = network.location and config.boxes
        tokens, size = config.tokens, feature_size - CHANNELS * self.boxes
        if tokens is None or size < tokens or size % tokens:
            expected = "how many query tokens a frame's features are"
            value = f"{tokens}, of features of size {size}"
            raise InputError(Problem("training config", expected, column="settings.tokens", value=value))
        self.tokens, self.width = tokens, size // tokens
        self.absent_ND = nn.Parameter(torch.zeros(tokens, self.width))
        known = self.width + 4 * self.boxes
        self.refatomnet = RefAtomNet(self.width, tokens, known, network)
        self.class_head = ClassHead(self.width, classes, network.head, network.dropout)

    def losses(self, batch: Batch, generators: Generators) -> dict[str, Tensor]:
        """`cross_entropy`, a mean over frames."""
        y_BCT = batch.labels_BCT if batch.soft_labels_BCT is None else batch.soft_labels_BCT
        logits_BCT = self._logits(batch, generators)
        loss_B = label_loss(
            logits_BCT, y_BCT, batch.valid_BT, self.link, self.class_weight_C, self.config.losses.over_classes
        )
        return {"cross_entropy": loss_B.mean()}

    @torch.no_grad()
    def predict(self, batch: Batch, generators: Generators) -> Tensor:
        """Scores in [0, 1] [B, C, T], zero in the padding; nothing is drawn. In eval mode only."""
        assert not self.training, "predict draws no dropout: call eval() first"
        scores_BCT = probabilities(self._logits(batch, None).float(), self.link)
        return masked(scores_BCT, batch.real_BT)

    def _logits(self, batch: Batch, generators: Generators | None) -> Tensor:
        B, _, T = batch.holistic_BFT.shape
        sentence = None
        if self.config.network.sentence:
            assert batch.sentence_BD is not None, "got no sentence, expected data.sentence"
            tokens_BND = self.refatomnet.sentence(batch.sentence_BD)
            sentence = self.refatomnet.look("sentence", tokens_BND)
        step = max(1, self.config.chunk // B)
        fused = []
        for first in range(0, T, step):
            part = slice(first, min(first + step, T))
            has_n11 = batch.has_holistic_BT[:, part].flatten()[:, None, None]
            visual_nND = torch.where(has_n11, self._tokens(batch.holistic_BFT[:, :, part]), self.absent_ND)
            places_nND = self._places(batch, part) if self.config.network.location else None
            own = None if sentence is None else sentence.repeated(part.stop - part.start)
            joined = self.refatomnet(visual_nND, own, places_nND)
            fused.append(joined.fused_BD.unflatten(0, (B, -1)))
        return self.class_head(torch.cat(fused, 1), generators)

    def _tokens(self, features_BFt: Tensor) -> Tensor:
        """[n, N, D], without what is told of boxes."""
        tokens_BtE = features_BFt[:, : self.tokens * self.width].transpose(1, 2)
        return tokens_BtE.reshape(-1, self.tokens, self.width)

    def _places(self, batch: Batch, part: slice) -> Tensor:
        known_nNX = self._tokens(batch.partial_BFT[:, :, part])
        if self.boxes:
            box_Bt4 = corners(batch.partial_BFT[:, -CHANNELS:, part]).transpose(1, 2)
            box_nN4 = box_Bt4.reshape(-1, 1, 4).expand(-1, self.tokens, -1)
            known_nNX = torch.cat([box_nN4, known_nNX], -1)
        return self.refatomnet.places(known_nNX, batch.has_partial_BT[:, part].flatten()[:, None])
