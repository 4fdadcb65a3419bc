"""The released implementation and transformers' port agree, with the weights of one mapped onto the other.

Tolerance: it is the same float32 arithmetic in another order. Logits, which stand near 1, and boxes, in
[0, 1], come within 5e-5; measured on the CPU were 4e-6 for the small models and 9e-6 for the full Swin-T.
"""

import pytest
import torch

from rhas.extract.ground.architecture import ARCHITECTURES, Architecture
from rhas.extract.ground.checkpoint import load_strictly, port_names, to_released, to_transformers
from rhas.extract.ground.official import OfficialDetector, build
from rhas.extract.ground.port import PortDetector
from rhas.extract.ground.random_weights import random_parts, seeded
from rhas.extract.ground.text import Captioner

SENTENCES = ["The man in the red shirt", "A tall woman, on the left.", "the boy"]
# Relative too: scores of random weights reach 30, where float32 rounds at 2e-6.
TOLERANCE = {"atol": 5e-5, "rtol": 1e-5}


@pytest.fixture
def same_ranking(monkeypatch):
    """Lets proposals whose scores differ by rounding keep their order from one model to the next.

    Which proposal has which rank decides which query embedding it gets, so two that swap change two boxes.
    The second model's ranking is replaced by the first's, once it is shown to be as good.
    """
    ranked = []
    topk = torch.topk

    def replayed(scores, count, dim):
        values, indices = topk(scores, count, dim=dim)
        if not ranked:
            ranked.append((values, indices))
            return values, indices
        first_values, first_indices = ranked.pop()
        torch.testing.assert_close(values, first_values, **TOLERANCE)
        torch.testing.assert_close(scores.gather(dim, first_indices), first_values, **TOLERANCE)
        return first_values, first_indices

    monkeypatch.setattr(torch, "topk", replayed)


def assert_forwards_agree(official, port, frames, caption):
    with torch.inference_mode():
        pixels = official._prepare(frames)
        torch.testing.assert_close(port._prepare(frames), pixels, atol=0, rtol=0)
        logits, boxes = official.forward(pixels, caption)
        port_logits, port_boxes = port.forward(pixels, caption)
    assert logits.shape == port_logits.shape
    length = len(caption.input_ids)
    assert logits[..., :length].isfinite().all() and boxes.isfinite().all()
    assert logits[..., :length].std() > 0.1 and boxes.std() > 0.1  # there is something to compare
    torch.testing.assert_close(port_logits, logits, **TOLERANCE)
    torch.testing.assert_close(port_boxes, boxes, **TOLERANCE)


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("joint", [False, True])
def test_small_models_agree(small_detectors, same_ranking, batch, joint, make_frames):
    official, port = small_detectors
    for caption in official.captioner.captions(SENTENCES, joint):
        assert_forwards_agree(official, port, make_frames(batch, seed=batch), caption)


def test_full_swin_t_agrees(same_ranking, make_frames, make_config):
    from transformers import GroundingDinoForObjectDetection

    architecture, text_config, tokenizer = random_parts("random:full", "groundingdino")
    assert architecture == ARCHITECTURES["swin-t"]
    official_model = seeded(lambda: build(architecture, text_config, tokenizer))
    port_model = GroundingDinoForObjectDetection(architecture.transformers_config(text_config))
    load_strictly(port_model, to_transformers(official_model.state_dict()), "the released model")
    config = make_config(short_side=224, long_side=256)
    captioner = Captioner(tokenizer, 256)
    official = OfficialDetector(config, official_model, captioner)
    port = PortDetector(config, port_model, captioner)
    (caption,) = captioner.captions(SENTENCES, joint=True)
    assert_forwards_agree(official, port, make_frames(1, height=224, width=256), caption)


def test_every_name_of_swin_b_has_its_place():
    from transformers import GroundingDinoForObjectDetection

    architecture = ARCHITECTURES["swin-b"]
    _, text_config, tokenizer = random_parts("random:full", "groundingdino")
    official_model = build(architecture, text_config, tokenizer)
    with torch.device("meta"):
        port_model = GroundingDinoForObjectDetection(architecture.transformers_config(text_config))
    released = {name: tensor.to("meta") for name, tensor in official_model.state_dict().items()}
    mapped = {name: tensor.shape for name, tensor in to_transformers(released).items()}
    assert mapped == {name: tensor.shape for name, tensor in port_model.state_dict().items()}


def test_names_map_there_and_back(official_model):
    state = official_model.state_dict()
    back = to_released(to_transformers(state), state)
    assert list(back) == list(state)
    assert all(torch.equal(back[name], state[name]) for name in state)
    assert all(name.startswith("bbox_embed.") or (name,) != port_names(name) for name in state)


def test_sizes_map_there_and_back(text_parts, small_architecture):
    for architecture in (small_architecture, *ARCHITECTURES.values()):
        config = architecture.transformers_config(text_parts[0])
        assert Architecture.from_transformers(config, "here") == architecture


def test_detections_agree(small_detectors, make_frames):
    official, port = small_detectors
    frames = make_frames(2, seed=5)
    for ours, theirs in zip(official.detect(frames, SENTENCES), port.detect(frames, SENTENCES), strict=True):
        for a, b in zip(ours, theirs, strict=True):
            torch.testing.assert_close(a.scores, b.scores, **TOLERANCE)
            torch.testing.assert_close(a.boxes, b.boxes, **TOLERANCE)
