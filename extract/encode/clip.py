"""CLIP's image features and sentence embeddings, before normalisation, in their shared space.

The features don't depend on the sentence: for a person they are those of the person's crop. The sentence has
an embedding of its own. In and out: see `rhas.extract.encode.encoder`. Radford et al., "Learning Transferable
Visual Models From Natural Language Supervision" (2021).

Shapes: N images, T text tokens, D the shared space (512 for ViT-B/32).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from rhas.extract.encode.encoder import Encoder
from rhas.extract.weights.checkpoints import refuse_missing_weights, refuse_other_models


class ClipEncoder(Encoder):
    """Features [N, D]; the vision tower is all there is to them."""

    compares = "vectors"
    fit = "letterbox"  # CLIP's own centre crop would cut off the sides of a movie frame

    def __init__(
        self, name: str, model: Any, tokenizer: Any, mean: Sequence[float], std: Sequence[float]
    ) -> None:
        super().__init__(name, model, tokenizer, mean, std)
        config = model.config
        self.image_size = config.vision_config.image_size
        self.max_tokens = config.text_config.max_position_embeddings
        self.feature_shape = (config.projection_dim,)
        self.sharpness = float(model.logit_scale.exp())

    @classmethod
    def from_pretrained(cls, weights: str) -> ClipEncoder:
        """Loads a `CLIPModel` checkpoint from a directory or the hub, in float32."""
        from transformers import CLIPImageProcessor, CLIPModel, CLIPTokenizerFast, PretrainedConfig

        config, _ = PretrainedConfig.get_config_dict(weights)
        refuse_other_models(weights, config.get("architectures"), "CLIPModel")
        model, info = CLIPModel.from_pretrained(weights, dtype=torch.float32, output_loading_info=True)
        refuse_missing_weights(weights, info["missing_keys"])
        processor = CLIPImageProcessor.from_pretrained(weights)
        tokenizer = CLIPTokenizerFast.from_pretrained(weights)
        return cls(weights, model, tokenizer, processor.image_mean, processor.image_std)

    def see(self, images_NCSS: Tensor) -> Tensor:
        """Projected image features [N, D], not normalised."""
        pooled = self.model.vision_model(pixel_values=self.normalise(images_NCSS)).pooler_output
        return self.model.visual_projection(pooled).float()

    def read(self, seen: Tensor, sentence: str) -> Tensor:
        """The image features as they are: CLIP's towers don't meet."""
        return seen

    def text_embedding(self, sentence: str) -> Tensor:
        """The sentence's projected features [D], not normalised, float32."""
        pooled_1W = self.model.text_model(input_ids=self.tokenise(sentence)).pooler_output
        return self.model.text_projection(pooled_1W)[0].float()

    def picture_vectors(self, seen: Tensor) -> Tensor:
        """One vector a picture [N, 1, D]."""
        return F.normalize(seen.float(), dim=-1)[:, None]

    def sentence_vector(self, sentence: str) -> Tensor:
        return F.normalize(self.text_embedding(sentence), dim=-1)
