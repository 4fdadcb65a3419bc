"""Trackers of other packages: CONTRIBUTING's as it stands there; what one gives gets into the movie's tracks."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from feature_folders import make_movie
from numbered_movies import regular, write_movie

from rhas.extract.config import DecodeConfig, TracksConfig, load_config
from rhas.extract.decode.process import Frames
from rhas.extract.decode.windows import WindowFrames
from rhas.extract.ground.boxes import Candidates
from rhas.extract.run.jobs import LOOKING, MovieJob
from rhas.extract.run.workers import DecodeWorker, LinkWorker, ModelWorker, WriteWorker
from rhas.extract.tracks.link import link
from rhas.extract.tracks.looking import Looker
from rhas.extract.tracks.outside import OutsideTracker, Track, load
from rhas.manifests.common.errors import InputError
from rhas.manifests.shards.format import MovieHeader
from rhas.manifests.shards.layout import FeaturesFolder
from rhas.manifests.shards.seen import Seen, part_of, read_seen, seen_id
from rhas.manifests.shards.status import FrameStatus
from rhas.manifests.shards.tracks import of_movie, read_tracks
from rhas.manifests.tables.manifest import Person

PAGE = Path(__file__).parents[2] / "CONTRIBUTING.md"
N, EVERY, FPS = 20, 4, 10  # samples of a window, of which every fourth is looked at
DETECTED, TRACKED, MISSING = FrameStatus.DETECTED, FrameStatus.TRACKED, FrameStatus.MISSING


def box_at(t: int, who: int = 0) -> list[float]:
    """Where somebody is: persons swing from side to side, which no straight line between looks follows."""
    x = 0.2 + 0.5 * who + 0.08 * np.sin(t * 1.3)
    return [x - 0.05, 0.3, x + 0.05, 0.7]


class Knowing(OutsideTracker):
    """Follows those it is told of by where they are known to be; a frame's red says which sample it is."""

    weights_hash = "known"
    change: Any = staticmethod(lambda tracks: tracks)
    lost: Mapping[int, set[int]] = {}

    def __init__(self, config: TracksConfig):
        self.calls: list[Mapping[int, torch.Tensor]] = []

    def to(self, device: Any) -> Knowing:
        return self

    def track(self, frames_nHW3: torch.Tensor, seen: Mapping[int, torch.Tensor]) -> Sequence[Track]:
        self.calls.append(seen)
        samples = frames_nHW3[:, 0, 0, 0].tolist()
        begun = {int(box[0] > 0.45) for boxes in seen.values() for box in boxes}
        tracks = []
        for who in sorted(begun):
            box = np.array([box_at(t, who) for t in samples], np.float32)
            box[np.isin(samples, list(self.lost.get(who, ())))] = np.nan
            tracks.append(Track(box, np.full(len(box), 0.9, np.float32)))
        return self.change(tracks)


class NowAndThen:
    """A detector that sees the two in samples in which its script has them."""

    def __init__(self, script: Mapping[str, set[int]]):
        self.script = script

    def candidates(self, window: WindowFrames, persons: Sequence[Person], inside: Any) -> Any:
        found = []
        for who, person in enumerate(persons):
            own = {}
            for row, sample in enumerate(window.frames.pixels[:, 0, 0, 0].tolist()):
                there = sample in self.script[person.person_id]
                boxes = torch.tensor([box_at(sample, who)][: int(there)]).reshape(-1, 4)
                own[row] = Candidates(boxes, torch.full((len(boxes),), 0.9))
            found.append(own)
        return found

    device = torch.device("cpu")


def seen_of(header: MovieHeader, index: int, tracker: OutsideTracker, script: Mapping[str, set[int]]) -> Seen:
    start, stop = header.bound(index)
    pixels = np.zeros((stop - start, 24, 40, 3), np.uint8)
    pixels[..., 0] = np.arange(start, stop)[:, None, None]
    window = WindowFrames(Frames(pixels, np.ones(stop - start, bool), "", False, 0), lead=0)
    config = load_config("tiny-random")
    looker = Looker(NowAndThen(script), config, tracker)  # type: ignore[arg-type]
    look = np.arange(start, stop) % EVERY == 0
    inside = [np.ones(stop - start, bool)] * len(header.persons)
    arrays = looker.look(window, start, look, header.persons, inside)
    return Seen(header.movie_id, index, start, stop, seen_id(header, index), "", "", arrays)


