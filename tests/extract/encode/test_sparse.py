"""Features of every n-th sample and those between: held against plain loops, whatever the windows."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scripted_models import ScriptedEncoder, numbered_frames

from rhas.extract.config import EncoderConfig, ExtractConfig, TracksConfig
from rhas.extract.decode.process import Frames
from rhas.extract.decode.windows import WindowFrames
from rhas.extract.encode.windows import OnePass
from rhas.manifests.common.errors import InputError
from rhas.manifests.shards.boxes import PersonBoxes, no_boxes
from rhas.manifests.shards.format import SERIES, PersonRows
from rhas.manifests.shards.interpolated import HOLISTIC, PARTIAL, problems, reach
from rhas.manifests.shards.status import HAS_HOLISTIC, HAS_PARTIAL, FrameStatus
from rhas.manifests.tables.manifest import Person

T = 61
PERSONS = [Person("m", "p", "the man"), Person("m", "q", "the tall woman")]


class Movie:
    """Two persons with gaps, changes of track and cuts at random places; times that aren't even."""

    def __init__(self, seed: int):
        rng = np.random.default_rng(seed)
        self.time_s = np.cumsum(rng.uniform(0.1, 0.3, T))
        self.ok = rng.random(T) > 0.05
        # Numbers that jump, so that no feature is what a line between its neighbours gives.
        self.pixels = numbered_frames(1 + rng.permutation(T))
        self.shots = np.cumsum(rng.random(T) < 0.06)
        self.boxes: dict[str, PersonBoxes] = {}
        for person in PERSONS:
            own = no_boxes(np.ones(T, bool), FrameStatus.MISSING)
            there = np.repeat(rng.random(T // 3 + 1) < 0.8, 3)[:T]
            own.status[there] = rng.choice([FrameStatus.DETECTED, FrameStatus.TRACKED], there.sum())
            own.status[:2] = FrameStatus.OUTSIDE
            left = rng.uniform(0, 0.5, T)
            boxes = np.stack([left, np.full(T, 0.1), left + 0.4, np.full(T, 0.9)], 1)
            own.box[:], own.track[:] = boxes, np.cumsum(rng.random(T) < 0.1)
            self.boxes[person.person_id] = own.without(~self.ok)

    def run(self, every: tuple[int, int], window_frames: int = T) -> tuple[dict[str, PersonRows], int]:
        """Everybody's rows, and how many pictures were encoded."""
        config = ExtractConfig(
            encoder=EncoderConfig(kind="clip", frame_every=every[0], crop_every=every[1]),
            tracks=TracksConfig(implementation="builtin"), precision="float32",
        )  # fmt: skip
        encoder = ScriptedEncoder()
        models = OnePass(None, encoder, config, torch.device("cpu"), 4)  # type: ignore[arg-type]
        parts: dict[str, list[PersonRows]] = {person.person_id: [] for person in PERSONS}
        for start in range(0, T, window_frames):
            stop = min(start + window_frames, T)
            first, last = reach(start, stop, T, every)
            frames = Frames(self.pixels[first:last], self.ok[first:last], "", False, 0)
            window = WindowFrames(frames, 0, self.time_s[first:last])
            boxes = {who: own.part(first, last) for who, own in self.boxes.items()}
            inside = [own.status != FrameStatus.OUTSIDE for own in boxes.values()]
            rows, _ = models.process(window, PERSONS, inside, boxes, first, self.shots[first:last])
            for who, own in rows.items():
                parts[who].append(own.part(start - first, stop - first))
        return {
            who: PersonRows(**{n: np.concatenate([o.arrays()[n] for o in own]) for n in own[0].arrays()})
            for who, own in parts.items()
        }, len(encoder.seen)

    def expected(self, who: str, stream: str, every: int, full: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Features and whether they were interpolated, sample by sample, from those of every sample."""
        own = self.boxes[who]
        promising = HAS_HOLISTIC if stream == "holistic" else HAS_PARTIAL

        def joined(t: int) -> bool:
            """Whether t and t + 1 are in one stretch."""
            return bool(
                0 <= t < T - 1 and own.status[t] in promising and own.status[t + 1] in promising
                and self.shots[t] == self.shots[t + 1]
                and (stream == "holistic" or own.track[t] == own.track[t + 1])
            )  # fmt: skip

        def kept(t: int) -> bool:
            return t % every == 0 or not joined(t - 1) or not joined(t)

        found, between = full.copy(), np.zeros(T, bool)
        for t in range(T):
            if own.status[t] not in promising or kept(t):
                continue
            a, b = t, t
            while not kept(a):
                a -= 1
            while not kept(b):
                b += 1
            x, y = full[a].astype(np.float32), full[b].astype(np.float32)
            share = np.float32((self.time_s[t] - self.time_s[a]) / (self.time_s[b] - self.time_s[a]))
            found[t], between[t] = (1 - share) * x + share * y, True
        return found, between


@pytest.mark.parametrize("every", [(1, 2), (3, 1), (2, 5), (4, 3)])
def test_they_are_what_a_plain_loop_gives_whatever_the_windows(every: tuple[int, int]) -> None:
    movie = Movie(seed=sum(every))
    full, _ = movie.run((1, 1))
    assert all(own.interpolated is None for own in full.values())
    for window_frames in (T, 7, 16):
        found, _ = movie.run(every, window_frames)
        for who, own in found.items():
            assert own.interpolated is not None
            for stream, bit, one in (("holistic", HOLISTIC, every[0]), ("partial", PARTIAL, every[1])):
                values, between = movie.expected(who, stream, one, getattr(full[who], stream))
                np.testing.assert_array_equal(getattr(own, stream), values)
                np.testing.assert_array_equal((own.interpolated & bit) > 0, between)
                assert between.any() == (one > 1)
            for name in set(SERIES) - {"holistic", "partial"}:
                np.testing.assert_array_equal(getattr(own, name), getattr(full[who], name))
            assert not list(problems(own.interpolated, own.status, own.track, every))


def test_only_those_are_encoded_that_must_be() -> None:
    movie = Movie(seed=3)
    every = (3, 4)
    rows, seen = movie.run(every)
    crops = sum(
        int((np.isin(own.status, HAS_PARTIAL) & ((own.interpolated & PARTIAL) == 0)).sum())
        for own in rows.values()
        if own.interpolated is not None
    )
    whole = np.zeros(T, bool)
    for own in rows.values():
        assert own.interpolated is not None
        whole |= np.isin(own.status, HAS_HOLISTIC) & ((own.interpolated & HOLISTIC) == 0)
    assert seen == crops + whole.sum() < movie.run((1, 1))[1]


def test_what_can_not_be_is_a_problem() -> None:
    status = np.full(20, FrameStatus.TRACKED, np.uint8)
    track = np.zeros(20, np.int32)
    said = np.zeros(20, np.uint8)
    said[1:4] = said[5:8] = PARTIAL | HOLISTIC
    assert not list(problems(said, status, track, (4, 4)))

    def told(at: int, value: int, status: np.ndarray = status, track: np.ndarray = track) -> str:
        changed = said.copy()
        changed[at] = value
        return "; ".join(problems(changed, status, track, (4, 4)))

    assert told(4, PARTIAL) == "partial is interpolated where it had to be encoded"
    assert told(4, HOLISTIC) == "holistic is interpolated where it had to be encoded"
    assert told(19, HOLISTIC) == told(0, HOLISTIC) == "holistic is interpolated beyond what was encoded"
    assert told(9, 8) == "interpolated has unknown bits"
    gap = status.copy()
    gap[2] = FrameStatus.MISSING
    assert told(2, HOLISTIC, gap) == "partial is interpolated beyond what was encoded"
    failed, nowhere = status.copy(), track.copy()
    failed[8:16], nowhere[8:16] = FrameStatus.FAILED, -1
    assert not list(problems(said, failed, nowhere, (4, 4)))
    other = track.copy()
    other[7:] = 1
    assert told(9, 0, status, other) == "partial is interpolated between two tracks"


def test_only_tracks_know_what_lies_between() -> None:
    for name in ("crop_every", "frame_every"):
        with pytest.raises(InputError, match=rf"encoder\.{name}.*expected 1, where tracks\.implementation"):
            ExtractConfig().replace(encoder=replace_encoder(name))


def replace_encoder(name: str) -> EncoderConfig:
    return EncoderConfig().replace(**{name: 2})


def test_reach_is_the_nearest_multiples() -> None:
    for every in ((1, 1), (3, 1), (4, 6)):
        for start in range(0, 40, 8):
            first, last = reach(start, start + 8, 40, every)
            lows = [max(n for n in range(start + 1) if n % one == 0) for one in every]
            highs = [min(n for n in range(start + 7, 80) if n % one == 0) for one in every]
            assert (first, last) == (min(lows), min(40, max(highs) + 1))
    assert reach(8, 16, 40, (1, 1)) == (8, 16)
