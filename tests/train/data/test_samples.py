"""Reading one window: masks for what is missing, errors for what is broken, files for each process."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from feature_folders import FPS, make_windows
from training_folders import VOCABULARY, damage, intervals_of, labelled_movie, write_training_folder

from rhas.manifests.common.errors import InputError
from rhas.manifests.shards.format import write_shard
from rhas.manifests.shards.layout import FeaturesFolder
from rhas.manifests.shards.reader import FeaturesReader, Shard
from rhas.manifests.shards.status import HAS_HOLISTIC, HAS_PARTIAL, FrameStatus
from rhas.train.data import BatchLoader, BatchSampler, DataConfig, SampleSet, load_dataset, rasterise
from rhas.train.data.boxes import BoxConfig
from rhas.train.data.samples import OpenShards

MOVIES = ("m0", "m1", "m2")


@pytest.fixture
def folder(tmp_path: Path) -> FeaturesFolder:
    return write_training_folder(tmp_path / "features", [labelled_movie(name) for name in MOVIES])


def _all_samples(
    folder: FeaturesFolder,
    boundary_sigma: float | None = None,
    soft_sigma: float | None = None,
    most: int = 16,
) -> SampleSet:
    config = DataConfig(window=16, split="random", soft_sigma=soft_sigma)
    splits = load_dataset(folder.root, config, boundary_sigma).splits
    assert {(s.boundary_sigma, s.soft_sigma) for s in splits.values()} == {(boundary_sigma, soft_sigma)}
    windows = sorted(
        (window for split in splits.values() for window in split.windows), key=lambda window: window.place
    )
    return SampleSet(windows, VOCABULARY, OpenShards(most), boundary_sigma, soft_sigma)


def test_boxes_come_behind_the_features_and_unsure_ones_not_at_all(folder: FeaturesFolder) -> None:
    plain = _all_samples(folder)
    samples = SampleSet(
        plain.windows,
        VOCABULARY,
        OpenShards(),
        config=DataConfig(boxes=BoxConfig(channels=True, least_sure=0.5)),
    )
    unsure = 0
    for sample, before in zip(samples, plain, strict=True):
        movie_id, person_id, start = sample.name.split("/")
        series = FeaturesReader(folder.root).person(movie_id, person_id)
        own = slice(int(start), int(start) + len(sample.valid))
        box, sure = series.box[own], series.sure[own]
        dropped = sure < 0.5
        unsure += dropped.sum()
        there = before.has_partial.numpy() & ~dropped
        np.testing.assert_array_equal(sample.has_partial.numpy(), there)
        np.testing.assert_array_equal(sample.holistic[:, :-6], before.holistic)
        np.testing.assert_array_equal(sample.partial[there, :-6], before.partial[there])
        assert (sample.partial[~there] == 0).all()
        boxed = there & np.isfinite(sure)
        assert (sample.holistic[~boxed, -6:] == 0).all()
        centre, size = (box[:, :2] + box[:, 2:]) / 2, box[:, 2:] - box[:, :2]
        expected = np.concatenate(
            [np.ones_like(sure)[:, None], sure[:, None] * 2 - 1, centre * 2 - 1, size * 2 - 1], 1
        )
        for stream in (sample.holistic, sample.partial):
            np.testing.assert_allclose(stream[boxed, -6:], expected[boxed], atol=1e-6)
    assert unsure > 10


def test_missing_frames_are_masked_and_zero(folder: FeaturesFolder) -> None:
    seen = set()
    for sample in _all_samples(folder):
        movie_id, person_id, start = sample.name.split("/")
        series = FeaturesReader(folder.root).person(movie_id, person_id)
        own = slice(int(start), int(start) + len(sample.valid))
        status = series.status[own]
        seen.update(status.tolist())
        for stream, has in (("holistic", HAS_HOLISTIC), ("partial", HAS_PARTIAL)):
            features, mask = getattr(sample, stream), getattr(sample, f"has_{stream}").numpy()
            np.testing.assert_array_equal(mask, np.isin(status, has))
            assert features.dtype == torch.float32 and features.isfinite().all()
            np.testing.assert_array_equal(features[mask], getattr(series, stream)[own][mask])
            assert (features[~mask] == 0).all()
        labels_TC, present_T = rasterise(
            intervals_of(labelled_movie(movie_id)), series.time_s[own], VOCABULARY
        )
        np.testing.assert_array_equal(sample.labels, labels_TC)
        np.testing.assert_array_equal(sample.valid, present_T)
    assert seen == {1, 2, 3, 4, 5, 6, 7, 8}  # all kinds of frames but those that nobody promised


def test_what_the_status_does_not_promise_is_not_taken(folder: FeaturesFolder) -> None:
    samples = _all_samples(folder)
    missing = int(np.flatnonzero(samples.windows[0].status == FrameStatus.MISSING)[0])
    with h5py.File(folder.shard("m0"), "r+") as file:
        file["persons/a/partial"][missing] = 7
    assert (samples[0].partial[missing] == 0).all()


def test_tokens_are_averaged(tmp_path: Path) -> None:
    movies = [labelled_movie(name, feature_shape=(32, 6)) for name in MOVIES]
    samples = _all_samples(write_training_folder(tmp_path / "features", movies))
    sample = samples[0]
    series = FeaturesReader(tmp_path / "features").person("m0", "a")
    mask = sample.has_partial.numpy()
    expected = series.partial[: len(mask)].astype(np.float64).mean(axis=1)[mask]
    np.testing.assert_allclose(sample.partial[mask], expected, rtol=1e-6)
    assert sample.partial.shape == (13, 6)  # 40 frames in three parts


def test_targets_are_made_when_asked_for(folder: FeaturesFolder) -> None:
    plain = _all_samples(folder)[0]
    assert plain.boundary is None and plain.soft_labels is None
    both = _all_samples(folder, boundary_sigma=2.0, soft_sigma=1.4)[0]
    assert both.boundary is not None and both.boundary.max() == 1
    assert both.soft_labels is not None and both.soft_labels.shape == both.labels.shape
    with pytest.raises(InputError, match="column soft_sigma: got 0"):
        DataConfig(soft_sigma=0)


@pytest.mark.parametrize("stream", ["holistic", "partial"])
def test_nan_where_the_status_promises_a_feature_is_named(tmp_path: Path, stream: str) -> None:
    movies = [labelled_movie(name) for name in MOVIES]
    folder = write_training_folder(tmp_path / "features", movies, lossy=False)
    status = FeaturesReader(folder.root).person("m1", "b").status
    broken = int(np.flatnonzero(np.isin(status, HAS_PARTIAL))[-1])
    damage(folder, "m1", "b", stream, broken)
    samples = _all_samples(folder)
    index = max(i for i, window in enumerate(samples.windows) if window.place[:2] == ("m1", "b"))
    expected = (
        rf"m1\.h5: got 'NaN .*person b, sample {broken} \({broken / FPS:.3f} s\), of movie m1'.*{stream}"
    )
    with pytest.raises(InputError, match=expected):
        samples[index]
    # The same error, whole, out of a worker.
    alone = SampleSet(samples.windows[index : index + 1], VOCABULARY, OpenShards())
    loader = BatchLoader(alone, BatchSampler(1, 1, seed=0), workers=1)
    with pytest.raises(InputError, match=expected):
        list(loader)


def test_a_damaged_chunk_is_named(folder: FeaturesFolder) -> None:
    samples = _all_samples(folder)
    with h5py.File(folder.shard("m0"), "r") as file:
        chunk = file["persons/a/holistic"].id.get_chunk_info(0)
    with folder.shard("m0").open("r+b") as raw:
        raw.seek(chunk.byte_offset)
        raw.write(b"\xff" * 8)
    with pytest.raises(
        InputError, match=r"m0\.h5: expected holistic of person a, samples 0 to 13 that can be"
    ):
        samples[0]


def test_features_that_changed_meanwhile_are_refused(folder: FeaturesFolder) -> None:
    samples = _all_samples(folder)
    header = labelled_movie("m0")
    write_shard(folder, header, make_windows(header, seed=9).__getitem__)
    with pytest.raises(InputError, match="person a as when training began"):
        samples[0]


@pytest.mark.parametrize("keep", [False, True])
def test_features_that_change_after_they_were_read_are_refused(folder: FeaturesFolder, keep: bool) -> None:
    """Though the file is open, or its features are in memory, and every status is as before."""
    samples = _all_samples(folder)
    samples = SampleSet(samples.windows, VOCABULARY, OpenShards(), keep=keep)
    before = samples[0]
    os.utime(folder.shard("m0"))  # touched, and the same
    assert torch.equal(samples[0].holistic, before.holistic)
    header = labelled_movie("m0")
    windows = make_windows(header)
    rows = windows[0].persons["a"]
    rows.holistic[np.isin(rows.status, HAS_HOLISTIC)] += 1
    write_shard(folder, header, windows.__getitem__)
    with pytest.raises(InputError, match=r"m0\.h5: expected features as when they were first read"):
        samples[0]
    folder.shard("m0").unlink()
    with pytest.raises(InputError, match=r"m0\.h5: expected a feature shard that can be read"):
        samples[0]


@pytest.mark.parametrize("shape", [(6,), (32, 6)])
def test_what_is_kept_is_what_was_read(
    tmp_path: Path, shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_training_folder(tmp_path / "f", [labelled_movie(m, feature_shape=shape) for m in MOVIES])
    plain = _all_samples(folder)
    kept = SampleSet(plain.windows, VOCABULARY, OpenShards(), keep=True)
    kept.read_ahead()
    monkeypatch.setattr(OpenShards, "person", None)  # no file is needed any more
    again = [kept[i] for i in range(len(kept))]
    loader = BatchLoader(kept, BatchSampler(len(kept), 1, seed=0, shuffle=False), workers=1)
    from_worker = [batch.partial_BFT[0].T for batch in loader]  # it was forked with all of them
    monkeypatch.undo()
    for read, held, worked in zip(plain, again, from_worker, strict=True):
        assert torch.equal(read.holistic, held.holistic) and torch.equal(read.partial, held.partial)
        assert held.partial.dtype == torch.float32 and torch.equal(worked, read.partial)
    sent = pickle.loads(pickle.dumps(kept))
    assert not sent._kept and torch.equal(sent[2].partial, plain[2].partial)


def test_what_fits_is_kept_but_for_the_test_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_training_folder(tmp_path / "f", [labelled_movie(name) for name in MOVIES], lossy=False)

    def kept(available: int | None, in_memory: object = "auto", processes: str = "") -> list[bool]:
        monkeypatch.setattr("rhas.train.data.samples.available_bytes", lambda: available)
        monkeypatch.setenv("LOCAL_WORLD_SIZE", processes)
        config = DataConfig(window=16, split="random", in_memory=in_memory)  # type: ignore[arg-type]
        splits = load_dataset(folder.root, config).splits
        own = [sample for name in ("train", "val") for sample in splits[name]]
        streams = [has for sample in own for has in (sample.has_holistic, sample.has_partial) if has.any()]
        needed.append(sum(map(len, streams)) * 6 * 2)  # six halves a frame
        return [splits[name].keep for name in ("train", "val", "test")]

    needed: list[int] = []
    assert kept(1 << 40) == [True, True, False]
    assert kept(4 * needed[0]) == [True, True, False] and kept(4 * needed[0] - 4) == [False] * 3
    assert kept(8 * needed[0], processes="2") == [True, True, False]
    assert kept(8 * needed[0] - 8, processes="2") == [False] * 3
    assert kept(None) == [False] * 3  # nobody says how much there is
    assert kept(0, True) == [True, True, False] and kept(1 << 40, False) == [False] * 3


def test_a_shard_is_checked_once_as_long_as_it_is_the_same(
    folder: FeaturesFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[str] = []
    check = Shard._check

    def counted(self: Shard) -> None:
        checked.append(self.path.name)
        check(self)

    monkeypatch.setattr(Shard, "_check", counted)
    samples = _all_samples(folder, most=1)
    assert sorted(checked) == ["m0.h5", "m1.h5", "m2.h5"]  # when the data was loaded
    for _ in range(2):
        for index in torch.randperm(len(samples)).tolist():
            samples[index]
    assert len(checked) == 3
    os.utime(folder.shard("m1"))
    for index in range(len(samples)):
        samples[index]
    assert checked[3:] == ["m1.h5"]
    Shard(folder.shard("m0")).file.close()  # as `rhas verify` opens them
    assert checked[4:] == ["m0.h5"]


def test_only_so_many_files_stay_open(folder: FeaturesFolder) -> None:
    shards = OpenShards(most=2)
    first = shards.person(folder.shard("m0"), "a")
    assert shards.person(folder.shard("m0"), "a") is first
    shards.person(folder.shard("m1"), "a")
    shards.person(folder.shard("m0"), "b")
    shards.person(folder.shard("m2"), "a")  # closes m1, used longest ago
    assert first.holistic.id.valid
    shards.person(folder.shard("m1"), "a")
    assert not first.holistic.id.valid
    assert len(_all_samples(folder, most=1)) == sum(1 for _ in _all_samples(folder, most=1))


def test_another_process_opens_its_own_files(folder: FeaturesFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    shards = OpenShards()
    series = shards.person(folder.shard("m0"), "a")
    process = os.getpid()
    monkeypatch.setattr(os, "getpid", lambda: process + 1)  # as after a fork
    own = shards.person(folder.shard("m0"), "a")
    assert own is not series
    assert shards.person(folder.shard("m0"), "a") is own


def test_workers_read_the_same_with_files_of_their_own(folder: FeaturesFolder) -> None:
    samples = _all_samples(folder)
    here = {sample.name: sample for sample in samples}  # leaves files open that workers inherit
    loader = BatchLoader(samples, BatchSampler(len(samples), 2, seed=0), workers=2)
    for _ in range(2):
        batches = list(loader)
        assert len(batches) == len(loader)
        assert sorted(name for batch in batches for name in batch.names) == sorted(here)
        for batch in batches:
            for b, name in enumerate(batch.names):
                length = int(batch.lengths_B[b])
                assert torch.equal(batch.holistic_BFT[b, :, :length].T, here[name].holistic)


def test_a_sample_set_can_be_sent_to_another_process(folder: FeaturesFolder) -> None:
    samples = _all_samples(folder)
    before = samples[3]
    sent = pickle.loads(pickle.dumps(samples))
    assert torch.equal(sent[3].partial, before.partial)


def test_loading_leaves_the_global_generator_alone(folder: FeaturesFolder) -> None:
    samples = _all_samples(folder)
    before = torch.get_rng_state()
    list(BatchLoader(samples, BatchSampler(len(samples), 2, seed=0)))
    assert torch.equal(torch.get_rng_state(), before)
