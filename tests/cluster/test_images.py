"""The image that was built here: whose it is, what it can't do, and its weights on a claim, without any network."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from containers import Container, absent

from rhas.extract.config import EncoderConfig
from rhas.extract.encode import load_encoder
from rhas.pipeline.world.writing import World, write_world

pytestmark = pytest.mark.skipif(bool(absent()), reason=absent())
PIPELINE = """
stages:
  extract: {movies: movies/manifest.csv, preset: tiny-random, encoder: made/clip, fps: 5, workers: 1, decoders: 1,
            set: [encoder.kind=clip, decode.window_frames=8]}
  verify:
"""


@pytest.fixture
def container(tmp_path: Path) -> Container:
    """Without a network; all of its /data is user 1000's."""
    write_world(tmp_path / "movies", World(movies=1, seed=3, shortest_s=4, longest_s=5))
    for name in ("pipeline", "elsewhere"):
        (tmp_path / f"{name}.yaml").write_text(PIPELINE)
    fill_cache(tmp_path / "huggingface", "made/clip")
    for path in (tmp_path, *tmp_path.rglob("*")):
        os.chown(path, 1000, 1000)
    return Container(None, tmp_path)


def fill_cache(home: Path, hub_id: str) -> None:
    """What `hf download` leaves in HF_HOME: a snapshot, and the name of the one that `main` is."""
    encoder = load_encoder(EncoderConfig(kind="clip", weights="random:tiny"))
    folder = home / "hub" / f"models--{hub_id.replace('/', '--')}"
    snapshot = folder / "snapshots" / ("0123456789" * 4)
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(snapshot.name)
    encoder.model.save_pretrained(snapshot)
    encoder.tokenizer.save_pretrained(snapshot)
    mean, std = (tensor.flatten().tolist() for tensor in (encoder.mean, encoder.std))
    from transformers import CLIPImageProcessor  # which looks for torchvision: after what can do without

    CLIPImageProcessor(image_mean=mean, image_std=std).save_pretrained(snapshot)


def test_nobody_in_it_is_root_or_can_change_it(container: Container) -> None:
    assert container.run("id", "-u").strip() == "1000"
    order = container.order("touch", "/opt/rhas/bin/rhas", "/usr/bin/wget")
    done = subprocess.run(order, capture_output=True, text=True, timeout=120)
    assert done.returncode != 0 and done.stderr.count("Permission denied") == 2, done.stderr
    assert "Usage: rhas" in container.run()


def test_a_pipeline_finds_its_weights_on_the_claim_without_a_network(
    container: Container, tmp_path: Path
) -> None:
    offline = {"HF_HOME": "/data/huggingface", "HF_HUB_OFFLINE": "1"}
    said = container.run("rhas", "run", "/data/pipeline.yaml", **offline)
    assert "2/2 verify: done" in said, said
    assert (tmp_path / "pipeline" / "extract" / "report.json").stat().st_uid == 1000
    elsewhere = container.order(
        "rhas", "run", "/data/elsewhere.yaml", HF_HUB_OFFLINE="1", HF_HOME="/data/none"
    )
    done = subprocess.run(elsewhere, capture_output=True, text=True, timeout=300)
    assert done.returncode == 2 and "HF_HUB_OFFLINE is set" in done.stdout + done.stderr, done.stdout
