"""The claim about reading samples: what a draw costs, where each used to check its whole shard again.

In: nothing. Out: rows for the table of `tests.bench`. A made data set of many movies and tiny features, drawn in random
order, so that 16 open files are seldom the right ones; milliseconds are CPU time of one thread, the fastest of a few
passes. `before` is as it was: 16 files, each checked whenever it is opened.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path("bench/samples")
MOVIES, FRAMES, FEATURES, CLASSES, FPS = 96, 300, 16, 12, 15.0
PASSES = 3


def _features() -> Path:
    """A features folder, as `rhas import mstcn` makes it."""
    from rhas.manifests.imports.dataset import write_dataset
    from rhas.manifests.imports.mstcn import read_mstcn
    from rhas.manifests.shards.layout import FeaturesFolder

    shutil.rmtree(FOLDER, ignore_errors=True)
    source, rng = FOLDER / "in", np.random.default_rng(0)
    for name in ("features", "groundTruth", "splits"):
        (source / name).mkdir(parents=True)
    (source / "mapping.txt").write_text("".join(f"{c} class{c}\n" for c in range(CLASSES)))
    names = [f"v{i:03d}" for i in range(MOVIES)]
    for name in names:
        np.save(source / "features" / f"{name}.npy", rng.standard_normal((FEATURES, FRAMES), np.float32))
        classes = np.repeat(rng.integers(0, CLASSES, FRAMES // 20), 20)
        (source / "groundTruth" / f"{name}.txt").write_text("".join(f"class{c}\n" for c in classes))
    for side, own in (("train", names[: MOVIES - 8]), ("test", names[MOVIES - 8 :])):
        (source / "splits" / f"{side}.split1.bundle").write_text("".join(f"{name}.txt\n" for name in own))
    write_dataset(FeaturesFolder(FOLDER / "features"), read_mstcn(source, FPS))
    return FOLDER / "features"


def _ms_a_draw(samples: Any, prepare: Any = lambda: None) -> float:
    """Milliseconds of CPU of a sample, after one pass that opens what will stay open."""
    orders = np.random.default_rng(0)
    found = []
    for _ in range(1 + PASSES):
        clock = time.process_time()
        for index in orders.permutation(len(samples)).tolist():
            prepare()
            samples[index]
        found.append(1000 * (time.process_time() - clock) / len(samples))
    return min(found[1:])


def samples() -> list[dict]:
    """Milliseconds a sample before, over those of now: files kept open, files opened again, features in memory."""
    import torch

    from rhas.manifests.shards import reader
    from rhas.train.data import DataConfig, SampleSet, load_dataset
    from rhas.train.data.samples import OpenShards

    torch.set_num_threads(1)
    made = load_dataset(_features(), DataConfig(split="fold", in_memory=False), boundary_sigma=1.0).splits[
        "train"
    ]

    def of(most: int | None, keep: bool) -> Any:
        return SampleSet(made.windows, made.vocabulary, OpenShards(most), made.boundary_sigma, keep=keep)

    before = _ms_a_draw(of(16, False), reader._sound.clear)
    now = {
        "all files open": _ms_a_draw(of(None, False)),
        "16 files open, opened again unchecked": _ms_a_draw(of(16, False)),
        "kept in memory": _ms_a_draw(of(None, True)),
    }
    what = f"a sample of {FRAMES} × {FEATURES}, {len(made)} movies in random order, each checked anew / "
    aims = {"all files open": ">= 5", "kept in memory": ">= 5"}
    return [
        {
            "what": what + name,
            "ratio": before / ms,
            "aim": aims.get(name, ">= 2"),
            "before_ms": before,
            "now_ms": ms,
        }
        for name, ms in now.items()
    ]
