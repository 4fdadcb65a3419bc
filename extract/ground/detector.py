"""What a detector does, whatever implements it: frames and sentences in, candidate boxes out.

A subclass brings the model and one forward pass. Here is what both implementations share: preparing the
frames on the device, running the image backbone once for all sentences and
BERT once for each, scoring a sentence by its own tokens,
and selecting boxes. The caller decides on devices, batch sizes and `torch.autocast`, and what happens to a
person without candidates.

Shapes: B frames of H x W pixels, Q queries (boxes that the model proposes), T token positions.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rhas.extract.config import DetectorConfig
from rhas.extract.ground.boxes import Candidates, select_all, unpacked
from rhas.extract.ground.once import Readings, computed_once
from rhas.extract.ground.text import Caption, Captioner
from rhas.extract.weights.fingerprint import weights_hash
from rhas.manifests.common.errors import InputError, Problem

_MEAN = (0.485, 0.456, 0.406)  # ImageNet's, which Swin was trained with
_STD = (0.229, 0.224, 0.225)


class Detector(ABC):
    """Grounds sentences in frames. Made by `rhas.extract.ground.load_detector`."""

    def __init__(self, config: DetectorConfig, model: nn.Module, captioner: Captioner):
        self.config = config
        self.model: Any = model.eval()  # two unrelated classes with attributes of their own
        self.captioner = captioner
        self.device = torch.device("cpu")
        self._readings = Readings()
        self._mean, self._std = (torch.tensor(values)[:, None, None] for values in (_MEAN, _STD))

    @property
    @abstractmethod
    def backbone(self) -> nn.Module:
        """The part of the model that sees the image only; it returns (features, position embeddings)."""

    @property
    @abstractmethod
    def text_encoder(self) -> nn.Module:
        """BERT, which reads the caption only: token ids [B, T] to an output with `last_hidden_state`."""

    @property
    @abstractmethod
    def queries(self) -> int:
        """How many boxes the model proposes per frame."""

    @property
    @abstractmethod
    def strides(self) -> Sequence[int]:
        """Pixels between neighbouring positions, per feature level."""

    @abstractmethod
    def forward(self, pixels_B3HW: Tensor, caption: Caption) -> tuple[Tensor, Tensor]:
        """Token logits [B, Q, T] and boxes [B, Q, 4] (centre x, centre y, width, height in [0, 1])."""

    @cached_property
    def weights_hash(self) -> str:
        """Which weights these are; see `rhas.extract.weights.fingerprint`."""
        return weights_hash(self.model)

    def to(self, device: str | torch.device) -> Self:
        self.device = torch.device(device)
        self.model.to(self.device)
        self._mean, self._std = self._mean.to(self.device), self._std.to(self.device)
        self._readings = Readings()
        return self

    def check(self, sentences: Sequence[str]) -> None:
        """Raises one `InputError` with all sentences that can't be grounded."""
        self.captioner.check(sentences)

    @torch.inference_mode()
    def detect(self, frames_BHW3: Tensor, sentences: Sequence[str]) -> list[list[Candidates]]:
        """Candidates of every sentence in every frame: `result[sentence][frame]`.

        `frames_BHW3` are RGB, uint8, all of one size, on any device. A frame's result depends on the other
        frames of the batch by rounding only: the fusion subtracts a maximum over the batch before a softmax.
        """
        return [unpacked(own) for own in self.find(frames_BHW3, sentences).cpu()]

    def find(self, frames_BHW3: Tensor, sentences: Sequence[str]) -> Tensor:
        """The same on the device, which isn't waited for: [sentences, B, K, 5] of `rhas.extract.ground.boxes`.

        To be called within `torch.inference_mode`.
        """
        if frames_BHW3.ndim != 4 or frames_BHW3.shape[-1] != 3 or frames_BHW3.dtype != torch.uint8:
            raise ValueError(
                f"got {frames_BHW3.shape = } of {frames_BHW3.dtype}, expected [B, H, W, 3] uint8"
            )
        captions = self.captioner.captions(sentences, self.config.joint)
        if not len(frames_BHW3) or not captions:
            return torch.zeros(len(sentences), len(frames_BHW3), 0, 5)
        pixels_B3HW = self._prepare(frames_BHW3)
        boxes: list[Tensor] = []
        scores: list[Tensor] = []
        with computed_once(self.backbone):
            for caption in captions:
                with self._readings.of(caption.text, self.text_encoder):
                    logits_BQT, boxes_BQ4 = self.forward(pixels_B3HW, caption)
                for span in caption.spans:
                    boxes.append(boxes_BQ4.float())
                    scores.append(self._scores(logits_BQT[..., span.start : span.stop]))
        found_FK5 = select_all(
            torch.cat(boxes), torch.cat(scores), self.config.lowest_threshold, self.config.nms_iou
        )
        return found_FK5.reshape(len(sentences), len(frames_BHW3), *found_FK5.shape[1:])

    def _prepare(self, frames_BHW3: Tensor) -> Tensor:
        """uint8 [B, H, W, 3] to normalised float32 [B, 3, H', W'] on the device."""
        _, height, width, _ = frames_BHW3.shape
        height, width = resized(height, width, self.config.short_side, self.config.long_side)
        positions = sum(math.ceil(height / stride) * math.ceil(width / stride) for stride in self.strides)
        if positions < self.queries:
            expected = (
                f"a size that gives the model at least {self.queries} positions to propose boxes at; "
                f"{height}x{width} pixels give {positions}"
            )
            value = self.config.short_side
            raise InputError(
                Problem("extraction config", expected, column="detector.short_side", value=value)
            )
        pixels = frames_BHW3.to(self.device).permute(0, 3, 1, 2).float()
        pixels = F.interpolate(pixels, (height, width), mode="bilinear", antialias=True, align_corners=False)
        return (pixels / 255 - self._mean) / self._std

    def _scores(self, logits_BQS: Tensor) -> Tensor:
        """Logits of one sentence's S tokens to its scores [B, Q]."""
        probabilities_BQS = logits_BQS.float().sigmoid()
        return probabilities_BQS.amax(-1) if self.config.score == "max" else probabilities_BQS.mean(-1)


def resized(height: int, width: int, short_side: int, long_side: int) -> tuple[int, int]:
    """The size of a frame whose shorter side is `short_side`, or less where the longer would be too long."""
    scale = min(short_side / min(height, width), long_side / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))
