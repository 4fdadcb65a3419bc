"""FUTR as a `Segmenter` that also anticipates, on the streams of a batch.

In training a part of each video is seen, its first frames; how many is drawn. Losses are those of the paper (Section
3.4): labels of frames that were seen, of each query up to the one that says none, and durations.

Shapes: B batch, C classes, T frames, U frames with those to come, M queries, N = C + 1 classes with none, the last.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from rhas.manifests.common.configs import Settings
from rhas.train.models.diffusion.labels import Link, probabilities
from rhas.train.models.futr.future import Future, future_of, told
from rhas.train.models.futr.model import FUTR, FUTRNetworkConfig, FUTROutput
from rhas.train.models.layers.masking import masked
from rhas.train.models.layers.precision import in_float32, wide
from rhas.train.models.losses import label_loss, weighted
from rhas.train.models.segmenter import Anticipator, SupervisedSegmenter
from rhas.train.models.streams import StreamNames, Streams

if TYPE_CHECKING:
    from rhas.train.data import Batch
    from rhas.train.data.generators import Generators


class FUTRLossConfig(Settings):
    """Weights of the losses: all 1, as the paper has them."""

    segmentation: float = Field(1.0, ge=0)
    actions: float = Field(1.0, ge=0)
    durations: float = Field(1.0, ge=0)
    over_classes: Literal["mean", "sum"] = "mean"
    """How binary cross entropies of a frame, or of a query, become one."""

    @property
    def weights(self) -> dict[str, float]:
        """By the kind of loss."""
        return {"segmentation": self.segmentation, "actions": self.actions, "durations": self.durations}


class FUTRConfig(Settings):
    """A FUTR, the streams that it sees and how it learns."""

    stream: StreamNames = "holistic"
    """both: one above the other."""
    link: Link = "sigmoid"
    network: FUTRNetworkConfig = FUTRNetworkConfig()
    observed: tuple[Annotated[float, Field(gt=0, le=1)], ...] = Field((0.2, 0.3, 0.5, 1.0), min_length=1)
    """Shares of a video that are seen in training, one of which is drawn; the paper's, and all of it, so that it
    segments whole videos as well."""
    ahead: float = Field(0.5, gt=0, le=1)
    """Share of a video, behind what is seen, that queries tell."""
    losses: FUTRLossConfig = FUTRLossConfig()


class FUTRSegmenter(SupervisedSegmenter, Anticipator):
    """FUTR on the streams of a batch."""

    observed_K: Tensor

    def __init__(self, feature_size: int, classes: int, config: FUTRConfig):
        super().__init__(classes, config.link)
        self.config = config
        self.streams = Streams(config.stream, feature_size)
        self.register_buffer("observed_K", torch.tensor(config.observed), persistent=False)
        self.futr = FUTR(self.streams.feature_size, classes, config.network)

    def losses(self, batch: Batch, generators: Generators) -> dict[str, Tensor]:
        """`segmentation`, `actions` and `durations`."""
        drawn_B = generators.integers(len(self.observed_K))
        seen_B = _part(batch.lengths_B, self.observed_K[drawn_B]).clamp(min=1)
        until_B = torch.minimum(seen_B + _part(batch.lengths_B, self.config.ahead), batch.lengths_B)
        seen_BT = torch.arange(batch.mask_BT.shape[1], device=seen_B.device) < seen_B[:, None]
        output = self.futr(self.streams(batch), seen_BT, generators if self.training else None)
        output = FUTROutput(*map(wide, output))
        future = future_of(batch.labels_BCT, batch.valid_BT, seen_B, until_B, self.config.network.queries)
        y_BCT = batch.labels_BCT if batch.soft_labels_BCT is None else batch.soft_labels_BCT
        over, weight_C = self.config.losses.over_classes, self.class_weight_C
        actions_B, durations_B = future_losses(output, future, self.link, weight_C, over)
        losses = {
            "segmentation": label_loss(
                output.frames_BCT, y_BCT, seen_BT & batch.valid_BT, self.link, weight_C, over
            ),
            "actions": actions_B,
            "durations": durations_B,
        }
        return weighted(losses, self.config.losses.weights)

    @torch.no_grad()
    def predict(self, batch: Batch, generators: Generators) -> Tensor:
        """The encoder's scores in [0, 1] [B, C, T], zero in the padding; nothing is drawn. In eval mode only."""
        assert not self.training, "predict draws no dropout: call eval() first"
        output = self.futr(self.streams(batch), batch.real_BT)
        return masked(probabilities(output.frames_BCT.float(), self.link), batch.real_BT)

    @torch.no_grad()
    def anticipate(self, batch: Batch, frames: Sequence[int], generators: Generators) -> Tensor:
        """Scores in [0, 1] [B, C, U], zero in the padding; nothing is drawn. In eval mode only.

        `frames` is what a video's length is said to be: how far queries tell depends on it.
        """
        assert not self.training, "anticipate draws no dropout: call eval() first"
        output, longest = self.futr(self.streams(batch), batch.real_BT), max(frames)
        seen_B, total_B = batch.lengths_B, torch.tensor(frames, device=batch.lengths_B.device)
        until_B = torch.minimum(seen_B + _part(total_B, self.config.ahead), total_B)
        actions_BMN, durations_BM = output.actions_BMN.float(), output.durations_BM.float()
        told_BCU = told(actions_BMN, durations_BM, self.link, seen_B, until_B, longest)
        scores_BCT = probabilities(output.frames_BCT.float(), self.link)
        at_U = torch.arange(longest, device=seen_B.device)
        shown_BCU = F.pad(scores_BCT, (0, longest - scores_BCT.shape[2]))[:, :, :longest]
        scores_BCU = torch.where((at_U < seen_B[:, None])[:, None], shown_BCU, told_BCU)
        return masked(scores_BCU, at_U < total_B[:, None])


