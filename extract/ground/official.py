"""The detector on the released implementation, the groundingdino-py package.

It takes released checkpoints (`.pth`), weights in transformers' format, and random ones. The package builds
its text encoder by downloading a pretrained BERT, whose weights the checkpoint then replaces; here BERT is
built from its config alone, and behind `PhraseBert`. The released configs turn activation checkpointing on;
that is for training and stays off.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from rhas.extract.config import DetectorConfig
from rhas.extract.ground import architecture as sizes
from rhas.extract.ground.architecture import ARCHITECTURES, Architecture
from rhas.extract.ground.bert import PhraseBert
from rhas.extract.ground.checkpoint import load_strictly, read_released, to_released
from rhas.extract.ground.detector import Detector
from rhas.extract.ground.random_weights import random_parts, seeded
from rhas.extract.ground.sources import kind_of, pretrained_port, text_encoder
from rhas.extract.ground.text import Caption, Captioner

if TYPE_CHECKING:
    from transformers import BertConfig


_KNOWN_WARNINGS = (
    "Importing from timm.models.layers is deprecated",
    "torch.meshgrid: in an upcoming release",
    r".torch.cuda.amp.autocast\(args...\). is deprecated",
    "User provided device_type of 'cuda', but CUDA is not available",
)


class OfficialDetector(Detector):
    """GroundingDINO as its authors released it."""

    @property
    def backbone(self) -> nn.Module:
        return self.model.backbone

    @property
    def text_encoder(self) -> nn.Module:
        return self.model.bert

    @property
    def queries(self) -> int:
        return self.model.num_queries

    @property
    def strides(self) -> tuple[int, ...]:
        return (8, 16, 32, 64)

    def forward(self, pixels_B3HW: Tensor, caption: Caption) -> tuple[Tensor, Tensor]:
        from groundingdino.util.misc import NestedTensor

        batch, _, height, width = pixels_B3HW.shape
        padding_BHW = torch.zeros(batch, height, width, dtype=torch.bool, device=pixels_B3HW.device)
        with _quiet():
            output = self.model(NestedTensor(pixels_B3HW, padding_BHW), captions=[caption.text] * batch)
        return output["pred_logits"], output["pred_boxes"]


def load(config: DetectorConfig) -> OfficialDetector:
    """The detector with the weights that the config names, on the CPU."""
    kind = kind_of(config.weights)
    if kind == "random":
        architecture, text_config, tokenizer = random_parts(config.weights, config.implementation)
        model = seeded(lambda: build(architecture, text_config, tokenizer))
    elif kind == "released":
        path = Path(config.weights).expanduser()
        state = read_released(path)
        text_config, tokenizer = text_encoder(config.text_encoder)
        model = build(ARCHITECTURES[config.backbone], text_config, tokenizer)
        load_strictly(model, state, path)
    else:
        port, tokenizer = pretrained_port(config.weights)
        text_config = port.config.text_config
        model = build(Architecture.from_transformers(port.config, config.weights), text_config, tokenizer)
        load_strictly(model, to_released(port.state_dict(), model.state_dict()), config.weights)
    limit = min(sizes.MAX_TEXT_TOKENS, text_config.max_position_embeddings)
    return OfficialDetector(config, model, Captioner(tokenizer, limit))


def build(architecture: Architecture, text_config: BertConfig, tokenizer: Any) -> nn.Module:
    """groundingdino-py's model of these sizes, with its initial weights."""
    if architecture.hidden != 256:
        raise ValueError(f"got {architecture.hidden = }; groundingdino-py computes positions for 256 only")
    with _quiet():
        from groundingdino.models.GroundingDINO.backbone.backbone import Joiner
        from groundingdino.models.GroundingDINO.backbone.position_encoding import build_position_encoding
        from groundingdino.models.GroundingDINO.backbone.swin_transformer import SwinTransformer
        from groundingdino.models.GroundingDINO.groundingdino import GroundingDINO
        from groundingdino.models.GroundingDINO.transformer import build_transformer

        swin = SwinTransformer(
            embed_dim=architecture.swin_dim,
            depths=list(architecture.swin_depths),
            num_heads=list(architecture.swin_heads),
            window_size=architecture.swin_window,
            out_indices=(1, 2, 3),
        )
        arguments = _transformer_arguments(architecture)
        backbone = Joiner(swin, build_position_encoding(arguments))
        backbone.num_channels = swin.num_features[1:]
        with _text_encoder(text_config, tokenizer):
            return GroundingDINO(
                backbone,
                build_transformer(arguments),
                num_queries=architecture.queries,
                aux_loss=False,
                iter_update=True,
                query_dim=4,
                num_feature_levels=sizes.FEATURE_LEVELS,
                nheads=architecture.heads,
                two_stage_type="standard",
                two_stage_bbox_embed_share=False,
                two_stage_class_embed_share=False,
            )


def _transformer_arguments(architecture: Architecture) -> SimpleNamespace:
    """What the package reads from a config file, as in the released ones."""
    return SimpleNamespace(
        hidden_dim=architecture.hidden,
        nheads=architecture.heads,
        num_queries=architecture.queries,
        dim_feedforward=architecture.ffn,
        enc_layers=architecture.encoder_layers,
        dec_layers=architecture.decoder_layers,
        num_feature_levels=sizes.FEATURE_LEVELS,
        enc_n_points=sizes.SAMPLING_POINTS,
        dec_n_points=sizes.SAMPLING_POINTS,
        position_embedding="sine",
        pe_temperatureH=sizes.TEMPERATURE,
        pe_temperatureW=sizes.TEMPERATURE,
        transformer_activation="relu",
        pre_norm=False,
        query_dim=4,
        num_patterns=0,
        two_stage_type="standard",
        embed_init_tgt=True,
        use_text_enhancer=True,
        use_fusion_layer=True,
        use_text_cross_attention=True,
        use_checkpoint=False,
        use_transformer_ckpt=False,
        dropout=0.0,
        text_dropout=0.0,
        fusion_dropout=0.0,
        fusion_droppath=0.0,
    )


@contextmanager
def _text_encoder(text_config: BertConfig, tokenizer: Any) -> Iterator[None]:
    """While a model is built, its module's ways to a text encoder lead to ours instead of to a download."""
    from groundingdino.models.GroundingDINO import groundingdino as module
    from transformers import BertModel

    loaders = SimpleNamespace(
        get_tokenlizer=lambda _: tokenizer,
        get_pretrained_language_model=lambda _: BertModel(text_config),
    )
    replaced = {"get_tokenlizer": loaders, "BertModelWarper": PhraseBert}
    originals = {name: getattr(module, name) for name in replaced}
    try:
        vars(module).update(replaced)
        yield
    finally:
        vars(module).update(originals)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the package's warnings of what will be deprecated (timm's layers, meshgrid, autocast)."""
    with warnings.catch_warnings():
        for message in _KNOWN_WARNINGS:
            warnings.filterwarnings("ignore", message)
        yield
