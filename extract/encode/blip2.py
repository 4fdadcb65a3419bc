"""BLIP-2's multimodal Q-Former features: what 32 learnt queries see in an image, given a sentence.

As LAVIS' `extract_features(mode="multimodal")` of `blip2_feature_extractor`: the vision tower (ViT-g/14) sees
the image; the Q-Former reads the sentence beside its query tokens and lets them look at the vision tower's
output; the queries' last states are the features. The vision output does not depend on the sentence, so
it is reused for every person of a movie; that is exact.

In and out: see `rhas.extract.encode.encoder`. Li et al., "BLIP-2: Bootstrapping Language-Image Pre-training with
Frozen Image Encoders and Large Language Models" (2023), section 3.2, image-text matching.

Shapes: N images, P patches + 1, V vision width, Q query tokens (32), T text tokens, D features (768).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from rhas.extract.encode.encoder import Encoder
from rhas.extract.weights.checkpoints import refuse_missing_weights, refuse_other_models
from rhas.manifests.common.errors import InputError, Problem


class Blip2Encoder(Encoder):
    """Features [N, D], or [N, Q, D] with `tokens="all"`."""

    fit = "squash"  # as BLIP-2's own processing, in training and after
    # The temperature that its training begins with; what it ends with isn't part of transformers' checkpoints.
    sharpness = 1 / 0.07

    def __init__(
        self,
        name: str,
        model: Any,
        tokenizer: Any,
        mean: Sequence[float],
        std: Sequence[float],
        tokens: Literal["mean", "all"] = "mean",
    ) -> None:
        super().__init__(name, model, tokenizer, mean, std)
        config = model.config
        self.tokens = tokens
        self.image_size = config.vision_config.image_size
        self.max_tokens = config.qformer_config.max_position_embeddings
        width = config.qformer_config.hidden_size
        self.feature_shape = (width,) if tokens == "mean" else (config.num_query_tokens, width)
        # A checkpoint doesn't say which of its heads were trained: those that weren't have biases of exactly 0.
        trained = all(bool(head.bias.any()) for head in (model.vision_projection, model.text_projection))
        self.compares = "vectors" if trained else "pairs"

    @classmethod
    def from_pretrained(cls, weights: str, tokens: Literal["mean", "all"] = "mean") -> Blip2Encoder:
        """Loads a `Blip2ForImageTextRetrieval` checkpoint from a directory or the hub, in float32."""
        from transformers import (
            AutoTokenizer,
            Blip2ForImageTextRetrieval,
            BlipImageProcessor,
            PretrainedConfig,
        )

        config, _ = PretrainedConfig.get_config_dict(weights)
        refuse_other_models(weights, config.get("architectures"), "Blip2ForImageTextRetrieval")
        if not config.get("qformer_config", {}).get("use_qformer_text_input"):
            raise InputError(
                Problem(weights, "a Q-Former that reads text", column="use_qformer_text_input", value=False)
            )
        model, info = Blip2ForImageTextRetrieval.from_pretrained(
            weights, dtype=torch.float32, output_loading_info=True
        )
        refuse_missing_weights(weights, info["missing_keys"])
        processor = BlipImageProcessor.from_pretrained(weights)
        tokenizer = AutoTokenizer.from_pretrained(weights)
        return cls(weights, model, tokenizer, processor.image_mean, processor.image_std, tokens)

    def clean(self, sentence: str) -> str:
        """Lower case, LAVIS' `blip_caption` punctuation blanked, single spaces.

        LAVIS also cuts at 50 words; here a sentence is never cut.
        """
        return super().clean(re.sub(r'[.!"()*#:;~]', " ", sentence.lower()))

    def see(self, images_NCSS: Tensor) -> Tensor:
        """The vision tower's last hidden state [N, P, V]."""
        return self.model.vision_model(pixel_values=self.normalise(images_NCSS)).last_hidden_state

    def read(self, seen: Tensor, sentence: str) -> Tensor:
        """The query tokens' last states given the sentence: their mean [N, D], or all [N, Q, D]; float32."""
        features_NQD = self._states(seen, sentence).float()
        return features_NQD.mean(dim=1) if self.tokens == "mean" else features_NQD

    def _states(self, vision_NPV: Tensor, sentence: str) -> Tensor:
        """The query tokens' last states [N, Q, D]."""
        count, query_length = len(vision_NPV), self.model.query_tokens.shape[1]
        ids_1T = self.tokenise(sentence)
        # One sentence for all images: embedded once, no padding, hence a mask of ones over queries and text.
        inputs_1LD = self.model.embeddings(input_ids=ids_1T, query_embeds=self.model.query_tokens)
        inputs_NLD = inputs_1LD.expand(count, -1, -1)
        states_NLD = self.model.qformer(
            query_embeds=inputs_NLD,
            query_length=query_length,
            attention_mask=inputs_NLD.new_ones(inputs_NLD.shape[:2]),
            encoder_hidden_states=vision_NPV,
        ).last_hidden_state
        return states_NLD[:, :query_length]

    def picture_vectors(self, seen: Tensor) -> Tensor:
        """What the queries see without a sentence [N, Q, D], as in section 3.2, image-text contrastive learning."""
        queries_NQW = self.model.query_tokens.expand(len(seen), -1, -1)
        states_NQW = self.model.qformer(
            query_embeds=queries_NQW, encoder_hidden_states=seen
        ).last_hidden_state
        return F.normalize(self.model.vision_projection(states_NQW).float(), dim=-1)

    def sentence_vector(self, sentence: str) -> Tensor:
        """Of the state of the sentence's first token."""
        return F.normalize(self.model.text_projection(self._sentence_states(sentence)[0, 0]).float(), dim=-1)

    def match(self, seen: Tensor, sentence: str) -> Tensor:
        """By the head for image-text matching, whose answers of all queries are averaged."""
        logits_N2 = self.model.itm_head(self._states(seen, sentence)).float().mean(dim=1)
        return logits_N2[:, 1] - logits_N2[:, 0]

    def text_embedding(self, sentence: str) -> Tensor | None:
        """With all tokens, what the Q-Former makes of the sentence alone: the mean of its tokens' last states [D].

        As LAVIS' `extract_features(mode="text")`, averaged. None with their mean: the sentence is in the features
        already, and models that look at single tokens are those that look at the sentence.
        """
        if self.tokens == "mean":
            return None
        return self._sentence_states(sentence)[0].float().mean(dim=0)

    def _sentence_states(self, sentence: str) -> Tensor:
        """What the Q-Former makes of the sentence alone [1, T, D]."""
        ids_1T = self.tokenise(sentence)
        embedded_1TD = self.model.embeddings(input_ids=ids_1T)
        return self.model.qformer(
            query_embeds=embedded_1TD, query_length=0, attention_mask=torch.ones_like(ids_1T)
        ).last_hidden_state
