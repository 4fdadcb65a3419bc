"""The sizes of a GroundingDINO, in one form from which both implementations are built.

`ARCHITECTURES` holds the two released ones. What all GroundingDINOs share (four feature levels, four sampling
points, relu, box proposals from the encoder) is not a size and stands in `transformers_config`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from rhas.manifests.common.errors import InputError, Problem

if TYPE_CHECKING:
    from transformers import BertConfig, GroundingDinoConfig

FEATURE_LEVELS = 4
SAMPLING_POINTS = 4
TEMPERATURE = 20  # of the sine position embeddings of the image
MAX_TEXT_TOKENS = 256


@dataclass(frozen=True)
class Architecture:
    """What differs between one GroundingDINO and another."""

    swin_dim: int  # channels of the first of four stages; each stage doubles them
    swin_depths: tuple[int, int, int, int]
    swin_heads: tuple[int, int, int, int]
    swin_window: int
    hidden: int = 256  # the released implementation works with 256 only
    heads: int = 8
    ffn: int = 2048
    encoder_layers: int = 6
    decoder_layers: int = 6
    queries: int = 900

    def transformers_config(self, text_config: BertConfig) -> GroundingDinoConfig:
        """The same sizes as transformers writes them."""
        from transformers import GroundingDinoConfig, SwinConfig

        backbone = SwinConfig(
            embed_dim=self.swin_dim,
            depths=list(self.swin_depths),
            num_heads=list(self.swin_heads),
            window_size=self.swin_window,
            out_indices=[2, 3, 4],
        )
        return GroundingDinoConfig(
            backbone_config=backbone,
            text_config=text_config.to_dict(),
            d_model=self.hidden,
            encoder_attention_heads=self.heads,
            decoder_attention_heads=self.heads,
            encoder_ffn_dim=self.ffn,
            decoder_ffn_dim=self.ffn,
            encoder_layers=self.encoder_layers,
            decoder_layers=self.decoder_layers,
            num_queries=self.queries,
            num_feature_levels=FEATURE_LEVELS,
            encoder_n_points=SAMPLING_POINTS,
            decoder_n_points=SAMPLING_POINTS,
            positional_embedding_temperature=TEMPERATURE,
            max_text_len=MAX_TEXT_TOKENS,
            disable_custom_kernels=True,
        )

    @classmethod
    def from_transformers(cls, config: GroundingDinoConfig, source: str) -> Self:
        """The sizes in a transformers config. Raises `InputError` if the released code can't build them."""
        swin = config.backbone_config
        architecture = cls(
            swin_dim=swin.embed_dim,
            swin_depths=tuple(swin.depths),
            swin_heads=tuple(swin.num_heads),
            swin_window=swin.window_size,
            hidden=config.d_model,
            heads=config.encoder_attention_heads,
            ffn=config.encoder_ffn_dim,
            encoder_layers=config.encoder_layers,
            decoder_layers=config.decoder_layers,
            queries=config.num_queries,
        )
        given, buildable = config.to_dict(), architecture.transformers_config(config.text_config).to_dict()
        differing = [name for name in _SHAPES_THE_MODEL if given[name] != buildable[name]]
        differing += [f"backbone_config.{name}" for name in _SHAPES_SWIN
                      if given["backbone_config"][name] != buildable["backbone_config"][name]]  # fmt: skip
        if architecture.hidden != 256:
            differing.append("d_model")
        if differing:
            expected = (
                f"a model like the released ones in {', '.join(differing)}, or implementation: transformers"
            )
            raise InputError(Problem("extraction config", expected, column="detector.weights", value=source))
        return architecture


# Fields of transformers' config that change what the model computes and that an Architecture takes as given.
_SHAPES_THE_MODEL = (
    "decoder_attention_heads", "decoder_ffn_dim", "num_feature_levels", "encoder_n_points",
    "decoder_n_points", "positional_embedding_temperature", "position_embedding_type", "two_stage",
    "embedding_init_target", "decoder_bbox_embed_share", "two_stage_bbox_embed_share",
    "activation_function", "layer_norm_eps", "query_dim",
)  # fmt: skip
_SHAPES_SWIN = (
    "patch_size", "out_indices", "mlp_ratio", "qkv_bias", "hidden_act", "use_absolute_embeddings",
    "layer_norm_eps",
)  # fmt: skip

ARCHITECTURES = {
    "swin-t": Architecture(swin_dim=96, swin_depths=(2, 2, 6, 2), swin_heads=(3, 6, 12, 24), swin_window=7),
    "swin-b": Architecture(
        swin_dim=128, swin_depths=(2, 2, 18, 2), swin_heads=(4, 8, 16, 32), swin_window=12
    ),
}