@pytest.fixture
def header() -> MovieHeader:
    made = make_movie(samples=2 * N)
    persons = tuple(Person(made.movie_id, who, f"the {who}") for who in ("p", "q"))
    return replace(
        made, window_frames=N, persons=persons, time_s=np.arange(2 * N) / FPS, source_frame=np.arange(2 * N)
    )


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A package with entry points, as an installer leaves it, whose code is CONTRIBUTING's, and `Knowing`."""
    info = tmp_path / "site" / "elsewhere-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: elsewhere\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[rhas.trackers]\niou = trackers_of_others:IouTracker\nknowing = trackers_of_others:Knowing\n"
    )
    monkeypatch.syspath_prepend(str(info.parent))
    made = ModuleType("trackers_of_others")
    made.Knowing = Knowing  # type: ignore[attr-defined]
    (code,) = (c for c in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL) if "Tracker" in c)
    exec(compile(code, str(PAGE), "exec"), vars(made))
    monkeypatch.setitem(sys.modules, "trackers_of_others", made)
    return made


def test_the_one_in_contributing_tells_persons_apart(package: ModuleType) -> None:
    tracker = load(TracksConfig(implementation="iou", weights="0.2"))
    rng = np.random.default_rng(0)
    seen = {}
    for row in range(0, N, EVERY):
        both = [[x, 0.3, x + 0.2, 0.7] for x in (0.1 + row / 100, 0.7 - row / 100)]
        seen[row] = torch.tensor(both)[rng.permutation(2).tolist()]
    found = tracker.track(torch.zeros((N, 8, 8, 3), dtype=torch.uint8), seen)
    assert len(found) == 2
    for track, direction in zip(sorted(found, key=lambda own: own.box[0, 0]), (1, -1), strict=True):
        assert np.flatnonzero(np.isfinite(track.box[:, 0])).tolist() == list(seen)
        np.testing.assert_allclose(np.diff(track.box[::EVERY, 0]), direction * EVERY / 100, atol=1e-6)
    far = {0: torch.tensor([[0.0, 0.0, 0.2, 0.2]]), 4: torch.tensor([[0.5, 0.5, 0.7, 0.7]])}
    assert len(tracker.track(torch.zeros((N, 8, 8, 3), dtype=torch.uint8), far)) == 2


def test_its_boxes_are_those_between_looks_and_over_borders_they_move_in_proportion(
    header: MovieHeader,
) -> None:
    every = set(range(0, 2 * N, EVERY))
    script = {"p": every - {8, 12}, "q": every}  # p isn't seen in two looks, but tracked
    tracker = Knowing(TracksConfig())
    seen = {index: seen_of(header, index, tracker, script) for index in (0, 1)}
    assert [sorted(call) for call in tracker.calls] == [[0, 4, 8, 12, 16]] * 2
    found = link(header, seen, {}, load_config("tiny-random"))
    for who, person in enumerate(header.persons):
        own = found.boxes[person.person_id]
        true = np.array([box_at(t, who) for t in range(2 * N)])
        over = slice(N - EVERY + 1, N)  # behind the last look of the first window
        inner = np.ones(2 * N, bool)
        inner[over] = inner[2 * N - EVERY + 1 :] = False
        np.testing.assert_allclose(own.box[inner], true[inner], atol=1e-6)
        share = np.arange(1, EVERY)[:, None] / EVERY
        straight = (1 - share) * true[N - EVERY] + share * true[N]
        np.testing.assert_allclose(own.box[over], straight, atol=1e-6)
        assert len(set(own.track.tolist()) - {-1}) == 1
        at = [t for t in range(0, 2 * N, EVERY) if t in script[person.person_id]]
        assert (own.status[at] == DETECTED).all()
        assert (own.status[[1, 2, 3, 5, N + 1]] == TRACKED).all()
        # Between two looks a score counts by how sure the tracker is, .9.
        np.testing.assert_allclose(own.score[2], 0.9 * (own.score[0] + own.score[4]) / 2, rtol=1e-5)
    assert (found.boxes["p"].status[[8, 12]] == TRACKED).all()


def test_nobody_is_where_the_tracker_lost_them_too(header: MovieHeader) -> None:
    every = set(range(0, 2 * N, EVERY))
    script = {"p": every - {8, 12}, "q": every}
    tracker = Knowing(TracksConfig())
    tracker.lost = {0: set(range(6, 15))}
    seen = {index: seen_of(header, index, tracker, script) for index in (0, 1)}
    short = load_config("tiny-random", ["tracks.longest_gap_s=0.5"])
    own = link(header, seen, {}, short).boxes["p"]
    assert (own.status[8:13] == MISSING).all() and (own.status[[4, 16]] == DETECTED).all()
    np.testing.assert_allclose(own.box[1:4], [box_at(t) for t in (1, 2, 3)], atol=1e-6)


