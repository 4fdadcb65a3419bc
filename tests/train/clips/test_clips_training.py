"""Systems for clips: what is read, what they learn, what a run keeps, and the table beside the constant."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from made_clips import DETECTIONS, EACH, MOVIES, TOKENS, WIDTH, write_clip_folder

from rhas.manifests.common.errors import InputError
from rhas.manifests.shards.clip_tokens import ClipFolder, read_movie, write_clip_failures, write_movie
from rhas.train.clips.data import ClipData, load_clip_data
from rhas.train.clips.fitting import open_clip_run, predict, train_clips
from rhas.train.clips.measuring import evaluate_clips
from rhas.train.clips.systems import System
from rhas.train.clips.table import SYSTEMS, clip_config, write_table

QUICK = ("epochs=60", "batch=24", "lr=0.003", "model.network.agents=2", "model.network.head=[24,16]",
         "model.box_head=[24,16]", "model.network.dropout=0.0")  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> ClipFolder:
    return write_clip_folder(tmp_path_factory.mktemp("clips") / "tokens")


@pytest.fixture(scope="module")
def data(folder: ClipFolder) -> ClipData:
    return load_clip_data(folder.root)


def test_clips_are_what_was_stored(folder: ClipFolder, data: ClipData) -> None:
    assert {split: len(own) for split, own in data.splits.items()} == {s: n * EACH for s, n in MOVIES.items()}
    assert data.shape == (TOKENS, WIDTH, DETECTIONS) and data.lost == 0
    own = data.splits["val"]
    stored, _ = read_movie(folder.movie("val-1"))
    batch = own.batch(range(EACH, 2 * EACH))
    np.testing.assert_array_equal(batch.image_BND, stored.image.astype(np.float32))
    assert batch.image_BND.dtype == torch.float32 and batch.categories_BK.dtype == torch.int64
    # Nobody was found in the first one: zeros, and a mark that says so.
    assert not batch.person_BND[0].any() and batch.grounded_B5[0].tolist() == [0] * 5
    assert batch.grounded_B5[1, 0] == 1 and batch.grounded_B5[1, 1:].tolist() == stored.grounded[1].tolist()
    for clip, row in zip(own.clips, own.labels, strict=True):
        assert {a for a, on in zip(data.vocabulary.actions, row, strict=True) if on} == set(clip.actions)
    np.testing.assert_allclose(own.boxes, [clip.box for clip in own.clips], rtol=1e-6)


@pytest.mark.parametrize("name", ["refatomnet", "crop"])
def test_a_system_learns_what_can_be_seen(
    name: str, data: ClipData, folder: ClipFolder, tmp_path: Path
) -> None:
    config = clip_config([*QUICK, *SYSTEMS[name]])
    best = train_clips(folder.root, data, tmp_path / "run", config)
    found = evaluate_clips(tmp_path / "run", "test", data=data)
    own, constant = found["systems"][config.system], found["systems"]["constant"]
    assert own["mAP"] > 90 > 60 > constant["mAP"] and own["mIoU"] > constant["mIoU"] + 2
    assert constant["auroc"] == 50 and best.mAP > 90
    text = (tmp_path / "run" / "ravar-test.md").read_text()
    assert text.index("mAP (macro)") < text.index("mAP (weighted)") and "| constant |" in text
    run, _ = open_clip_run(tmp_path / "run", data)
    logits, boxes = predict(run.system, data.splits["test"], "cpu")
    assert logits.shape == (3 * EACH, 3) and boxes.shape == (3 * EACH, 4)
    with pytest.raises(InputError, match="the settings that the run began with"):
        train_clips(folder.root, data, tmp_path / "run", config.replace(seed=1))


def test_two_trainings_give_the_same(data: ClipData, folder: ClipFolder, tmp_path: Path) -> None:
    config = clip_config([*QUICK[1:-1], "epochs=2"])  # with dropout
    for name in "ab":
        train_clips(folder.root, data, tmp_path / name, config)
    assert (tmp_path / "a" / "model.safetensors").read_bytes() == (
        tmp_path / "b" / "model.safetensors"
    ).read_bytes()
    curves = (tmp_path / "a" / "curves.csv").read_text()
    assert curves == (tmp_path / "b" / "curves.csv").read_text() and curves.count("\n") == 3


@pytest.mark.parametrize("name", SYSTEMS)
def test_gradients_reach_every_parameter(name: str, data: ClipData) -> None:
    torch.manual_seed(0)
    system = System(clip_config([*QUICK, *SYSTEMS[name]]), data).train()
    losses = system.losses(data.splits["train"].batch(range(24)))
    torch.stack([*losses.values()]).sum().backward()
    for parameter, tensor in system.named_parameters():
        assert tensor.grad is not None and tensor.grad.any(), parameter


def test_a_baseline_looks_at_what_it_says(data: ClipData) -> None:
    batch = data.splits["train"].batch(range(8))
    changes = {"tokens": "image_BND", "crop": "person_BND", "location": "grounded_B5"}
    for kind, own in changes.items():
        torch.manual_seed(0)
        system = System(clip_config([*QUICK, f"system={kind}"]), data).eval()
        before = system(batch)
        for what in (*changes.values(), "sentence_BD", "boxes_BK4"):
            after = system(dataclasses.replace(batch, **{what: getattr(batch, what) + 1}))
            expected = what == own or (kind == "crop" and what == "grounded_B5")
            assert torch.equal(before.logits_BC, after.logits_BC) is not expected, (kind, what)


def test_the_table_goes_on_where_it_was(data: ClipData, folder: ClipFolder, tmp_path: Path) -> None:
    told: list[str] = []
    few = (*QUICK[1:], "epochs=2")
    rows = write_table(folder.root, data, tmp_path, ["location", "without-LSAS"], 2, few, told=told.append)
    assert {name: len(runs) for name, runs in rows.items()} == {"location": 2, "without-LSAS": 2}
    assert [line.split(":")[0] for line in told] == [
        "location-seed0", "without-LSAS-seed0", "location-seed1", "without-LSAS-seed1"
    ]  # fmt: skip
    text, weights = (
        (tmp_path / "table.md").read_text(),
        tmp_path / "runs" / "location-seed1" / "model.safetensors",
    )
    assert "| constant |" in text and " ± " in text
    stamp = weights.stat().st_mtime_ns
    assert write_table(folder.root, data, tmp_path, ["location", "without-LSAS"], 2, few) == rows
    assert weights.stat().st_mtime_ns == stamp
    with pytest.raises(InputError, match="another table needs another --out"):
        write_table(folder.root, data, tmp_path, ["location"], 1, (*few, "lr=0.1"))
    with pytest.raises(InputError, match="--systems: got 'all': expected of location, crop"):
        write_table(folder.root, data, tmp_path, ["all"], 1)


def test_folders_that_can_not_be_learned_from_are_refused(tmp_path: Path) -> None:
    folder = write_clip_folder(tmp_path / "tokens")
    path = folder.movie("train-1")
    whole, tokens = path.read_bytes(), read_movie(path)
    path.unlink()
    with pytest.raises(
        InputError, match=r"got '12 are lacking, such as train-1/p/0': expected all clips of clips\.csv"
    ):
        load_clip_data(folder.root)
    write_clip_failures(folder.failures, [("train-1", "p", float(k), "a damaged movie") for k in range(EACH)])
    assert load_clip_data(folder.root).lost == EACH
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(InputError, match="the checksum does not match the contents"):
        load_clip_data(folder.root)
    write_movie(path, tokens[0], "x", "of other clips")
    with pytest.raises(InputError, match="extract anew after it was changed"):
        load_clip_data(folder.root)
    record = json.loads(folder.config.read_text())
    path.write_bytes(whole)
    folder.config.write_text(json.dumps({**record, "shape": [2, WIDTH]}))
    with pytest.raises(InputError, match=r"tokens \(2, 8\) and 3 boxes, as config\.json says"):
        load_clip_data(folder.root)
    folder.config.write_text("{}")
    with pytest.raises(InputError, match="the record of an extraction of clips"):
        load_clip_data(folder.root)


def test_one_vector_is_no_refatomnet(tmp_path: Path, data: ClipData) -> None:
    vectors = dataclasses.replace(data, record={**data.record, "shape": [1, WIDTH]})
    with pytest.raises(InputError, match="expected a baseline: the encoder has no query tokens"):
        System(clip_config(QUICK), vectors)
