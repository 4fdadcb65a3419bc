"""CLIP features against transformers' own methods, on a small random model."""

import pytest
import torch

from rhas.extract.config import EncoderConfig
from rhas.extract.encode import load_encoder

SENTENCE = "the man in the black suit"


@pytest.fixture(scope="module")
def encoder():
    return load_encoder(EncoderConfig(kind="clip", weights="random:tiny"))


@pytest.fixture(scope="module")
def images():
    return torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(2))


@torch.inference_mode()
def test_image_features_are_the_models_own(encoder, images):
    features = encoder.read(encoder.see(images), SENTENCE)
    theirs = encoder.model.get_image_features(pixel_values=encoder.normalise(images))
    assert features.shape == (3, *encoder.feature_shape) == (3, 48)
    assert features.dtype == torch.float32
    torch.testing.assert_close(features, theirs, atol=0, rtol=0)


@torch.inference_mode()
def test_text_embedding_is_the_models_own(encoder):
    text = encoder.tokenizer([SENTENCE], return_tensors="pt")
    embedding = encoder.text_embedding(SENTENCE)
    assert embedding.shape == encoder.feature_shape and embedding.dtype == torch.float32
    torch.testing.assert_close(embedding, encoder.model.get_text_features(**text)[0], atol=1e-6, rtol=1e-6)
    assert (embedding - encoder.text_embedding("a woman with a red hat")).abs().mean() > 0.05


@torch.inference_mode()
def test_the_sentence_does_not_change_image_features(encoder, images):
    seen = encoder.see(images)
    assert torch.equal(encoder.read(seen, SENTENCE), encoder.read(seen, "a woman"))


@torch.inference_mode()
def test_padding_with_the_mean_colour_is_zero_to_the_model(encoder):
    padding = torch.tensor(encoder.fill)[:, None, None].expand(1, 3, 32, 32)
    assert torch.equal(encoder.normalise(padding), torch.zeros(1, 3, 32, 32))


@torch.inference_mode()
def test_bfloat16_autocast_stays_close(encoder, images):
    """Within 0.1 for values of standard deviation 0.9: bfloat16 has 8 bits of mantissa."""
    exact = encoder.see(images), encoder.text_embedding(SENTENCE)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = encoder.see(images), encoder.text_embedding(SENTENCE)
    for ours, theirs in zip(rounded, exact, strict=True):
        assert ours.dtype == torch.float32
        torch.testing.assert_close(ours, theirs, atol=0.1, rtol=0)
