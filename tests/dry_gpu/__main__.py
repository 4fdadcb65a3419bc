"""`make dry-gpu`: what full-size models ask of a GPU that isn't there.

    python -m tests.dry_gpu [PRESET ...]

A training step and a prediction of each segmenter but FACT, which cuts and matches by numbers that aren't there
either; a window's grounding and encoding in stage 1 (presets blip2 and clip). In PyTorch's CUDA build, with the
precision that a GPU gets; the backward pass is `python_backward`, as PyTorch's own asks for a driver. Ends with 1 if
something is on the wrong side, is refused by CUDA's autocast, or waits for the device where it need not: a step reads
its losses and its gradient's norm, a prediction its scores, a window its boxes and its features. GroundingDINO's own
code waits besides, as `GROUNDING_DINO` says. A launch costs some 5 µs of Python and driver: a step of 10,000 kernels
takes 50 ms, however fast the GPU is. Adam's own kernels, a few dozen, are not among them, nor are its two tensors per
weight in memory.
"""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

import torch
from every_model import NoOptimiser

from rhas.extract.encode.windows import OnePass
from rhas.train.config import load_config
from rhas.train.data import Batch
from rhas.train.fitting.loop import train_step
from rhas.train.models.registry import build_model
from rhas.train.scoring.inference import _predict
from tests.dry_gpu import extraction
from tests.dry_gpu.device import DryGpu

PRESETS = (
    "paper", "hopadiff", "actdiff-breakfast", "actfusion", "ltcontext", "asquery", "asquery-breakfast", "asformer",
    "mstcn", "futr",
)  # fmt: skip
FEATURES, CLASSES, FRAMES = 768, 137, 3000
STAGE_1 = ("blip2", "clip")
LAUNCH_S = 5e-6
STEP, PREDICTION, WINDOW = (2, 0), (1, 0), (1, 0)  # reads that have to be, and uploads that wait
GROUNDING_DINO = (87, 2)  # of a window with two sentences: its own code asks for shapes, 43 times a sentence


def main() -> int:
    assert torch.version.cuda, f"got torch {torch.__version__}, expected its CUDA build: see `make dry-gpu`"
    failed = 0
    print(
        f"{'':28} {'operations':>10} {'kernels':>8} {'casts':>6} {'launches':>9} {'TFLOP':>7} {'GiB':>6} {'reads':>6} "
        f"{'uploads':>8} {'s':>4}"
    )
    wanted = sys.argv[1:] or [*PRESETS, *STAGE_1]
    for preset in wanted:
        failed += not (_extraction(preset) if preset in STAGE_1 else _training(preset))
    return 1 if failed else 0


def _training(preset: str) -> bool:
    config = load_config(preset).resolved(on_gpu=True)

    def prepared(gpu: DryGpu, step: bool) -> Callable[[], object]:
        model = build_model(config.model, FEATURES, CLASSES, config.settings).to(gpu.device)
        batch = gpu.batch(_batch(config.batch))
        if step:
            return lambda: train_step(model, NoOptimiser(), [batch], config, 0)  # type: ignore[arg-type]
        # The counter of FLOPs hooks parameters that are handed on, which needs a graph.
        model.eval().requires_grad_(False)
        return lambda: _predict(model, batch, config)

    step = _row(f"{preset}, step", STEP, lambda gpu: prepared(gpu, True))
    reads, uploads = PREDICTION
    allowed = reads * config.data.sample_rate, uploads
    return _row(f"{preset}, prediction", allowed, lambda gpu: prepared(gpu, False)) and step


def _extraction(kind: str) -> bool:
    well = True
    for part in extraction.PARTS:
        models = extraction.models_of(kind)

        def prepared(gpu: DryGpu, part: str = part, models: OnePass = models) -> Callable[[], object]:
            there = extraction.on_the_gpu(models, gpu)
            return lambda: extraction.one_window(there, part)

        allowed = GROUNDING_DINO if part == "ground" else WINDOW
        well &= _row(f"{kind}, {part} {extraction.FRAMES}", allowed, prepared)
    return well


def _row(title: str, allowed: tuple[int, int], prepared: Callable[[DryGpu], Callable[[], object]]) -> bool:
    """Prints what one call asks for; False if there is something wrong with it. `allowed`: reads and uploads."""
    gpu, began = DryGpu(FRAMES), time.monotonic()
    error = ""
    try:
        with gpu:
            call = prepared(gpu)
            gpu.clear()
            call()
    except Exception as raised:  # noqa: BLE001  whatever it is, the other rows are to be seen
        error = "".join(traceback.format_exception(raised, limit=-3))
    counts = gpu.counts
    print(
        f"{title:28} {counts.operations:10} {counts.kernels:8} {counts.casts:6} "
        f"{counts.kernels * LAUNCH_S * 1000:6.0f} ms "
        f"{gpu.flops / 1e12:7.2f} {gpu.peak / 2**30:6.1f} {counts.reads.total():6} {counts.uploads.total():8} "
        f"{time.monotonic() - began:4.0f}",
        flush=True,
    )
    waits = counts.reads.total() > allowed[0] or counts.uploads.total() > allowed[1]
    if waits:
        print(counts.places())
    if error:
        print(error)
    return not (waits or error)


def _batch(videos: int) -> Batch:
    """Videos of noise, all of the full length, with an action of 100 frames after another."""
    generator = torch.Generator().manual_seed(0)
    real_BT = torch.ones(videos, FRAMES, dtype=torch.bool)
    features: list[Any] = [torch.randn(videos, FEATURES, FRAMES, generator=generator) for _ in range(2)]
    labels_BCN = torch.rand(videos, CLASSES, FRAMES // 100, generator=generator) < 0.02
    boundary_T = (torch.arange(FRAMES) % 100 == 0).float()
    return Batch(
        names=tuple(map(str, range(videos))), holistic_BFT=features[0], partial_BFT=features[1],
        has_holistic_BT=real_BT, has_partial_BT=real_BT, valid_BT=real_BT, mask_BT=real_BT,
        labels_BCT=labels_BCN.float().repeat_interleave(100, dim=2), lengths_B=torch.full((videos,), FRAMES),
        boundary_B1T=boundary_T.expand(videos, 1, -1).contiguous(), soft_labels_BCT=None,
        padded=False,
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
