"""Systems for clips: RefAtomNet, and baselines that are a head on one vector.

Each gives logits of the classes and a box, by the same heads and the same losses.

Shapes: B clips, N query tokens, D features, C classes, E numbers of the vector.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from rhas.manifests.common.errors import InputError, Problem
from rhas.train.clips.config import ClipTrainConfig
from rhas.train.clips.data import ClipBatch, ClipData
from rhas.train.data.generators import Generators
from rhas.train.models.refatomnet.clips import ClipNet, Clips, clip_losses
from rhas.train.models.refatomnet.head import BoxHead, ClassHead


class Answer(NamedTuple):
    """What a system says."""

    logits_BC: Tensor
    box_B4: Tensor


class System(nn.Module):
    """A network on what is stored of clips."""

    def __init__(self, config: ClipTrainConfig, data: ClipData):
        """Raises InputError for a network that the features are not for."""
        super().__init__()
        self.config, self.kind = config, config.system
        tokens, width, detections = data.shape
        classes, model = len(data.vocabulary), config.model
        if self.kind == "refatomnet":
            if tokens < 2:
                expected = "a baseline: the encoder has no query tokens that could be compared"
                raise InputError(Problem("config of clips", expected, column="system", value=self.kind))
            self.network = ClipNet(tokens, detections, data.names_GD, classes, model)
            return
        size = {"tokens": width, "crop": width + 5, "location": 5}[self.kind]
        self.norm = nn.BatchNorm1d(size)  # numbers of a vector are of different sizes
        self.class_head = ClassHead(size, classes, model.network.head, model.network.dropout)
        self.box_head = BoxHead(size, model.box_head)

    def forward(self, batch: ClipBatch, generators: Generators | None = None) -> Answer:
        if self.kind == "refatomnet":
            clips = Clips(batch.image_BND, batch.sentence_BD, batch.boxes_BK4, batch.categories_BK)
            found = self.network(clips, generators)
            return Answer(found.logits_BC, found.box_B4)
        parts = {
            "tokens": [batch.image_BND.mean(1)],
            "crop": [batch.person_BND.mean(1), batch.grounded_B5],
            "location": [batch.grounded_B5],
        }[self.kind]
        vector_BE = torch.cat(parts, -1)
        if not (self.training and len(vector_BE) == 1):  # one clip has no spread
            vector_BE = self.norm(vector_BE)
        return Answer(self.class_head(vector_BE[None], generators)[0].T, self.box_head(vector_BE))

    def losses(self, batch: ClipBatch, generators: Generators | None = None) -> dict[str, Tensor]:
        """`classes` and `box`, weighted."""
        answer, model = self(batch, generators), self.config.model
        classes, box = clip_losses(answer.logits_BC, answer.box_B4, batch.labels_BC, batch.box_B4)
        return {"classes": model.classes_weight * classes, "box": model.box_weight * box}
