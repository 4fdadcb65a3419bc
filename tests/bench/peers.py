"""rhas beside what else turns movies into CLIP features: images per CPU second of everything that runs.

In: nothing. Out: rows for the table of `tests.bench`. All see the same film at 2 samples a second through CLIP ViT-B/32
with the same random weights, one core each, and write what they get; starting up counts. They take turns, and the best
turn of each counts. rhas has one known box, which costs nothing, and encodes whole frames.

- `opencv`, `decord`: a plain script, as video_features (github.com/v-iashin/video_features) works: frames in order, by
  OpenCV, or sought by decord; Pillow's bicubic to 224 pixels, the middle square, float32, batches.
- clip-video-encode, which PyPI has, can't be: its last version, 1.3.0 of 2022, asks for torch below 2 and pyarrow below
  8, neither of which there is for Python 3.11.

    python -m tests.bench.peers READER FILM OUT     # the plain script
    RHAS_PEERS=MINUTES,TURNS make bench peers       # instead of 1 minute in three turns, and 20 in one
"""

from __future__ import annotations

import ctypes
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from tests.bench.noise import noise_movie

OUT = Path("bench") / "peers"
FPS, SAMPLES_PER_S, BATCH, SIZE = 24, 2, 16, (480, 854)
STEP = FPS // SAMPLES_PER_S
LENGTHS = ((1.0, 3), (20.0, 1))  # minutes, turns
READERS = ("opencv", "decord")
_SUBREAPER = 36  # of <sys/prctl.h>


def peers() -> list[dict]:
    """Images per CPU second of rhas over those of each other one, per film."""
    rows = []
    for minutes, turns in _lengths():
        folder = OUT / f"{minutes:g}"
        shutil.rmtree(folder, ignore_errors=True)
        film = noise_movie(folder / "film.mp4", minutes * 60, FPS, SIZE)
        images = len(range(0, int(minutes * 60 * FPS), STEP))
        ways = {**_rhas(folder, film, images), **_plain(folder, film)}
        rates: dict[str, list[float]] = {name: [] for name in ways}
        for turn in range(turns):
            for name, command in ways.items():
                out = folder / f"{name}-{turn}"
                rates[name].append(images / cpu_seconds([*command, str(out)]))
                found = _images(out)
                assert found == images, f"{name} made features of {found} images, not of {images}"
        best = {name: max(own) for name, own in rates.items()}
        per_s = {f"{name}_images_per_cpu_s": rate for name, rate in best.items()}
        for ours in ("rhas", "rhas_float32"):
            for reader in READERS:
                what = f"images per CPU s, {minutes:g} min of film: {ours} / a plain script with {reader}"
                rows.append({"what": what, "ratio": best[ours] / best[reader], "aim": ">= 1", **per_s})
    return rows


def _lengths() -> Sequence[tuple[float, int]]:
    if said := os.environ.get("RHAS_PEERS"):
        minutes, turns = said.split(",")
        return ((float(minutes), int(turns)),)
    return LENGTHS


def _rhas(folder: Path, film: Path, images: int) -> dict[str, list[str]]:
    """Commands that the output folder is to be added to."""
    (folder / "manifest.csv").write_text(f"movie_id,video,person_id,reference\nm,{film.name},p,somebody\n")
    boxes = folder / "boxes.csv"
    boxes.write_text("movie_id,person_id,time_s,x1,y1,x2,y2\nm,p,0,0.1,0.1,0.5,0.9\n")
    command = [
        str(Path(sys.executable).with_name("rhas")), "-q", "extract", "--movies", str(folder / "manifest.csv"),
        "--preset", "clip", "--encoder", "random:full", "--detector", str(boxes.absolute()), "--cpus", "1",
        "--fps", str(SAMPLES_PER_S), "--batch", str(BATCH), "--no-speed-check", "--set", "encoder.streams=holistic",
    ]  # fmt: skip
    exact = ["--set", "precision=float32"]
    return {"rhas": [*command, "--out"], "rhas_float32": [*command, *exact, "--out"]}


def _plain(folder: Path, film: Path) -> dict[str, list[str]]:
    script = [sys.executable, "-m", "tests.bench.peers"]
    return {reader: [*script, reader, str(film)] for reader in READERS}


def _images(out: Path) -> int:
    """How many there are features of."""
    if not out.is_dir():
        return len(np.load(out.with_name(f"{out.name}.npy")))
    from rhas.manifests.shards.reader import FeaturesReader

    features = FeaturesReader(out).person("m", "p").holistic[...]
    return int(np.isfinite(features).all(axis=1).sum())


def cpu_seconds(command: Sequence[str]) -> float:
    """CPU seconds of a command and of all that it starts, also of what it doesn't wait for itself."""
    ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)  # what loses its parent becomes ours
    before = _children_s()
    subprocess.run(command, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"}, stdout=subprocess.DEVNULL)
    try:
        while True:
            os.waitpid(-1, 0)
    except ChildProcessError:  # none is left
        return _children_s() - before


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


# --- the plain script


def _frames(reader: str, film: Path) -> Iterator[np.ndarray]:
    """Each STEP-th frame [H, W, 3] RGB."""
    if reader == "decord":
        import decord

        video = decord.VideoReader(str(film), num_threads=1)
        for first in range(0, len(video), STEP * BATCH):
            rows = range(first, min(first + STEP * BATCH, len(video)), STEP)
            yield from video.get_batch(list(rows)).asnumpy()
        return
    import cv2

    cv2.setNumThreads(1)
    capture, number = cv2.VideoCapture(str(film)), 0
    while capture.grab():
        if number % STEP == 0:
            yield cv2.cvtColor(capture.retrieve()[1], cv2.COLOR_BGR2RGB)
        number += 1


def _extract(reader: str, film: Path, out: Path) -> None:
    import torch
    from PIL import Image

    from rhas.extract.config import EncoderConfig
    from rhas.extract.encode import load_encoder

    torch.set_num_threads(1)
    encoder = load_encoder(EncoderConfig(kind="clip", weights="random:full"))
    size, features, batch = encoder.image_size, [], []

    def see() -> None:
        images = torch.from_numpy(np.stack(batch)).permute(0, 3, 1, 2).float() / 255
        with torch.inference_mode():
            features.append(encoder.see(images).numpy())
        batch.clear()

    for frame in _frames(reader, film):
        image = Image.fromarray(frame)
        scale = size / min(image.size)
        width, height = (round(side * scale) for side in image.size)
        left, top = (width - size) // 2, (height - size) // 2
        image = image.resize((width, height), Image.Resampling.BICUBIC).crop(
            (left, top, left + size, top + size)
        )
        batch.append(np.asarray(image))
        if len(batch) == BATCH:
            see()
    if batch:
        see()
    np.save(out.with_name(f"{out.name}.npy"), np.concatenate(features).astype(np.float16))


if __name__ == "__main__":
    _extract(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
