"""Loading encoders: random ones, saved ones, and everything that is not one; and the check of sentences."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rhas.extract.config import EncoderConfig
from rhas.extract.encode import load_encoder
from rhas.extract.encode.encoder import Encoder
from rhas.manifests.common.errors import InputError

KINDS = ("blip2", "clip")
SENTENCE = "the man in the black suit"


@pytest.fixture(scope="module")
def encoders() -> dict[str, Encoder]:
    return {kind: load_encoder(EncoderConfig(kind=kind, weights="random:tiny")) for kind in KINDS}


def save(encoder: Encoder, kind: str, folder: Path) -> None:
    """Saves an encoder as checkpoints are released: weights, tokenizer and image processor."""
    from transformers import BlipImageProcessor, CLIPImageProcessor

    processor = BlipImageProcessor if kind == "blip2" else CLIPImageProcessor
    encoder.model.save_pretrained(folder)
    encoder.tokenizer.save_pretrained(folder)
    processor(
        image_mean=encoder.mean.flatten().tolist(), image_std=encoder.std.flatten().tolist()
    ).save_pretrained(folder)


@pytest.fixture(scope="module")
def saved(encoders, tmp_path_factory) -> dict[str, Path]:
    folders = {kind: tmp_path_factory.mktemp(kind) for kind in KINDS}
    for kind, folder in folders.items():
        save(encoders[kind], kind, folder)
    return folders


@pytest.mark.parametrize("kind", KINDS)
@torch.inference_mode()
def test_saved_and_loaded_is_the_same(encoders, saved, kind):
    ours, loaded = encoders[kind], load_encoder(EncoderConfig(kind=kind, weights=str(saved[kind])))
    images = torch.rand(2, 3, 32, 32)
    # Not to the bit: weights mapped from a file lie unaligned, for which some CPU kernels round differently.
    close = {"atol": 1e-6, "rtol": 1e-6}
    torch.testing.assert_close(
        ours.read(ours.see(images), SENTENCE), loaded.read(loaded.see(images), SENTENCE), **close
    )
    assert ours.weights_hash == loaded.weights_hash
    assert (ours.fit, ours.image_size, ours.feature_shape, ours.fill, ours.max_tokens) == (
        loaded.fit, loaded.image_size, loaded.feature_shape, loaded.fill, loaded.max_tokens
    )  # fmt: skip
    if kind == "clip":
        torch.testing.assert_close(ours.text_embedding(SENTENCE), loaded.text_embedding(SENTENCE), **close)


@pytest.mark.parametrize("kind", KINDS)
def test_random_weights_are_always_the_same_and_leave_the_global_state_alone(encoders, kind):
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    again = load_encoder(EncoderConfig(kind=kind, weights="random:tiny"))
    assert torch.equal(torch.rand(3), expected)
    assert again.weights_hash == encoders[kind].weights_hash


@pytest.mark.parametrize("kind", KINDS)
def test_the_other_models_checkpoint_is_refused(saved, kind):
    other = saved["clip" if kind == "blip2" else "blip2"]
    expected = "Blip2ForImageTextRetrieval" if kind == "blip2" else "CLIPModel"
    with pytest.raises(InputError, match=expected):
        load_encoder(EncoderConfig(kind=kind, weights=str(other)))


def test_blip2_for_captions_is_refused(saved, tmp_path):
    settings = json.loads((saved["blip2"] / "config.json").read_text())
    settings["architectures"] = ["Blip2ForConditionalGeneration"]
    (tmp_path / "config.json").write_text(json.dumps(settings))
    with pytest.raises(InputError, match="Blip2ForConditionalGeneration"):
        load_encoder(EncoderConfig(weights=str(tmp_path)))


def test_a_q_former_that_reads_no_text_is_refused(saved, tmp_path):
    settings = json.loads((saved["blip2"] / "config.json").read_text())
    settings["qformer_config"]["use_qformer_text_input"] = False
    (tmp_path / "config.json").write_text(json.dumps(settings))
    with pytest.raises(InputError, match="use_qformer_text_input"):
        load_encoder(EncoderConfig(weights=str(tmp_path)))


@pytest.mark.parametrize("kind", KINDS)
def test_missing_weights_are_refused_not_made_up(kind, tmp_path):
    encoder = load_encoder(EncoderConfig(kind=kind, weights="random:tiny"))
    state = encoder.model.state_dict()
    del state["vision_model.encoder.layers.1.mlp.fc1.weight"]
    encoder.model.save_pretrained(tmp_path, state_dict=state)
    with pytest.raises(
        InputError, match=r"1 are missing: vision_model\.encoder\.layers\.1\.mlp\.fc1\.weight"
    ):
        load_encoder(EncoderConfig(kind=kind, weights=str(tmp_path)))


@pytest.mark.parametrize("kind", KINDS)
def test_a_directory_without_a_model_is_refused(kind, tmp_path):
    with pytest.raises(InputError, match="expected a checkpoint of") as error:
        load_encoder(EncoderConfig(kind=kind, weights=str(tmp_path)))
    assert str(tmp_path) in str(error.value)


def test_a_checkpoint_without_tokenizer_is_refused(encoders, tmp_path):
    encoders["clip"].model.save_pretrained(tmp_path)
    with pytest.raises(InputError, match=r"encoder\.weights"):
        load_encoder(EncoderConfig(kind="clip", weights=str(tmp_path)))


def test_damaged_weights_are_refused(saved, tmp_path):
    for file in saved["clip"].iterdir():
        content = file.read_bytes()
        (tmp_path / file.name).write_bytes(
            content[: len(content) // 2] if file.suffix == ".safetensors" else content
        )
    with pytest.raises(InputError, match=r"encoder\.weights"):
        load_encoder(EncoderConfig(kind="clip", weights=str(tmp_path)))


@pytest.mark.parametrize(
    "weights", ["/nowhere/blip2", "./blip2", "~/blip2", "checkpoints/blip2/last", "blip2"]
)
def test_a_path_that_is_not_there_is_named(weights):
    with pytest.raises(InputError, match="existing directory") as error:
        load_encoder(EncoderConfig(weights=weights))
    assert weights in str(error.value)


def test_a_hub_that_can_not_be_reached_is_named(monkeypatch):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match=r"nobody/nothing.*on the hub"):
        load_encoder(EncoderConfig(weights="nobody/nothing"))


def test_an_unknown_random_size_is_refused():
    with pytest.raises(InputError, match="random:tiny or random:full"):
        load_encoder(EncoderConfig(weights="random:huge"))


@pytest.mark.parametrize("kind", KINDS)
def test_check_lists_every_sentence_that_can_not_be_read(encoders, kind):
    encoder = encoders[kind]
    long = "man " * encoder.max_tokens
    with pytest.raises(InputError) as error:
        encoder.check([SENTENCE, "", long, " \t", "the woman"])
    assert [problem.value for problem in error.value.problems] == ["", long, " \t"]
    count = len(encoder.tokenizer(long)["input_ids"])
    assert f"at most 512 tokens for random:tiny; these are {count}" in str(error.value)
    encoder.check([SENTENCE])


@torch.inference_mode()
def test_long_sentences_are_refused_where_they_are_read_too(encoders):
    blip2, clip = encoders["blip2"], encoders["clip"]
    with pytest.raises(InputError, match="512 tokens"):
        blip2.read(blip2.see(torch.rand(1, 3, 32, 32)), "man " * 512)
    with pytest.raises(InputError, match="512 tokens"):
        clip.text_embedding("man " * 512)


@pytest.mark.parametrize("kind", KINDS)
@torch.inference_mode()
def test_the_token_limit_is_exact(encoders, kind):
    encoder = encoders[kind]
    room = encoder.max_tokens - 2  # the start and end tokens; in random models each short word is a token
    fits = " ".join("a" * room)
    encoder.check([fits])
    assert torch.isfinite(encoder.read(encoder.see(torch.rand(1, 3, 32, 32)), fits)).all()
    if kind == "clip":
        assert torch.isfinite(encoder.text_embedding(fits)).all()
    with pytest.raises(InputError, match="513"):
        encoder.check([fits + " a"])


def test_punctuation_alone_is_empty_to_blip2(encoders):
    with pytest.raises(InputError, match="words"):
        encoders["blip2"].check(["..."])


printable = st.characters(exclude_categories=("C", "Z"))


@settings(max_examples=40, deadline=None)
@given(words=st.lists(st.text(printable, min_size=1, max_size=12), min_size=1, max_size=6))
@torch.inference_mode()
def test_random_encoders_read_any_printable_sentence(encoders, words):
    sentence = "man " + " ".join(words)
    for encoder in encoders.values():
        encoder.check([sentence])
        assert torch.isfinite(encoder.read(encoder.see(torch.rand(1, 3, 32, 32)), sentence)).all()
    assert torch.isfinite(encoders["clip"].text_embedding(sentence)).all()


def test_importing_the_package_loads_no_model_library():
    code = (
        "import sys, rhas.extract.encode; print([m for m in ('torch', 'transformers') if m in sys.modules])"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=True)
    assert done.stdout.strip() == "[]"
