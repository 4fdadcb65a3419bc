"""Every shipped preset's model, at a size that trains in a blink, and each model with the link that no preset has.

Layers, widths and sampling steps are small; everything else is the preset's. `case` names are for parametrised tests.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from made_batches import C, F

from rhas.train.config import TrainConfig, load_config, preset_names
from rhas.train.models.registry import build_model
from rhas.train.models.segmenter import Segmenter

_ACTDIFF = {
    "encoder": {"layers": 2, "width": 8, "condition_layers": [0, 1]},
    "decoder": {"layers": 2, "width": 8, "time_width": 8},
    "diffusion": {"sampling_steps": 2},
}
_SMALL: dict[str, dict[str, Any]] = {
    "actdiff": _ACTDIFF,
    "actfusion": _ACTDIFF,
    "asformer": {"network": {"decoders": 1, "layers": 3, "width": 8}},
    "asquery": {
        "network": {
            "width": 8,
            "heads": 2,
            "window": 5,
            "conv_dilations": [2],
            "stem_dilations": [2],
            "branch_dilations": [2, 4],
            "scales": 2,
        },
    },
    "fact": {
        "network": {
            "blocks": "iuU",
            "tokens": 6,
            "width": 16,
            "frame_width": 8,
            "frame_layers": [2, 2],
            "token_width": 8,
            "token_layers": 2,
            "heads": 2,
            "feedforward": 8,
        },
        "time_mask": {"longest": 4},
    },
    "futr": {
        "network": {
            "width": 8,
            "heads": 2,
            "encoder_layers": 1,
            "decoder_layers": 1,
            "queries": 4,
            "positions": 60,
        }
    },
    "hopadiff": {**_ACTDIFF, "hp_xlstm": {"heads": 2, "gate_width": 4, "chunk": 16}},
    "ltcontext": {"network": {"stages": 2, "layers": 2, "width": 8, "window": 8, "long_term_step": 4}},
    "refatomnet": {"tokens": 2, "boxes": False, "network": {"agents": 2, "head": [8, 6]}, "chunk": 50},
    "mstcn": {"network": {"prediction_layers": 3, "refinements": 1, "refinement_layers": 2, "width": 8}},
}
_OTHERS = {
    "actdiff sigmoid": ("actdiff-gtea", {"link": "sigmoid"}),
    "fact without cuts": ("fact", {"network": {"blocks": "iu"}}),
    "hopadiff softmax": ("paper", {"link": "softmax"}),
    "hopadiff, one branch": ("hopadiff", {"partial_branch": False}),
    "hopadiff without the Fourier condition": ("paper", {"fourier": {"variant": "none"}}),
    "ltcontext softmax": ("ltcontext", {"link": "softmax"}),
    "refatomnet softmax": ("refatomnet", {"link": "softmax"}),
    "refatomnet released": ("refatomnet", {"network": {"released": True}}),
}
CASES = [*preset_names(), *_OTHERS]
# Those that differ by more than numbers. FACT's block of segments has a test of its own: a pretended GPU takes half a
# minute for its GRU.
KINDS = [
    "actdiff-50salads", "actfusion", "actfusion-gtea", "asformer", "asquery", "asquery-breakfast", "futr",
    "futr-50salads", "hopadiff", "ltcontext", "mstcn", "paper", "refatomnet",
    *_OTHERS,
]  # fmt: skip


def small_config(case: str, **changes: Any) -> TrainConfig:
    """The training config of a case; float32 unless `changes` say otherwise."""
    preset, settings = _OTHERS.get(case, (case, {}))
    config = load_config(preset)
    small = _merged(_merged(config.settings, _SMALL[config.model]), settings)
    data = config.data.replace(sample_rate=min(config.data.sample_rate, 2))
    return config.replace(**{"settings": small, "data": data, "precision": "float32", **changes})


def small_model(config: TrainConfig, seed: int = 0) -> Segmenter:
    """With weights of a seed, for made batches."""
    torch.manual_seed(seed)
    return build_model(config.model, F, C, config.settings)


class NoOptimiser:
    """Leaves weights and gradients as they are."""

    def zero_grad(self, set_to_none: bool = True) -> None:
        pass

    def step(self) -> None:
        pass


def _merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    out = dict(under)
    for name, value in over.items():
        both = isinstance(value, Mapping) and isinstance(out.get(name), Mapping)
        out[name] = _merged(out[name], value) if both else value
    return out
