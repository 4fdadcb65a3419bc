"""The small GroundingDINO: its sizes, how its weights start, and the heads that it is trained with."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rhas.extract.weights.torchvision_fix import ensure_importable
from rhas.pipeline.world.looks import HAIR, HATS, HEIGHTS, SHIRTS, TROUSERS
from rhas.pipeline.world.training.detector_shapes import ShapeHead
from rhas.pipeline.world.training.vocabulary import VOCABULARY

STRIDE = 8  # pixels of the finer of the two feature levels
# What the heads have to tell, and where in a person's box it is to be seen: top and bottom as shares of its height.
LOOKS: dict[str, tuple[str, ...]] = {
    "shirt": tuple(SHIRTS), "trousers": tuple(TROUSERS), "hair": tuple(HAIR), "hat": ("", *HATS),
    "height": tuple(HEIGHTS), "gender": ("woman", "man"),
}  # fmt: skip
REGIONS = {"shirt": (0.2, 0.6), "trousers": (0.5, 1.0), "hair": (0.0, 0.3), "hat": (0.0, 0.25), "height": (0.0, 1.0),
           "gender": (0.0, 0.4)}  # fmt: skip


def detector_config(dim: int = 32, width: int = 64, text_layers: int = 2) -> Any:
    """Sizes in transformers' form: about a million parameters."""
    ensure_importable()
    from transformers import BertConfig, GroundingDinoConfig, SwinConfig

    backbone = SwinConfig(
        embed_dim=dim, patch_size=4, depths=[2, 2, 2], num_heads=[2, 4, 8], window_size=5, mlp_ratio=2.0,
        out_indices=[2, 3], drop_path_rate=0.0,
    )  # fmt: skip
    text = BertConfig(
        vocab_size=VOCABULARY, hidden_size=width, num_hidden_layers=text_layers, num_attention_heads=4,
        intermediate_size=2 * width, max_position_embeddings=64, hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    return GroundingDinoConfig(
        backbone_config=backbone, text_config=text.to_dict(), d_model=width, num_queries=16, encoder_layers=2,
        decoder_layers=2, encoder_ffn_dim=4 * width, decoder_ffn_dim=4 * width, encoder_attention_heads=4,
        decoder_attention_heads=4, num_feature_levels=2, dropout=0.0, fusion_droppath=0.0, max_text_len=64,
        disable_custom_kernels=True,
    )  # fmt: skip


class TrainedDetector(nn.Module):
    """The model, and heads that tell looks and shapes from its features: these are for training only."""

    def __init__(self, config: Any, seed: int) -> None:
        super().__init__()
        from transformers import GroundingDinoForObjectDetection

        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            self.model: Any = GroundingDinoForObjectDetection(config)
            channels = 2 * config.backbone_config.embed_dim
            self.backbone_heads = _heads(channels)
            self.encoder_heads = _heads(config.d_model)
            self.backbone_shapes, self.encoder_shapes = ShapeHead(channels), ShapeHead(config.d_model)
            _start(self.model)

    def see(self, pixels_B3HW: Tensor) -> tuple[list[Any], list[Any]]:
        """The backbone's features and positions, which don't depend on a sentence."""
        mask = torch.ones_like(pixels_B3HW[:, 0], dtype=torch.long)
        return self.model.model.backbone(pixels_B3HW, mask)

    def ground(
        self, seen: tuple[list[Any], list[Any]], image_N: Tensor, pixels_B3HW: Tensor, words: Any
    ) -> Any:
        """The model's output for N sentences, sentence n about image `image_N[n]`."""
        features = [(source[image_N], mask[image_N]) for source, mask in seen[0]]
        positions = [position[image_N] for position in seen[1]]
        with _given(self.model.model.backbone, (features, positions)):
            return self.model(pixel_values=pixels_B3HW[image_N], **words)

    def layers(self, output: Any, tokens_NS: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Each decoder layer's logits [N, Q, S] and boxes [N, Q, 4] (centre and size); the last's are the output."""
        answers = []
        for number, states_NQD in enumerate(output.intermediate_hidden_states.unbind(1)):
            begun_NQ4 = (
                output.intermediate_reference_points[:, number - 1]
                if number
                else output.init_reference_points
            )
            logits = self.model.class_embed[number](
                vision_hidden_state=states_NQD,
                text_hidden_state=output.encoder_last_hidden_state_text,
                text_token_mask=tokens_NS,
            )
            moved_NQ4 = torch.special.logit(begun_NQ4, eps=1e-5) + self.model.bbox_embed[number](states_NQD)
            answers.append((logits[..., : tokens_NS.shape[1]], moved_NQ4.sigmoid()))
        return answers


def _heads(channels: int) -> nn.ModuleDict:
    return nn.ModuleDict({name: nn.Linear(channels, len(values)) for name, values in LOOKS.items()})


def _start(model: Any) -> None:
    """Weights that start where a short training can use them."""
    # At transformers' own 0.02 what enters the proposals is tiny beside their norm, and gradients are near 1000.
    nn.init.xavier_uniform_(model.model.enc_output.weight)
    for name, parameter in model.named_parameters():
        if name.endswith(("vision_param", "text_param")):  # how much image and sentence tell each other
            nn.init.constant_(parameter, 0.1)


@contextmanager
def _given(backbone: nn.Module, result: tuple[list[Any], list[Any]]) -> Iterator[None]:
    """Inside, the backbone gives this result: the model asks for it once for each sentence."""
    backbone.forward = lambda *_: (list(result[0]), list(result[1]))
    try:
        yield
    finally:
        del backbone.forward


def save_detector(trained: TrainedDetector, tokenizer: Any, folder: Path) -> None:
    """Writes the model without its training heads, in half precision, as transformers loads it."""
    copy.deepcopy(trained.model).cpu().half().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
