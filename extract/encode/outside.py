"""Encoders of other packages: how one is loaded.

In: an `EncoderConfig` whose `kind` is an entry point in the group `rhas.encoders`, which is called with it. Out: an
`Encoder`, tried once on a grey picture, so that what doesn't fit is told before movies are read.
"""

from __future__ import annotations

import torch

from rhas.extract.config import ENCODERS, EncoderConfig
from rhas.extract.encode.encoder import Encoder
from rhas.manifests.common.plugins import expect, make, trial

_SENTENCE = "the man"


def load(config: EncoderConfig) -> Encoder:
    """Raises InputError, naming the entry point, for an encoder that can't be made, or isn't what it has to be."""
    encoder: Encoder = make(ENCODERS, config.kind, Encoder, config)  # type: ignore[type-abstract]
    with trial(ENCODERS, config.kind, encoder, Encoder):
        encoder.check([_SENTENCE])
        expect(encoder.fit in ("squash", "letterbox"), f"fit {encoder.fit!r}, not squash or letterbox")
        with torch.inference_mode():
            images = torch.full((2, 3, encoder.image_size, encoder.image_size), 0.5)
            features = encoder.read(encoder.see(images), _SENTENCE)
            text = encoder.text_embedding(_SENTENCE)
        shape = (2, *encoder.feature_shape)
        expect(features.shape == shape, f"features of shape {tuple(features.shape)}, not {shape}")
        expect(bool(features.isfinite().all()), "features that are not finite")
        expect(text is None or text.ndim == 1, "a text embedding that is no vector")
    return encoder
