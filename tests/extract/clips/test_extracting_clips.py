"""Clips to tokens, with small random models: what is stored of each, who is lost, and what a rerun does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numbered_movies import number_of, write_movie

from rhas.extract.clips.config import ClipConfig
from rhas.extract.clips.extracting import _frames, extract_clips
from rhas.extract.clips.seeing import Seer
from rhas.extract.config import ExtractConfig, load_config
from rhas.extract.crops import person_crops, whole_frames
from rhas.extract.decode.process import DecoderProcess
from rhas.extract.encode import load_encoder
from rhas.extract.ground import load_detector
from rhas.extract.refine.refiner import load_refiner
from rhas.manifests.common.errors import InputError
from rhas.manifests.shards.clip_tokens import ClipFolder, read_arrays, read_clip_failures, read_movie
from rhas.manifests.tables.clips import Clip, write_clips
from rhas.manifests.tables.vocabulary import Vocabulary, write_vocabulary

FPS, FRAMES = 15, 60  # 4 s
CLIPS = ClipConfig(frames=4, seconds=2.0, detections=5, categories=("person", "cup"))
BOX = (0.1, 0.1, 0.6, 0.8)


@pytest.fixture(scope="module")
def config() -> ExtractConfig:
    return load_config("tiny-random", ["encoder.tokens=all"]).resolved(False)


@pytest.fixture(scope="module")
def movie(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_movie(tmp_path_factory.mktemp("movies") / "m.mp4", [k / FPS for k in range(FRAMES)])


def table(folder: Path, movie: Path, *more: Clip) -> tuple[Path, Path]:
    folder.mkdir(exist_ok=True)
    clips = [
        Clip("m", movie, "a", 2.0, "the man", "train", BOX, ("sit",)),
        Clip("m", movie, "b", 2.0, "a woman in red", "train", BOX, ("wave",)),
        Clip("m", movie, "a", 0.0, "the man on the left", "val", BOX, ("sit", "wave")),
    ]
    write_clips([*clips, *more], folder / "clips.csv")
    write_vocabulary(Vocabulary(("sit", "wave")), folder / "actions.csv")
    return folder / "clips.csv", folder / "actions.csv"


def test_the_key_frame_is_the_moment_and_the_ends_stand_still(movie: Path, config: ExtractConfig) -> None:
    assert CLIPS.times_s(2.0) == [1.0, 1.5, 2.0, 2.5] and CLIPS.key == 2
    assert ClipConfig().times_s(10.0) == [8.5, 8.875, 9.25, 9.625, 10.0, 10.375, 10.75, 11.125]
    seer = Seer(
        load_encoder(config.encoder), load_detector(config.detector), config, CLIPS, torch.device("cpu")
    )
    with DecoderProcess() as decoder:
        index = decoder.index(movie)
        for time_s, expected in ((2.0, [15, 22, 30, 37]), (0.0, [0, 0, 0, 7]), (3.9, [43, 51, 58, 59])):
            frames, key = _frames(decoder, movie, index, time_s, seer)
            assert [number_of(frame) for frame in frames] == expected and key == 2


def test_what_is_stored_is_what_the_models_say(movie: Path, config: ExtractConfig, tmp_path: Path) -> None:
    found = extract_clips(*table(tmp_path / "in", movie), tmp_path / "out", config, CLIPS)
    assert (found.clips, found.there_already, found.lost) == (3, 0, 0)
    folder = ClipFolder(tmp_path / "out")
    tokens, _ = read_movie(folder.movie("m"))
    encoder, detector = load_encoder(config.encoder), load_detector(config.detector)
    N, D = encoder.feature_shape
    assert tokens.row.tolist() == [0, 1, 2] and tokens.image.shape == (3, N, D)
    with DecoderProcess() as decoder, torch.inference_mode():
        index = decoder.index(movie)
        size = tokens.image.shape[0] and (96, 128)
        read = decoder.read(movie, index, np.array([15, 22, 30, 37]), size)
        pixels = torch.from_numpy(read.pixels)
        images = whole_frames(pixels, encoder.image_size, encoder.fit, encoder.fill)
        for row, sentence in enumerate(("the man", "a woman in red")):
            expected = encoder.read(encoder.see(images), sentence).mean(0)
            np.testing.assert_allclose(tokens.image[row], expected, atol=2e-3)
            np.testing.assert_allclose(tokens.sentence[row], encoder.text_embedding(sentence), atol=1e-5)
            ((candidates,),) = detector.detect(pixels[2:3], [sentence])
            np.testing.assert_allclose(tokens.grounded[row], candidates.boxes[0], atol=1e-4)
            crop = person_crops(
                pixels[2:3],
                candidates.boxes[:1],
                [0],
                encoder.image_size,
                config.encoder.crop_margin,
                encoder.fill,
            )
            person = encoder.read(encoder.see(crop), sentence)[0]
            np.testing.assert_allclose(tokens.person[row], person, atol=2e-2)
    # Whoever is meant, the same things are found, best first; behind the last one there is nothing.
    assert np.array_equal(tokens.boxes[0], tokens.boxes[1]) and tokens.boxes.shape == (3, 5, 4)
    there = tokens.categories >= 0
    assert there.any() and set(np.unique(tokens.categories)) <= {-1, 0, 1}
    assert (np.diff(tokens.scores, axis=1) <= 0).all() and not tokens.boxes[~there].any()
    names, _ = read_arrays(folder.names)
    with torch.inference_mode():
        np.testing.assert_allclose(names["names"][1], encoder.text_embedding("cup"), atol=1e-5)


def test_who_is_lost_is_recorded_and_a_rerun_does_what_is_left(
    movie: Path, config: ExtractConfig, tmp_path: Path
) -> None:
    late = Clip("m", movie, "c", 9.0, "the man", "test", BOX, ("sit",))
    gone = Clip("n", tmp_path / "n.mp4", "a", 1.0, "the man", "test", BOX, ("sit",))
    out, folder = tmp_path / "out", ClipFolder(tmp_path / "out")
    found = extract_clips(*table(tmp_path / "in", movie, late, gone), out, config, CLIPS)
    assert (found.clips, found.lost) == (3, 2) and not folder.movie("n").exists()
    assert read_clip_failures(folder.failures) == {("m", "c", 9.0), ("n", "a", 1.0)}
    assert "9 s lies outside the movie, which ends at 4.0" in found.reasons[0]
    # Where nobody is lost a file stays as it is; another sentence is other clips.
    found = extract_clips(*table(tmp_path / "in", movie), out, config, CLIPS)
    stamp = folder.movie("m").stat().st_mtime_ns
    found = extract_clips(*table(tmp_path / "in", movie), out, config, CLIPS)
    assert (found.clips, found.there_already, found.lost) == (3, 3, 0)
    assert folder.movie("m").stat().st_mtime_ns == stamp and read_clip_failures(folder.failures) == set()
    folder.movie("m").write_bytes(b"damaged")
    assert extract_clips(*table(tmp_path / "in", movie), out, config, CLIPS).there_already == 0
    with pytest.raises(InputError, match=r"what it was begun with .* another clips"):
        extract_clips(*table(tmp_path / "in", movie), out, config, CLIPS.replace(seconds=1.0))


def test_the_person_is_cut_out_by_an_exact_box(movie: Path, config: ExtractConfig, tmp_path: Path) -> None:
    exact = config.replace(detector=config.detector.replace(refine="shipped:mini"))
    found = {}
    for name, own in (("exact", exact), ("as found", config)):
        folder = ClipFolder(tmp_path / name)
        extract_clips(*table(tmp_path / "in", movie), folder.root, own, CLIPS)
        found[name] = read_movie(folder.movie("m"))[0]
        assert ("refiner" in folder.record()["models"]) == (name == "exact")
    one, other = found["exact"], found["as found"]
    np.testing.assert_array_equal(one.image, other.image)
    np.testing.assert_array_equal(one.grounded_score, other.grounded_score)
    there = np.isfinite(other.grounded).all(1)
    assert there.any() and (np.isfinite(one.grounded).all(1) == there).all()
    with DecoderProcess() as decoder, torch.inference_mode():
        pixels = torch.from_numpy(decoder.read(movie, decoder.index(movie), np.array([30]), (96, 128)).pixels)
        boxes = torch.from_numpy(other.grounded[0][None])
        expected = load_refiner("shipped:mini").exact(pixels, boxes, [0])[0]
    np.testing.assert_allclose(one.grounded[0], expected.numpy(), atol=1e-5)
    assert (
        np.abs(one.grounded - other.grounded)[there].max() > 0.01
        and (one.person != other.person)[there].any()
    )


def test_models_that_can_not_be_asked_are_refused(movie: Path, config: ExtractConfig, tmp_path: Path) -> None:
    boxes = tmp_path / "boxes.csv"
    boxes.write_text("movie_id,person_id,time_s,x1,y1,x2,y2\nm,a,1,0,0,1,1\n")
    known = config.replace(detector=config.detector.replace(implementation="boxes", weights=str(boxes)))
    with pytest.raises(InputError, match="a detector that can be asked for names"):
        extract_clips(*table(tmp_path / "in", movie), tmp_path / "out", known, CLIPS)
    with pytest.raises(InputError, match="a description with at least one letter or digit"):
        extract_clips(
            *table(tmp_path / "in", movie), tmp_path / "out", config, CLIPS.replace(categories=("?",))
        )
    assert not (tmp_path / "out").exists()
