"""The detector on transformers' port of GroundingDINO.

It takes weights in transformers' format, released checkpoints (`.pth`, through the table of names), and
random ones. It computes what the released implementation does but for boxes at the very edge: between decoder
layers the port takes the logit of a coordinate clamped to 1e-5 from 0 and 1, the released code to 1e-3.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rhas.extract.config import DetectorConfig
from rhas.extract.ground.architecture import ARCHITECTURES
from rhas.extract.ground.checkpoint import load_strictly, read_released, to_transformers
from rhas.extract.ground.detector import Detector
from rhas.extract.ground.random_weights import random_parts, seeded
from rhas.extract.ground.sources import kind_of, pretrained_port, text_encoder
from rhas.extract.ground.text import Caption, Captioner


class PortDetector(Detector):
    """GroundingDINO as transformers has it."""

    @property
    def backbone(self) -> nn.Module:
        return self.model.model.backbone

    @property
    def text_encoder(self) -> nn.Module:
        return self.model.model.text_backbone

    @property
    def queries(self) -> int:
        return self.model.config.num_queries

    @property
    def strides(self) -> tuple[int, ...]:
        config = self.model.config
        swin = config.backbone_config
        strides = [swin.patch_size * 2 ** (stage - 1) for stage in swin.out_indices]
        while len(strides) < config.num_feature_levels:
            strides.append(2 * strides[-1])
        return tuple(strides)

    def forward(self, pixels_B3HW: Tensor, caption: Caption) -> tuple[Tensor, Tensor]:
        ids_L = torch.tensor(caption.input_ids)
        ids_BL = ids_L.to(pixels_B3HW.device, non_blocking=True).expand(len(pixels_B3HW), -1)
        with _phrases(ids_L):
            output = self.model(pixel_values=pixels_B3HW, input_ids=ids_BL)
        return output.logits, output.pred_boxes


@contextmanager
def _phrases(ids_L: Tensor) -> Iterator[None]:
    """Inside, which tokens see each other is found out on the CPU, from one row: the port's own way asks the device
    about every delimiter of every row."""
    from transformers.models.grounding_dino import modeling_grounding_dino as module

    name = "generate_masks_with_special_tokens_and_transfer_map"
    original = getattr(module, name)

    def found(input_ids: Tensor) -> tuple[Tensor, Tensor]:
        rows, device = len(input_ids), input_ids.device
        mask_1LL, position_1L = original(ids_L[None])
        mask_1LL, position_1L = (x.to(device, non_blocking=True) for x in (mask_1LL, position_1L))
        return mask_1LL.repeat(rows, 1, 1), position_1L.repeat(rows, 1)

    vars(module)[name] = found
    try:
        yield
    finally:
        vars(module)[name] = original


def load(config: DetectorConfig) -> PortDetector:
    """The detector with the weights that the config names, on the CPU."""
    from transformers import GroundingDinoForObjectDetection

    model: Any
    kind = kind_of(config.weights)
    if kind == "random":
        architecture, text_config, tokenizer = random_parts(config.weights, config.implementation)
        port_config = architecture.transformers_config(text_config)
        model = seeded(lambda: GroundingDinoForObjectDetection(port_config))
    elif kind == "released":
        path = Path(config.weights).expanduser()
        state = read_released(path)
        text_config, tokenizer = text_encoder(config.text_encoder)
        model = GroundingDinoForObjectDetection(
            ARCHITECTURES[config.backbone].transformers_config(text_config)
        )
        load_strictly(model, to_transformers(state), path)
    else:
        model, tokenizer = pretrained_port(config.weights)
    limit = min(model.config.max_text_len, model.config.text_config.max_position_embeddings)
    return PortDetector(config, model, Captioner(tokenizer, limit))
