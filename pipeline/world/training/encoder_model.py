"""The small BLIP-2 for image-text matching: its sizes, and the heads that it is trained with."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rhas.extract.weights.torchvision_fix import ensure_importable
from rhas.pipeline.world.lives import HANDS, POSTURES
from rhas.pipeline.world.training.detector_model import LOOKS
from rhas.pipeline.world.training.vocabulary import VOCABULARY

IMAGE, PATCH = 64, 8  # pixels
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)  # BLIP-2's


def encoder_config(vision: int = 160, width: int = 128, layers: int = 6) -> Any:
    """Sizes in transformers' form: about two and a half million parameters, features of `width`."""
    ensure_importable()
    from transformers import Blip2Config, Blip2QFormerConfig, Blip2VisionConfig

    return Blip2Config.from_vision_qformer_text_configs(
        Blip2VisionConfig(
            hidden_size=vision, intermediate_size=3 * vision, num_hidden_layers=4, num_attention_heads=4,
            image_size=IMAGE, patch_size=PATCH, initializer_range=0.02,
        ),
        Blip2QFormerConfig(
            vocab_size=VOCABULARY, hidden_size=width, intermediate_size=2 * width, num_hidden_layers=layers,
            num_attention_heads=4, cross_attention_frequency=2, encoder_hidden_size=vision,
            max_position_embeddings=64, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
            use_qformer_text_input=True,
        ),
        num_query_tokens=8, image_text_hidden_size=64,
    )  # fmt: skip


def see(tower: nn.Module, images_NCSS: Tensor) -> Tensor:
    """A vision tower's last hidden state [N, P, V] of images in [0, 1]."""
    mean, std = (images_NCSS.new_tensor(values).view(3, 1, 1) for values in (MEAN, STD))
    return tower(pixel_values=(images_NCSS - mean) / std).last_hidden_state


class TrainedEncoder(nn.Module):
    """The model, and heads on the features that extraction would write: these are for training only."""

    def __init__(self, config: Any, seed: int) -> None:
        super().__init__()
        from transformers import Blip2ForImageTextRetrieval

        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            self.model: Any = Blip2ForImageTextRetrieval(config)
            nn.init.normal_(self.model.query_tokens, std=0.5)  # all the same otherwise
            width = config.qformer_config.hidden_size
            sizes = {"posture": len(POSTURES), "hands": len(HANDS) + 1, "place": 2, "present": 1}
            sizes |= {name: len(values) for name, values in LOOKS.items()}
            told = {
                f"claimed {name}": size for name, size in sizes.items() if name not in ("place", "present")
            }
            sizes |= told | {"wrong": len(told)}
            self.heads = nn.ModuleDict({name: nn.Linear(width, size) for name, size in sizes.items()})

    def take(self, folder: Path) -> None:
        """Goes on from a model that `save_encoder` wrote; the heads are left as they are."""
        from transformers import Blip2ForImageTextRetrieval

        self.model.load_state_dict(Blip2ForImageTextRetrieval.from_pretrained(folder).state_dict())

    def read(self, seen_NPV: Tensor, ids_NS: Tensor) -> Tensor:
        """The queries' last states [N, Q, D] given sentences, padded with 0."""
        queries = self.model.query_tokens.expand(len(ids_NS), -1, -1)
        count = queries.shape[1]
        mask = torch.cat([ids_NS.new_ones(len(ids_NS), count), (ids_NS != 0).long()], 1)
        return self.model.qformer(
            query_embeds=self.model.embeddings(input_ids=ids_NS, query_embeds=queries), query_length=count,
            attention_mask=mask, encoder_hidden_states=seen_NPV,
        ).last_hidden_state[:, :count]  # fmt: skip

    def match(self, states_NQD: Tensor) -> Tensor:
        """Logits [N, 2]: doesn't match, matches."""
        return self.model.itm_head(states_NQD).mean(1)


def save_encoder(trained: TrainedEncoder, tokenizer: Any, folder: Path) -> None:
    """Writes the model without its training heads, in half precision, as transformers loads it."""
    from transformers import BlipImageProcessor

    copy.deepcopy(trained.model).cpu().half().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    size = {"height": IMAGE, "width": IMAGE}
    BlipImageProcessor(size=size, image_mean=MEAN, image_std=STD).save_pretrained(folder)
