"""Interpolated features from movie to shard: the same whatever the windows, and `verify` finds what can't be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from feature_folders import make_movie
from numbered_movies import regular, write_movie

from rhas.extract.config import ExtractConfig, RunOptions, load_config
from rhas.extract.run.jobs import ENCODING, MovieJob
from rhas.extract.run.layout import made_of
from rhas.extract.run.workers import DecodeWorker, ModelWorker, WriteWorker
from rhas.manifests.shards.boxes import PersonBoxes, no_boxes
from rhas.manifests.shards.identity import movie_identity
from rhas.manifests.shards.interpolated import HOLISTIC, PARTIAL, every_of
from rhas.manifests.shards.layout import FeaturesFolder
from rhas.manifests.shards.reader import Shard
from rhas.manifests.shards.status import FrameStatus
from rhas.manifests.shards.tracks import MovieTracks, write_tracks
from rhas.manifests.shards.verify import shard_problems
from rhas.manifests.tables.manifest import Movie, Person

PERSONS = (Person("a", "p", "the tall person"), Person("a", "q", "the person on the left"))


def boxes_of(samples: int) -> dict[str, PersonBoxes]:
    """Who moves all the time, but for a gap, a change of track and (in `extracted`) a cut; who comes later."""
    found = {}
    for person, begins in zip(PERSONS, (0, 10), strict=True):
        own = no_boxes(np.ones(samples, bool), FrameStatus.MISSING)
        there = np.arange(samples) >= begins
        there[25:28] &= person.person_id != "p"
        own.status[there], own.score[there], own.sure[there] = FrameStatus.TRACKED, 0.5, 0.5
        own.track[there] = (np.arange(samples) > 33)[there]
        left = np.linspace(0.1, 0.6, samples)
        boxes = np.stack([left, np.full(samples, 0.1), left + 0.3, np.full(samples, 0.8)], 1)
        own.box[there] = boxes[there]
        found[person.person_id] = own
    return found


def extracted(video: Path, out: Path, settings: list[str]) -> tuple[Path, dict]:
    """The shard that an extraction's workers make, one after the other, and what config.json would say."""
    config = load_config("tiny-random", ["tracks.implementation=builtin", *settings]).resolved(bfloat16=False)
    folder = FeaturesFolder(out)
    folder.root.mkdir()
    arguments = made_of(config, RunOptions(), folder.root)
    decoder, model = DecodeWorker(*arguments["DecodeWorker"]), ModelWorker(config, 8, "cpu")
    record = {"extraction": "x", "config": config.to_dict(), **model.describe()}
    index, grid = decoder.probe("a", video)
    header = replace(
        make_movie(samples=len(grid)), movie_id="a", video=str(video), source=vars(index.facts) | {"notes": []},
        window_frames=config.decode.window_frames, time_s=grid.time_s, source_frame=grid.source_frame,
        config=record["config"], models=record["models"], feature_shape=tuple(record["feature_shape"]),
        identity=movie_identity("x", index.facts.digest, PERSONS), persons=PERSONS, text_embeddings={},
    )  # fmt: skip
    tracks = MovieTracks(header.identity, header.window_frames, boxes_of(len(grid)), np.array([20]), {})
    write_tracks(folder, "a", tracks)
    header = replace(header, tracks=tracks.digests(every_of(header.config)))
    writer = WriteWorker(folder.root)
    job, frames_done = MovieJob(header, set(), ENCODING, tracks=tracks), 0
    for number in header.planned():
        read, frames = decoder.read(task := ENCODING.task(job, number, config))
        report, window = model.encode(task, read, frames)
        assert read.wanted == task.stop - task.start
        frames_done += report.frames
        writer.write(window)
    assert frames_done == len(grid)
    assert model.speed_alone()
    writer.seal(header, {})
    decoder.process.__exit__(None, None, None)
    return folder.shard("a"), record


def problems(path: Path, record: dict, video: Path) -> list[str]:
    with Shard(path) as shard:
        return list(shard_problems(shard, Movie("a", video, PERSONS), record))


def test_they_do_not_depend_on_windows_and_are_verified(tmp_path: Path) -> None:
    write_movie(video := tmp_path / "a.mp4", regular(90))
    sparse = ["encoder.crop_every=3", "encoder.frame_every=5"]
    found = {}
    for name, settings in (
        ("every", ["decode.window_frames=64"]),
        ("whole", [*sparse, "decode.window_frames=64"]),
        ("parts", [*sparse, "decode.window_frames=8"]),
    ):
        path, record = extracted(video, tmp_path / name, settings)
        assert not problems(path, record, video)
        found[name] = path, record
    with (
        Shard(found["whole"][0]) as whole,
        Shard(found["parts"][0]) as parts,
        Shard(found["every"][0]) as all_of,
    ):
        for person in PERSONS:
            one, other, every = (shard.person(person.person_id) for shard in (whole, parts, all_of))
            assert every.interpolated is None and one.interpolated is not None
            assert other.interpolated is not None
            said = one.interpolated[...]
            np.testing.assert_array_equal(said, other.interpolated[...])
            np.testing.assert_array_equal(one.status, every.status)
            for stream, bit in (("holistic", HOLISTIC), ("partial", PARTIAL)):
                values = getattr(one, stream)[...]
                np.testing.assert_allclose(values, getattr(other, stream)[...], atol=2e-3, equal_nan=True)
                encoded = (said & bit) == 0
                full = getattr(every, stream)[...]
                np.testing.assert_allclose(values[encoded], full[encoded], atol=2e-3, equal_nan=True)
                assert (np.abs(values[~encoded] - full[~encoded]).max(axis=1) > 0.01).any()
    path, record = found["parts"]
    import h5py

    with h5py.File(path, "r+") as file:
        file["persons/p/interpolated"][15] |= HOLISTIC  # a multiple of 3 and 5
    told = problems(path, record, video)
    assert any("holistic is interpolated where it had to be encoded" in line for line in told)
    assert any("checksum does not match" in line for line in told)
    with h5py.File(path, "r+") as file:
        del file["persons/p/interpolated"]
    assert any("interpolated is there just where" in line for line in problems(path, record, video))


def test_a_config_without_them_is_as_it_was() -> None:
    assert every_of(ExtractConfig().to_dict()) == every_of({}) == every_of({"encoder": "clip"}) == (1, 1)
    with pytest.raises(Exception, match="crop_every"):
        load_config("mini", ["encoder.crop_every=2", "tracks.implementation=frames"])
