"""What tracks match, held against plain loops over their pictures; and vectors that pass two makes of pictures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from rhas.extract.config import EncoderConfig, ExtractConfig
from rhas.extract.crops import person_crops
from rhas.extract.decode.process import Frames
from rhas.extract.decode.windows import WindowFrames
from rhas.extract.encode import load_encoder
from rhas.extract.encode.encoder import Encoder
from rhas.extract.encode.finding import Answer, by_example, by_words, sure_of
from rhas.extract.encode.people import opened_jpeg, packed_vectors, pictures, unpacked_vectors
from rhas.extract.encode.windows import OnePass
from rhas.extract.tracks.looks import colours, look
from rhas.manifests.shards.people import KEPT, LOST, THINNED, People
from rhas.manifests.shards.pictures import Wanted

SENTENCE = "the man in the black suit"
STATES = [KEPT, KEPT, KEPT, LOST, KEPT, THINNED]  # of pictures of tracks 0, 1, 0, 1, 3, 2
TRACK = [0, 1, 0, 1, 3, 2]


@pytest.fixture(scope="module")
def clip() -> Encoder:
    return load_encoder(EncoderConfig(kind="clip", weights="random:tiny"))


def people(vectors_NQD: np.ndarray, looks: np.ndarray) -> People:
    """A sight and a picture each, but for those that were thinned out or lost."""
    order = np.argsort(TRACK, kind="stable")
    state = np.array(STATES, np.uint8)
    arrays = {
        "sample": np.arange(6, dtype=np.int32), "time_s": np.arange(6.0),
        "track": np.array(TRACK, np.int32)[order], "box": np.zeros((6, 4), np.float32),
        "score": np.ones(6, np.float32), "cut_s": np.zeros(0), "crop": np.argsort(order).astype(np.int32),
        "colours": looks, "state": state, "end": np.cumsum(state == KEPT),
        "bytes": np.zeros(4, np.uint8), "vectors": vectors_NQD,
    }  # fmt: skip
    made = People("m", "v", "e", "x", 6.0, arrays)
    assert People.from_bytes(made.to_bytes()).crops_of_tracks().tolist() == TRACK
    return made


@torch.inference_mode()
def test_words_by_vectors(clip: Encoder) -> None:
    rng = np.random.default_rng(0)
    vectors = packed_vectors(torch.from_numpy(rng.standard_normal((4, 3, 48))).float())
    made = people(vectors, np.zeros((6, 18), np.uint8))
    found = by_words([made, made], clip, SENTENCE)
    asked = clip.sentence_vector(SENTENCE).numpy()
    best = [max(float(asked @ (v / np.linalg.norm(v))) for v in own.astype(float)) for own in vectors]
    # Track 0 has pictures 0 and 2, track 1 only 1, track 3 the last one; of track 2 nothing was kept.
    expected = [(best[0] + best[2]) / 2, best[1], np.nan, best[3]]
    np.testing.assert_allclose(found.value, expected * 2, atol=1e-5)
    np.testing.assert_allclose(found.log_odds, clip.sharpness * found.value, atol=1e-4)
    assert found.measure == "cosine"


@torch.inference_mode()
def test_an_example_by_vectors_counts_the_picture_that_is_most_alike(clip: Encoder) -> None:
    example = np.random.default_rng(1).integers(0, 255, (32, 32, 3)).astype(np.uint8)
    image = torch.from_numpy(example).permute(2, 0, 1)[None].float() / 255
    own = clip.picture_vectors(clip.see(image))[0].numpy()  # it has the encoder's size already
    rng = np.random.default_rng(2)
    vectors = packed_vectors(torch.from_numpy(rng.standard_normal((4, 1, 48))).float())
    vectors[2] = packed_vectors(torch.from_numpy(own))
    found = by_example([people(vectors, np.zeros((6, 18), np.uint8))], clip, example)
    assert found.value[0] == pytest.approx(1, abs=1e-3) and np.isnan(found.value[2])
    assert found.value[1] == pytest.approx(float(own[0] @ unpacked_vectors(vectors[1])[0]), abs=1e-4)


def test_an_example_by_colours(clip: Encoder) -> None:
    rng = np.random.default_rng(3)
    example = rng.integers(0, 255, (60, 30, 3)).astype(np.uint8)
    looks = rng.integers(0, 255, (6, 18)).astype(np.uint8)
    looks[2] = np.rint(colours(look(example, np.array([0, 0, 1, 1], np.float32))[None])[0])
    found = by_example([people(np.zeros((0, 0, 0), np.int8), looks)], None, example)
    assert found.measure == "colours" and found.value[0] < 0.5 and found.value.argmin() == 0
    assert np.isfinite(found.value).all()  # colours are there without a picture


def test_sure_is_no_surer_than_the_match_nor_than_the_place_among_others() -> None:
    odds = np.array([-3.0, -1.0, np.nan, -2.0])
    with np.errstate(invalid="ignore"):
        matched = Answer("probability", odds, 1 / (1 + np.exp(-odds)))
        cosine = Answer("cosine", odds, odds / 100)
        alone = Answer("probability", np.array([2.0]), np.array([0.9]))
    np.testing.assert_allclose(sure_of([matched]), 1 / (1 + np.exp([3.0, 1.0, np.nan, 2.0])))
    np.testing.assert_allclose(sure_of([cosine]), 1 / (1 + np.exp([1.0, -1.0, np.nan, 0.0])))
    assert sure_of([alone])[0] == 0.5  # there is nothing to compare it with
    high = replace(matched, log_odds=odds + 10)  # everybody matches: where one stands decides
    np.testing.assert_allclose(sure_of([high]), sure_of([cosine]))


@torch.inference_mode()
def test_pass_two_makes_vectors_of_the_crops_it_would_encode(clip: Encoder) -> None:
    config = ExtractConfig(encoder=EncoderConfig(kind="clip", weights="random:tiny"), precision="float32")
    rng = np.random.default_rng(4)
    pixels = rng.integers(0, 255, (3, 60, 100, 3)).astype(np.uint8)
    window = WindowFrames(Frames(pixels, np.array([True, False, True]), "", False, 0), lead=0)
    box = np.array([[0.1, 0.1, 0.4, 0.9], [0.2, 0.1, 0.4, 0.9], [0.5, 0.2, 0.8, 0.7]], np.float32)
    wanted = Wanted("id", np.array([4, 5, 6], np.int32), np.array([0, 1, 2]), box)
    made = pictures(OnePass(None, clip, config, torch.device("cpu"), 2), window, wanted)  # type: ignore[arg-type]
    assert made.crop.tolist() == [4, 5, 6] and made.jpegs[1] == b"" and not made.vectors[1].any()
    for n in (0, 2):
        crops = person_crops(
            torch.from_numpy(pixels), torch.from_numpy(box[n : n + 1]), [n], 32, 0.1, clip.fill
        )
        expected = clip.picture_vectors(clip.see(crops))[0].numpy()
        assert float((unpacked_vectors(made.vectors[n]) * expected).sum()) > 0.999
        # With the margin of a tenth of the longer side, as crops have it.
        x1, y1, x2, y2 = box[n] * np.array([100, 60, 100, 60])
        grow = 0.1 * max(x2 - x1, y2 - y1)
        height, width, _ = opened_jpeg(made.jpegs[n]).shape
        assert (
            abs(width - (x2 - x1 + 2 * grow)) <= 1
            and abs(height - (min(60, y2 + grow) - max(0, y1 - grow))) <= 1
        )
