"""RefAtomNet as in the paper: of one person in one clip, the actions and the box in the key frame.

In: the query tokens of the clip's frames, averaged over frames, the sentence's vector, and what a detector found in the
key frame: boxes, and categories, of which each has the embedding of its name. Out: logits of the classes and a box.

Shapes: B clips, N query tokens, D width, K detections, G categories, C classes.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from rhas.manifests.common.configs import Settings
from rhas.train.data.generators import Generators
from rhas.train.models.layers.precision import in_float32
from rhas.train.models.refatomnet.config import NetworkConfig, Width
from rhas.train.models.refatomnet.head import BoxHead, ClassHead
from rhas.train.models.refatomnet.model import Joined, RefAtomNet


class ClipNetConfig(Settings):
    """The network, its heads and what trains it; the weights are the paper's (its Section 5.1)."""

    network: NetworkConfig = NetworkConfig()
    box_head: tuple[Width, Width] = (512, 128)
    """Widths of the layers before the box."""
    classes_weight: float = Field(1.0, ge=0)
    box_weight: float = Field(5.0, ge=0)
    """Of the mean squared error of the four corners. The released code has this 1 and that of the classes 5."""


class Clips(NamedTuple):
    """What a batch of clips is made of."""

    visual_BND: Tensor
    sentence_BD: Tensor
    boxes_BK4: Tensor  # corners x1 y1 x2 y2, shares of the frame
    categories_BK: Tensor  # int64, below 0 where the detector found nothing


class Found(NamedTuple):
    """What the network says."""

    logits_BC: Tensor
    box_B4: Tensor
    joined: Joined


class ClipNet(nn.Module):
    """RefAtomNet on clips."""

    names_GD: Tensor

    def __init__(self, tokens: int, detections: int, names_GD: Tensor, classes: int, config: ClipNetConfig):
        """`names_GD`: embeddings of the names of the detector's categories; nothing learns them."""
        super().__init__()
        width, network = names_GD.shape[1], config.network
        self.config = config
        self.register_buffer("names_GD", names_GD, persistent=False)
        self.refatomnet = RefAtomNet(width, tokens, 4 + width, network, places=detections)
        self.class_head = ClassHead(width, classes, network.head, network.dropout)
        self.box_head = BoxHead(width, config.box_head)

    def forward(self, clips: Clips, generators: Generators | None = None) -> Found:
        """`generators` has the dropout, in training, as of one video with a frame for each clip; None is torch's."""
        network, sentence, places = self.config.network, None, None
        if network.sentence:
            sentence = self.refatomnet.look("sentence", self.refatomnet.sentence(clips.sentence_BD))
        if network.location:
            names_BKD = self.names_GD[clips.categories_BK.clamp(min=0)]
            known_BKX = torch.cat([clips.boxes_BK4, names_BKD], -1)
            places = self.refatomnet.places(known_BKX, clips.categories_BK >= 0)
        joined = self.refatomnet(clips.visual_BND, sentence, places)
        logits_BC = self.class_head(joined.fused_BD[None], generators)[0].T
        return Found(logits_BC, self.box_head(joined.fused_BD), joined)

    def losses(self, found: Found, labels_BC: Tensor, box_B4: Tensor) -> dict[str, Tensor]:
        """`classes` and `box`, weighted; each a mean over all its numbers."""
        classes, box = clip_losses(found.logits_BC, found.box_B4, labels_BC, box_B4)
        return {"classes": self.config.classes_weight * classes, "box": self.config.box_weight * box}


@in_float32
def clip_losses(
    logits_BC: Tensor, found_B4: Tensor, labels_BC: Tensor, box_B4: Tensor
) -> tuple[Tensor, Tensor]:
    """Binary cross entropy of the classes and squared error of the box (Eq. 13 and 14), means."""
    return F.binary_cross_entropy_with_logits(logits_BC, labels_BC), F.mse_loss(found_B4, box_B4)


def detections(logits_BKG: Tensor, boxes_BK4: Tensor, released: bool = False) -> tuple[Tensor, Tensor]:
    """Boxes as corners, and categories, of what DETR gives: centre, width and height, and logits of COCO's 91 ids, of
    which 0 is none, and of nothing, which is the last one.

    Categories count from 0, which is *person*; −1 where there is nothing. `released`: as the released code has them,
    width and height in each other's place, and persons only.
    """
    middle_BK2, size_BK2 = boxes_BK4[..., :2], boxes_BK4[..., 2:]
    size_BK2 = size_BK2.flip(-1) if released else size_BK2
    corners_BK4 = torch.cat([middle_BK2 - size_BK2 / 2, middle_BK2 + size_BK2 / 2], -1)
    best_BK = logits_BKG.argmax(-1)
    there_BK = best_BK == 1 if released else (best_BK > 0) & (best_BK < logits_BKG.shape[-1] - 1)
    return corners_BK4, torch.where(there_BK, best_BK - 1, -1)
