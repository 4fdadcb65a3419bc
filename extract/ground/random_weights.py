"""GroundingDINOs with random weights: nothing to download, the same in every run.

`random:tiny` runs in hundredths of a second and is for tests and dry runs; `random:full` has the released
Swin-T's size and is for measuring speed. Their boxes mean nothing, but they are finite, differ between
queries, frames and sentences, and many of them score high.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from rhas.extract.ground.architecture import ARCHITECTURES, Architecture
from rhas.extract.weights.random_tokenizers import BERT_BASE_VOCABULARY, write_bert_tokenizer

if TYPE_CHECKING:
    from transformers import BertConfig

SEED = 0
_TINY = {
    "transformers": Architecture(
        swin_dim=8, swin_depths=(1, 1, 1, 1), swin_heads=(1, 2, 2, 4), swin_window=5,
        hidden=32, heads=4, ffn=64, encoder_layers=1, decoder_layers=2, queries=20,
    ),
    "groundingdino": Architecture(
        swin_dim=8, swin_depths=(1, 1, 1, 1), swin_heads=(1, 2, 2, 4), swin_window=5,
        ffn=64, encoder_layers=1, decoder_layers=2, queries=20,
    ),
}  # fmt: skip


def random_parts(weights: str, implementation: str) -> tuple[Architecture, BertConfig, Any]:
    """Sizes, text encoder and tokenizer of `random:tiny` or `random:full` for an implementation."""
    from transformers import BertConfig, BertTokenizerFast

    full = weights == "random:full"
    vocab_size = BERT_BASE_VOCABULARY if full else 1280
    tiny_bert = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64,
                 "max_position_embeddings": 256}  # fmt: skip
    text_config = BertConfig(vocab_size=vocab_size, **({} if full else tiny_bert))
    with tempfile.TemporaryDirectory() as folder:
        write_bert_tokenizer(Path(folder), vocab_size)
        tokenizer = BertTokenizerFast.from_pretrained(folder)
    return ARCHITECTURES["swin-t"] if full else _TINY[implementation], text_config, tokenizer


def seeded(build: Callable[[], nn.Module], seed: int = SEED) -> nn.Module:
    """Builds a module and draws its weights, leaving the global random state as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # the CPU's only, as nothing puts the GPUs' back
        module = build()
    randomise(module, torch.Generator().manual_seed(seed))
    return module


@torch.no_grad()
def randomise(module: nn.Module, generator: torch.Generator) -> None:
    """Draws every parameter of a GroundingDINO, those too that start at 0, as the last layer for boxes does.

    Matrices get variance 1 / inputs, which keeps activations near 1. Vectors (biases, norms, scales) move by
    .1 from where they start.
    """
    for name, parameter in module.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if parameter.ndim > 1:
            parameter.copy_(noise / math.sqrt(parameter[0].numel()))
        else:
            parameter.add_(0.1 * noise)
        if name.endswith(("decoder.norm.weight", "decoder.layer_norm.weight")):
            # A logit is a product of two normalised vectors, near sqrt(channels); all scores would be 0 or 1.
            parameter.mul_(1 / math.sqrt(parameter.numel()))
