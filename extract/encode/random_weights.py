"""Encoders with random weights, made on the spot: nothing to download, features without meaning.

`random:tiny` runs the whole pipeline in milliseconds an image, for tests and dry runs; its features have
sizes of their own, smaller than the real ones. `random:full` has the released models' sizes, for measuring
speed and memory: BLIP-2 with ViT-g/14 (1.2 B parameters) or CLIP ViT-B/32. The weights are the same in every
process and don't touch the global random state.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from rhas.extract.config import EncoderConfig
from rhas.extract.encode.blip2 import Blip2Encoder
from rhas.extract.encode.clip import ClipEncoder
from rhas.extract.encode.encoder import Encoder
from rhas.extract.weights.random_tokenizers import BERT_BASE_VOCABULARY, write_bert_tokenizer
from rhas.manifests.common.errors import InputError, Problem

SEED = 0
START, END = "<|startoftext|>", "<|endoftext|>"  # CLIP's special tokens
SIZES = ("random:tiny", "random:full")

# OpenAI CLIP's, which BLIP-2 uses as well.
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)

# The vocabularies below spell words out, so sentences are several times as long as with the released ones.
MAX_TOKENS = 512
TINY_VOCABULARY = 1280


def random_encoder(config: EncoderConfig) -> Encoder:
    """The encoder that `config.weights`, one of SIZES, names."""
    if config.weights not in SIZES:
        raise InputError(
            Problem("extraction config", " or ".join(SIZES), column="encoder.weights", value=config.weights)
        )
    tiny = config.weights == "random:tiny"
    from transformers import BertTokenizerFast, CLIPTokenizerFast

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if config.kind == "blip2":
            write_bert_tokenizer(folder, TINY_VOCABULARY if tiny else BERT_BASE_VOCABULARY)
            tokenizer = BertTokenizerFast.from_pretrained(folder)
            return Blip2Encoder(config.weights, random_blip2(tiny), tokenizer, MEAN, STD, config.tokens)
        write_clip_tokenizer(folder)
        tokenizer = CLIPTokenizerFast.from_pretrained(folder)
        return ClipEncoder(config.weights, random_clip(tiny), tokenizer, MEAN, STD)


def random_blip2(tiny: bool) -> nn.Module:
    """A `Blip2ForImageTextRetrieval`; tiny: images of 32 pixels, features of 64."""
    from transformers import Blip2Config, Blip2ForImageTextRetrieval, Blip2QFormerConfig, Blip2VisionConfig

    # A few narrow layers tell sentences and images apart only with larger weights.
    spread = 0.2 if tiny else 0.02
    tower = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
    vision: dict[str, Any] = {"initializer_range": spread}
    qformer: dict[str, Any] = {
        "initializer_range": spread,
        "max_position_embeddings": MAX_TOKENS,
        "use_qformer_text_input": True,
    }
    if tiny:
        vision |= tower | {"image_size": 32, "patch_size": 8}
        qformer |= tower | {"vocab_size": TINY_VOCABULARY}
    config = Blip2Config.from_vision_qformer_text_configs(
        Blip2VisionConfig(**vision), Blip2QFormerConfig(**qformer), image_text_hidden_size=32 if tiny else 256
    )

    def build() -> Any:
        model = Blip2ForImageTextRetrieval(config)
        model.query_tokens.data.normal_(std=spread)  # transformers starts them at zero: all queries the same
        return model

    return _seeded(build)


def random_clip(tiny: bool) -> nn.Module:
    """A `CLIPModel`; tiny: images of 32 pixels, features of 48."""
    from transformers import CLIPConfig, CLIPModel

    vocabulary = clip_vocabulary()
    start, end = vocabulary[START], vocabulary[END]
    text: dict[str, Any] = {
        "max_position_embeddings": MAX_TOKENS,
        "bos_token_id": start,
        "eos_token_id": end,
        "pad_token_id": end,
    }
    vision: dict[str, Any] = {}
    if tiny:
        tower = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
        text |= tower | {"vocab_size": len(vocabulary)}
        vision |= tower | {"image_size": 32, "patch_size": 8}
    config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=48 if tiny else 512)
    return _seeded(lambda: CLIPModel(config))


def write_clip_tokenizer(folder: Path) -> None:
    """Writes a CLIP tokenizer without merges: every byte of a word is a token."""
    from transformers import CLIPTokenizerFast

    vocab, merges = folder / "vocab.json", folder / "merges.txt"
    vocab.write_text(json.dumps(clip_vocabulary()), encoding="utf-8")
    merges.write_text("#version: 0.2\n", encoding="utf-8")
    CLIPTokenizerFast(
        vocab_file=str(vocab), merges_file=str(merges), model_max_length=MAX_TOKENS
    ).save_pretrained(folder)


def clip_vocabulary() -> dict[str, int]:
    """Byte symbols, the same again as ends of words, the start and end tokens: the released order and ids."""
    from transformers.models.clip.tokenization_clip import bytes_to_unicode

    symbols = list(bytes_to_unicode().values())
    tokens = [*symbols, *(f"{symbol}</w>" for symbol in symbols), START, END]
    return {token: i for i, token in enumerate(tokens)}


def _seeded(build: Callable[[], nn.Module]) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        return build()
