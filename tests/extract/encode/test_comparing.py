"""Pictures and sentences compared, against transformers' own ways of doing so, on small random models."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rhas.extract.config import EncoderConfig
from rhas.extract.encode import load_encoder
from rhas.extract.encode.blip2 import Blip2Encoder
from rhas.extract.encode.encoder import Encoder
from rhas.extract.encode.people import (
    JPEG_BYTES,
    LONGEST,
    opened_jpeg,
    packed_vectors,
    small_jpeg,
    unpacked_vectors,
)

SENTENCE = "the man in the black suit"


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(2))


@pytest.fixture(scope="module")
def blip2() -> Encoder:
    return load_encoder(EncoderConfig(kind="blip2", weights="random:tiny"))


@torch.inference_mode()
def theirs(encoder: Encoder, images: torch.Tensor, matching: bool) -> torch.Tensor:
    ids = encoder.tokenise(SENTENCE).expand(len(images), -1)
    return encoder.model(
        pixel_values=encoder.normalise(images), input_ids=ids, attention_mask=torch.ones_like(ids),
        use_image_text_matching_head=matching,
    ).logits_per_image  # fmt: skip


@torch.inference_mode()
def test_blip2_matches_as_its_head_says(blip2: Encoder, images: torch.Tensor) -> None:
    expected = theirs(blip2, images, True).log_softmax(-1)
    found = blip2.match(blip2.see(images), SENTENCE)
    torch.testing.assert_close(found, expected[:, 1] - expected[:, 0], atol=1e-5, rtol=1e-5)


@torch.inference_mode()
def test_blip2_vectors_are_those_of_contrastive_learning(blip2: Encoder, images: torch.Tensor) -> None:
    vectors_NQD = blip2.picture_vectors(blip2.see(images))
    found = (vectors_NQD @ blip2.sentence_vector(SENTENCE)).amax(dim=1)
    torch.testing.assert_close(found, theirs(blip2, images, False)[:, 0], atol=1e-5, rtol=1e-5)


def test_projections_that_nobody_trained_are_not_used(blip2: Encoder) -> None:
    assert blip2.compares == "pairs"
    model = blip2.model
    try:
        torch.nn.init.constant_(model.vision_projection.bias, 0.1)
        torch.nn.init.constant_(model.text_projection.bias, 0.1)
        other = Blip2Encoder("trained", model, blip2.tokenizer, (0.5,) * 3, (0.5,) * 3)
        assert other.compares == "vectors"
    finally:
        torch.nn.init.zeros_(model.vision_projection.bias)
        torch.nn.init.zeros_(model.text_projection.bias)


@torch.inference_mode()
def test_clip_compares_as_transformers_does(images: torch.Tensor) -> None:
    clip = load_encoder(EncoderConfig(kind="clip", weights="random:tiny"))
    text = clip.tokenizer([SENTENCE], return_tensors="pt")
    expected = clip.model(pixel_values=clip.normalise(images), **text).logits_per_image[:, 0]
    products = clip.picture_vectors(clip.see(images))[:, 0] @ clip.sentence_vector(SENTENCE)
    torch.testing.assert_close(clip.sharpness * products, expected, atol=1e-5, rtol=1e-5)
    assert clip.compares == "vectors"


def test_a_byte_a_number_keeps_what_vectors_say() -> None:
    rng = np.random.default_rng(0)
    one, other = (torch.from_numpy(rng.standard_normal((50, 4, 256))).float() for _ in range(2))
    one, other = (torch.nn.functional.normalize(v, dim=-1) for v in (one, other))
    packed = packed_vectors(one)
    assert packed.nbytes == 50 * 4 * 256
    exact = (one * other).sum(-1).numpy()
    np.testing.assert_allclose((unpacked_vectors(packed) * other.numpy()).sum(-1), exact, atol=3e-3)
    assert not unpacked_vectors(np.zeros((1, 2, 8), np.int8)).any()


@pytest.mark.parametrize("size", [(2, 2), (40, 20), (900, 500)])
def test_small_jpegs_are_small(size: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (*size, 3)).astype(np.uint8)  # nothing takes more bytes
    jpeg = small_jpeg(noise)
    assert len(jpeg) <= 2 * JPEG_BYTES
    shape = opened_jpeg(jpeg).shape
    assert max(shape) <= LONGEST and abs(shape[0] / shape[1] - size[0] / size[1]) < 0.1 * size[0] / size[1]
    flat = np.broadcast_to(np.array([200, 30, 30], np.uint8), (*size, 3))
    assert np.abs(opened_jpeg(small_jpeg(flat)).astype(int) - flat[0, 0]).max() <= 4
    with pytest.raises(ValueError):
        opened_jpeg(b"no picture")
