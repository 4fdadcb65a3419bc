"""Everybody's tracks: in scenes whose truth is plain, the same however they are cut into windows."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from feature_folders import make_movie

from rhas.extract.config import DetectorConfig, ExtractConfig, load_config
from rhas.extract.ground.boxes import Candidates
from rhas.extract.tracks.crowd import MOST, everybody
from rhas.extract.tracks.everybody import PICTURES, people_of
from rhas.manifests.common.errors import InputError
from rhas.manifests.shards.people import People
from rhas.manifests.shards.seen import Seen

SAMPLES, CUT = 60, 36  # ten a second
CONFIG = load_config("tiny-random", ["tracks.implementation=builtin", "tracks.everybody=the person"])
CONFIG = CONFIG.replace(detector=CONFIG.detector.replace(box_threshold=0.5))
RED, BLUE = 90, 160  # of all colours


def sights() -> dict[int, list[tuple[float, int, float]]]:
    """By sample: centre, colour and score of each. Two cross before the cut; behind it they stand. Somebody is there
    once, and something weak all along."""
    found: dict[int, list[tuple[float, int, float]]] = {}
    for t in range(0, SAMPLES, 2):
        if t < CUT:
            rows = [(0.2 + 0.015 * t, RED, 0.9), (0.72 - 0.015 * t, BLUE, 0.8 if t else 0.3)]
        else:
            rows = [(0.3, BLUE, 0.8), (0.8, RED, 0.9)]
        found[t] = [*rows, *([(0.05, 20, 0.9)] if t == 10 else []), (0.95, 220, 0.3)]
    return found


def windows_of(length: int) -> dict[int, Seen]:
    windows = {}
    for index, start in enumerate(range(0, SAMPLES, length)):
        stop = min(start + length, SAMPLES)
        sample = np.array([t for t in sights() if start <= t < stop])
        rows = [(at, *row) for at, t in enumerate(sample.tolist()) for row in sights()[t]]
        centre = np.array([row[1] for row in rows])
        box = np.stack([centre - 0.05, np.full(len(rows), 0.3), centre + 0.05, np.full(len(rows), 0.7)], 1)
        arrays = {
            "change": np.zeros(stop - start, np.float32), "decoded": np.ones(stop - start, bool),
            "ends": np.zeros((2, 12, 20, 3), np.uint8), "sample": sample, "at": np.zeros(0, np.int32),
            "whom": np.zeros(0, np.int32), "box": np.zeros((0, 4), np.float32), "score": np.zeros(0, np.float32),
            "who": np.zeros(0, np.int32), "look": np.zeros((0, 12, 6, 3), np.uint8),
            "all_at": np.array([row[0] for row in rows], np.int32), "all_box": box.astype(np.float32),
            "all_score": np.array([row[3] for row in rows], np.float32),
            "all_colours": np.repeat(np.array([[row[2]] for row in rows], np.uint8), 18, axis=1),
        }  # fmt: skip
        windows[index] = Seen("m1", index, start, stop, "", "", "", arrays)
        Seen.of(windows[index].said(), arrays)  # it is one that can be stored
    return windows


def people(length: int = 10) -> People:
    return people_of(make_movie(samples=SAMPLES), windows_of(length), np.array([CUT]), CONFIG)


def test_each_track_is_of_one_person_in_one_shot() -> None:
    arrays = people().arrays
    assert people().tracks == 4  # two before the cut, two behind it; nobody who is seen once or only weakly
    track_of_crop = arrays["track"][arrays["crop"]]
    for track in range(4):
        own = arrays["track"] == track
        assert len(set((arrays["sample"][own] >= CUT).tolist())) == 1
        colours = set(arrays["colours"][track_of_crop == track][:, 0].tolist())
        assert colours in ({RED}, {BLUE})
        # All of it, though it was weak at first and others crossed it.
        assert own.sum() == (18 if (arrays["sample"][own] < CUT).all() else 12)
    np.testing.assert_allclose(arrays["time_s"], arrays["sample"] / 10)


def test_windows_have_no_part_in_it() -> None:
    whole = people(SAMPLES)
    for length in (7, 10, 36):
        other = people(length)
        assert all(np.array_equal(other.arrays[name], whole.arrays[name]) for name in whole.arrays)


def test_pictures_are_spread_and_come_in_the_order_of_what_they_tell() -> None:
    arrays = people().arrays
    tracks = arrays["track"][arrays["crop"]]
    assert len(tracks) == 4 * PICTURES
    for rank in range(PICTURES):  # everybody's best before anybody's second
        assert set(tracks[4 * rank : 4 * rank + 4].tolist()) == {0, 1, 2, 3}
    for track in range(4):
        time_s = np.sort(arrays["time_s"][arrays["crop"][tracks == track]])
        own = arrays["time_s"][arrays["track"] == track]
        parts = np.floor((time_s - own[0]) / (own[-1] - own[0]) * PICTURES).clip(max=PICTURES - 1)
        assert parts.tolist() == list(range(PICTURES))


def test_who_stands_alone_is_clearer() -> None:
    """Where the two cross, no picture is taken if another part of the track has them alone."""
    arrays = people().arrays
    best = arrays["crop"][:4]
    centre = (arrays["box"][best, 0] + arrays["box"][best, 2]) / 2
    before = arrays["sample"][best] < CUT
    assert (np.abs(centre[before] - 0.46) > 0.05).all()  # they meet at .46


def candidates(*rows: tuple[float, float]) -> Candidates:
    """(left, score), best first; .2 wide."""
    boxes = torch.tensor([[left, 0.1, left + 0.2, 0.9] for left, _ in rows]).reshape(-1, 4)
    return Candidates(boxes, torch.tensor([score for _, score in rows]))


def test_sentences_add_whom_the_caption_for_all_missed() -> None:
    detector = DetectorConfig(box_threshold=0.5, follow_threshold=0.1, same_iou=0.5)
    frames = np.zeros((2, 20, 40, 3), np.uint8)
    general = {0: candidates((0.1, 0.4)), 1: candidates()}
    sentences = [
        {0: candidates((0.12, 0.9), (0.6, 0.8)), 1: candidates((0.6, 0.4))},
        {0: candidates((0.61, 0.7))},
    ]
    found = everybody(frames, general, sentences, detector)
    # One has the caption's own box, with the best score of whoever found the same; one only sentences found; the weak
    # one in the second frame nobody did.
    assert found["all_at"].tolist() == [0, 0]
    np.testing.assert_allclose(found["all_box"][:, 0], [0.1, 0.6])
    np.testing.assert_allclose(found["all_score"], [0.9, 0.8])
    assert found["all_colours"].shape == (2, 18)


def test_of_a_crowd_the_best_are_kept() -> None:
    detector = DetectorConfig(box_threshold=0.5, follow_threshold=0.1)
    boxes = torch.tensor([[x / 60, 0.1, x / 60 + 0.01, 0.2] for x in range(60)])
    found = everybody(
        np.zeros((1, 20, 60, 3), np.uint8), {0: Candidates(boxes, torch.linspace(0.9, 0.6, 60))}, [], detector
    )
    assert len(found["all_at"]) == MOST and found["all_score"].min() > 0.6


@pytest.mark.parametrize("settings", [["tracks.everybody=the person"], ["tracks.everybody=''"]])
def test_everybody_needs_tracks_and_a_caption(settings: list[str]) -> None:
    with pytest.raises(InputError, match=r"tracks\.everybody"):
        load_config("tiny-random", settings)


def test_one_caption_of_all_has_no_room_for_everybody() -> None:
    detector = CONFIG.detector.replace(joint=True)
    with pytest.raises(InputError, match="joint"):
        ExtractConfig(detector=detector, tracks=CONFIG.tracks)
