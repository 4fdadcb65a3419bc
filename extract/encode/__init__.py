"""Vision-language encoders: images and sentences to features. `load_encoder` is the way in.

The interface is `encoder.Encoder`; `blip2` and `clip` implement it on transformers' models, and
`random_weights` makes both without a download. Encoders of other packages (`outside`) are entry points in the group
`rhas.encoders`. Importing this package loads neither torch nor transformers.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rhas.extract.config import OUR_ENCODERS, EncoderConfig
from rhas.extract.weights.shipped_weights import place
from rhas.manifests.common.errors import InputError, Problem

if TYPE_CHECKING:
    from rhas.extract.encode.encoder import Encoder


def load_encoder(config: EncoderConfig) -> Encoder:
    """The encoder that `config` names, on the CPU in float32.

    Raises InputError if the weights are not there, can't be reached, or are those of another model.
    """
    from rhas.extract.weights.torchvision_fix import ensure_importable

    ensure_importable()
    if config.kind not in OUR_ENCODERS:
        from rhas.extract.encode.outside import load

        return load(config)
    if config.weights.startswith("random:"):
        from rhas.extract.encode.random_weights import random_encoder

        return random_encoder(config)

    from safetensors import SafetensorError

    from rhas.extract.encode.blip2 import Blip2Encoder
    from rhas.extract.encode.clip import ClipEncoder

    weights = place(config.weights, "encoder")
    _require_directory_or_hub_id(weights)
    try:
        if config.kind == "blip2":
            return Blip2Encoder.from_pretrained(weights, config.tokens)
        return ClipEncoder.from_pretrained(weights)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        expected = (
            f"a {config.kind} model that loads, in a local directory or on the hub; loading said: {error}"
        )
        raise InputError(
            Problem("extraction config", expected, column="encoder.weights", value=config.weights)
        ) from error


def _require_directory_or_hub_id(weights: str) -> None:
    """Tells a mistyped path from a hub id (`owner/name`), which would only fail as one."""
    path = Path(weights)
    if path.is_dir():
        return
    if path.exists() or path.is_absolute() or weights.startswith((".", "~")) or weights.count("/") != 1:
        expected = "an existing directory, or a hub id owner/name"
        raise InputError(Problem("extraction config", expected, column="encoder.weights", value=weights))
