"""BLIP-2 features against transformers' own forward pass, on a small random model."""

import pytest
import torch

from rhas.extract.config import EncoderConfig
from rhas.extract.encode import load_encoder

MAN, WOMAN = "The man in the black suit.", "a woman with a red hat, sitting"


@pytest.fixture(scope="module")
def encoder():
    return load_encoder(EncoderConfig(kind="blip2", weights="random:tiny"))


@pytest.fixture(scope="module")
def images():
    return torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(2))


@torch.inference_mode()
def test_features_have_the_promised_shape(encoder, images):
    features = encoder.read(encoder.see(images), MAN)
    assert features.shape == (3, *encoder.feature_shape) == (3, 64)
    assert features.dtype == torch.float32 and torch.isfinite(features).all()
    assert encoder.text_embedding(MAN) is None


@torch.inference_mode()
def test_one_vision_pass_serves_all_sentences(encoder, images):
    seen = encoder.see(images)
    for sentence in (MAN, WOMAN, MAN):
        assert torch.equal(encoder.read(seen, sentence), encoder.read(encoder.see(images), sentence))


@torch.inference_mode()
def test_agrees_with_the_models_own_matching_head(images):
    """The matching head is linear, so of the mean features it gives the model's own mean logits."""
    for tokens in ("mean", "all"):
        encoder = load_encoder(EncoderConfig(weights="random:tiny", tokens=tokens))
        model = encoder.model
        text = encoder.tokenizer([encoder.clean(MAN)] * 3, return_tensors="pt")
        theirs = model(
            pixel_values=encoder.normalise(images),
            input_ids=text["input_ids"],
            attention_mask=text["attention_mask"],
            use_image_text_matching_head=True,
        ).logits_per_image
        logits = model.itm_head(encoder.read(encoder.see(images), MAN))
        ours = logits if tokens == "mean" else logits.mean(dim=1)
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


@torch.inference_mode()
def test_all_tokens_average_to_the_mean(encoder, images):
    all_tokens = load_encoder(EncoderConfig(weights="random:tiny", tokens="all"))
    features = all_tokens.read(all_tokens.see(images), MAN)
    assert features.shape == (3, *all_tokens.feature_shape) == (3, 32, 64)
    assert torch.equal(features.mean(dim=1), encoder.read(encoder.see(images), MAN))
    assert features.std(dim=1).min() > 1e-3  # the queries differ from one another


@torch.inference_mode()
def test_the_sentences_vector_is_the_mean_of_what_the_models_own_text_pass_says():
    encoder = load_encoder(EncoderConfig(weights="random:tiny", tokens="all"))
    model, seen = encoder.model, []
    hook = model.qformer.register_forward_hook(lambda _, args, out: seen.append(out.last_hidden_state))
    text = encoder.tokenizer([encoder.clean(MAN)], return_tensors="pt")
    image = torch.rand(1, 3, 32, 32)
    model(pixel_values=image, input_ids=text["input_ids"], attention_mask=text["attention_mask"])
    hook.remove()
    (theirs,) = (states for states in seen if states.shape[1] == text["input_ids"].shape[1])
    ours = encoder.text_embedding(MAN)
    assert ours.shape == encoder.feature_shape[1:] and ours.dtype == torch.float32
    torch.testing.assert_close(ours, theirs[0].mean(0), atol=1e-5, rtol=1e-5)
    assert (ours - encoder.text_embedding(WOMAN)).abs().mean() > 0.05


@torch.inference_mode()
def test_sentence_and_image_both_matter(encoder, images):
    seen = encoder.see(images)
    man, woman = encoder.read(seen, MAN), encoder.read(seen, WOMAN)
    assert (man - woman).abs().mean() > 0.05
    assert (man[0] - man[1]).abs().mean() > 0.05


@torch.inference_mode()
def test_an_images_features_do_not_depend_on_its_batch(encoder, images):
    alone = torch.cat([encoder.read(encoder.see(image[None]), MAN) for image in images])
    torch.testing.assert_close(encoder.read(encoder.see(images), MAN), alone, atol=1e-5, rtol=1e-5)


@torch.inference_mode()
def test_case_spacing_and_blanked_punctuation_do_not_matter(encoder, images):
    seen = encoder.see(images)
    assert encoder.clean('  The  MAN\t(left):\n"x" ') == "the man left x"
    assert torch.equal(encoder.read(seen, MAN), encoder.read(seen, "the man in the\n  black suit !"))


@torch.inference_mode()
def test_bfloat16_autocast_stays_close(encoder, images):
    """Within 0.1 for features of standard deviation 0.8: bfloat16 has 8 bits of mantissa."""
    exact = encoder.read(encoder.see(images), MAN)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = encoder.read(encoder.see(images), MAN)
    assert rounded.dtype == torch.float32
    torch.testing.assert_close(rounded, exact, atol=0.1, rtol=0)


def test_images_of_another_size_are_refused(encoder):
    with pytest.raises(ValueError, match="32"):
        encoder.see(torch.rand(1, 3, 64, 64))