def test_what_it_says_over_a_cut_is_not_used(header: MovieHeader) -> None:
    every = set(range(0, 2 * N, EVERY))
    tracker = Knowing(TracksConfig())
    seen = {index: seen_of(header, index, tracker, {"p": every, "q": set()}) for index in (0, 1)}
    arrays = dict(seen[0].arrays)
    arrays["change"] = arrays["change"].copy()
    arrays["change"][6] = 200
    found = link(header, {0: replace(seen[0], arrays=arrays), 1: seen[1]}, {}, load_config("tiny-random"))
    own = found.boxes["p"]
    assert found.cuts.tolist() == [6]
    assert own.track[4] != own.track[8] and own.track[8] == own.track[16]
    np.testing.assert_allclose(own.box[[5, 6, 7]], [box_at(5), box_at(8), box_at(8)], atol=1e-6)
    np.testing.assert_allclose(own.box[[3, 9]], [box_at(3), box_at(9)], atol=1e-6)


def test_the_workers_store_it_and_features_are_known_by_it(package: ModuleType, tmp_path: Path) -> None:
    """The workers themselves, one after the other, on a real movie; what is stored comes back."""
    write_movie(tmp_path / "a.mp4", regular(60))
    settings = ["tracks.implementation=iou", "decode.window_frames=16"]
    config = load_config("tiny-random", settings)
    assert config.tracks.two_passes
    folder = FeaturesFolder(tmp_path / "out")
    folder.root.mkdir()
    decoder, model = DecodeWorker(folder.root, DecodeConfig(), 0, 60.0), ModelWorker(config, 8, "cpu")
    assert model.describe()["models"]["tracker"] == {"name": "", "hash": "IoU 0.3, version 1"}
    index, grid = decoder.probe("a", tmp_path / "a.mp4")
    header = replace(
        make_movie(samples=len(grid)), movie_id="a", video=str(tmp_path / "a.mp4"), window_frames=16,
        time_s=grid.time_s, source_frame=grid.source_frame, source=vars(index.facts),
        identity={"video": index.facts.digest, "extraction": "x", "persons": {}},
        persons=(Person("a", "p", "the tall person"), Person("a", "q", "the person on the left")),
    )  # fmt: skip
    writer, linker = WriteWorker(folder.root), LinkWorker(folder.root, config)
    for number in header.planned():
        task = LOOKING.task(MovieJob(header, set(), LOOKING), number, config)
        read, frames = decoder.read(task)
        report, seen = model.look(task, read, frames)
        assert task.look is not None and report.looked == task.look.sum() < len(frames.frames.ok)
        writer.write(seen)
        again = read_seen(part_of(folder, header, number))
        assert again is not None and again.arrays.keys() == seen.arrays.keys()
        for name, array in seen.arrays.items():
            np.testing.assert_array_equal(again.arrays[name], array)
        assert len(seen.arrays["tracked"]) > 0
    linker.link(header, {})
    stored = of_movie(read_tracks(folder.tracks("a")), header)
    assert stored is not None and all("tracked" in own.arrays for own in stored.seen.values())
    decoder.process.__exit__(None, None, None)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda tracks: [SimpleNamespace()], "got a SimpleNamespace, not Track"),
        (
            lambda tracks: [Track(t.box[1:], t.score) for t in tracks],
            r"boxes of shape \(2, 4\), not \(3, 4\)",
        ),
        (lambda tracks: [Track(t.box, t.score[1:]) for t in tracks], r"scores of shape \(2,\), not \(3,\)"),
        (lambda tracks: [Track(t.box.astype(float), t.score) for t in tracks], "no array of float32"),
        (lambda tracks: [Track(t.box + 1, t.score) for t in tracks], r"boxes outside \[0, 1\]"),
        (lambda tracks: [Track(t.box, t.score * np.nan) for t in tracks], r"scores outside \[0, 1\]"),
        (lambda tracks: [Track(t.box[:, ::-1], t.score) for t in tracks], "boxes without an area"),
        (lambda tracks: 1 / 0, "ZeroDivisionError"),
    ],
)
def test_a_tracker_that_does_not_fit_is_told(
    change: Any, said: str, package: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Knowing, "change", staticmethod(change))
    with pytest.raises(InputError, match=said) as caught:
        load(TracksConfig(implementation="knowing"))
    assert "entry point rhas.trackers, column knowing" in str(caught.value)


def test_names_of_trackers_are_checked(package: ModuleType) -> None:
    with pytest.raises(InputError, match="one of frames, builtin, boxes, iou, knowing, sam2; packages add"):
        TracksConfig(implementation="iuo")
    with pytest.raises(InputError, match="builtin has no weights of its own"):
        TracksConfig(implementation="builtin", weights="0.3")


def test_the_command_is_understood_as_it_stands(package: ModuleType) -> None:
    settings = re.findall(r"--set (tracks\.\S+)", PAGE.read_text())
    tracks = load_config("mini", settings).tracks
    assert (tracks.implementation, tracks.weights) == ("iou", "0.3")