@in_float32
def future_losses(
    output: FUTROutput, future: Future, link: Link, class_weight_C: Tensor, over_classes: str
) -> tuple[Tensor, Tensor]:
    """Losses of actions and of durations, each [B]: means over queries; 0 where nothing follows.

    Durations are the squared error of shares, which the runs that there are have among them.
    """
    actions_BMN, runs_B1 = output.actions_BMN, future.runs_B[:, None]
    at_M = torch.arange(actions_BMN.shape[1], device=runs_B1.device)
    true_BM = at_M < runs_B1
    told_BM = (at_M <= runs_B1) & (runs_B1 > 0)  # with the one that says none
    labels_BMC = future.labels_BCM.transpose(1, 2)
    if link == "softmax":
        weight_N = torch.cat([class_weight_C, class_weight_C.new_ones(1)])
        target_BMN = torch.cat([labels_BMC, (~true_BM)[:, :, None].to(labels_BMC.dtype)], 2)
        terms_BM = -(weight_N * target_BMN * actions_BMN.log_softmax(2)).sum(2)
    else:
        each_BMC = F.binary_cross_entropy_with_logits(
            actions_BMN[:, :, :-1], labels_BMC, reduction="none", pos_weight=class_weight_C
        )
        of_classes_BM = each_BMC.sum(2) if over_classes == "sum" else each_BMC.mean(2)
        none_BM = F.binary_cross_entropy_with_logits(
            actions_BMN[:, :, -1], (~true_BM).to(actions_BMN.dtype), reduction="none"
        )
        terms_BM = of_classes_BM * true_BM + none_BM
    actions_B = (terms_BM * told_BM).sum(1) / told_BM.sum(1).clamp(min=1)
    shares_BM = output.durations_BM.masked_fill(~true_BM & (runs_B1 > 0), -torch.inf).softmax(1)
    errors_BM = (shares_BM - future.shares_BM).square() * true_BM
    return actions_B, errors_BM.sum(1) / true_BM.sum(1).clamp(min=1)


def _part(frames_B: Tensor, share: Tensor | float) -> Tensor:
    """So many frames of each video, rounded down (up to rounding of the share itself) [B]."""
    return (frames_B * share + 1e-4).long()
