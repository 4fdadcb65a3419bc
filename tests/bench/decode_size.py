"""At what size to decode: time, boxes and features of small persons, in the made world at 1280x768.

In: nothing. Out: a row for each size, as a share of the detector's own (its short side). Boxes are held against
the truth; features by what a ridge regression on them knows of actions in movies that it hasn't seen (mean average
precision), of the smaller half of persons, whose boxes are given: so that only the crop's pixels count.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

OUT = Path("bench") / "decode_size"
MOVIES, TEST, FPS = 20, 8, 5.0
DETECTOR = 96  # the short side of the shipped detector's input
SIZES = {"0.6 of the detector's": 58, "the detector's": DETECTOR, "2 times": 192, "4 times": 384, "full": 768}


def decode_size() -> list[dict]:
    """Twelve minutes: all persons of twenty movies, at five sizes."""
    from rhas.extract.config import load_config
    from rhas.extract.decode.process import DecoderProcess
    from rhas.extract.decode.windows import WindowDecoder
    from rhas.extract.run.workers import ModelWorker
    from rhas.manifests.tables.inputs import load_inputs
    from rhas.pipeline.world.writing import World, write_world

    shutil.rmtree(OUT, ignore_errors=True)
    world = OUT / "world"
    manifest = write_world(world, World(movies=MOVIES, scale=8, shortest_s=8, longest_s=12, seed=5))
    inputs = load_inputs(manifest, world / "labels.csv", world / "actions.csv")
    known = [
        "detector.implementation=boxes",
        f"detector.weights={world / 'boxes.csv'}",
        "detector.refine=null",
        "tracks.implementation=frames",
    ]
    boxes = load_config("mini", known)
    found = ModelWorker(load_config("mini"), 16, "cpu").models
    given = ModelWorker(boxes, 16, "cpu").models
    rows = []
    for name, short_side in SIZES.items():
        decode_s, overlaps, features, actions, tall, movie = 0.0, [], [], [], [], []
        frames_read = 0
        for number, item in enumerate(inputs.manifest.movies):
            with DecoderProcess() as process:
                index = process.index(item.video)
                grid = index.samples(FPS)
                size = (short_side, round(short_side * index.facts.width / index.facts.height))
                cpu = _child_cpu_s(process)
                window = WindowDecoder(process, 0).read(item.video, index, grid.source_frame, 0, 0, size)
                decode_s += _child_cpu_s(process) - cpu
            frames_read += len(grid)
            window = type(window)(window.frames, 0, grid.time_s)
            inside = [np.ones(len(grid), bool)] * len(item.persons)
            own = found.process(window, item.persons, inside)[0]
            true = given.process(window, item.persons, inside)[0]
            for person in item.persons:
                seen = true[person.person_id]
                there = np.isfinite(seen.box[:, 0]) & np.isfinite(seen.partial.reshape(len(grid), -1)[:, 0])
                overlaps += _iou(own[person.person_id].box[there], seen.box[there]).tolist()
                features.append(
                    seen.partial[there]
                    .reshape(there.sum(), np.prod(seen.partial.shape[1:]))
                    .astype(np.float64)
                )
                actions.append(_multi_hot(inputs, person, grid.time_s[there]))
                tall += (seen.box[there, 3] - seen.box[there, 1]).tolist()
                movie += [number] * int(there.sum())
        small = np.array(tall) <= np.median(tall)
        known = _mean_ap(
            np.concatenate(features), np.concatenate(actions), np.array(movie) < MOVIES - TEST, small
        )
        overlap = np.nan_to_num(np.array(overlaps))
        rows.append({
            "what": f"decoding at {name} size: boxes of small persons with IoU > .5", "aim": "-",
            "ratio": float((overlap[small] > 0.5).mean()), "mean_iou_small": float(overlap[small].mean()),
            "all_right": float((overlap > 0.5).mean()), "map_small": known, "ms_a_frame": 1000 * decode_s / frames_read,
            "MiB_a_window_of_256": 256 * 3 * short_side**2 * 5 / 3 / 2**20,
        })  # fmt: skip
    shutil.rmtree(OUT)
    return rows


def _child_cpu_s(process: object) -> float:
    child = process._child  # type: ignore[attr-defined]
    if child is None:
        return 0.0
    fields = Path(f"/proc/{child.pid}/stat").read_text().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


def _iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    low, high = np.maximum(a[:, :2], b[:, :2]), np.minimum(a[:, 2:], b[:, 2:])
    both = np.clip(high - low, 0, None).prod(1)
    return both / ((a[:, 2:] - a[:, :2]).prod(1) + (b[:, 2:] - b[:, :2]).prod(1) - both)


def _multi_hot(inputs: object, person: object, time_s: np.ndarray) -> np.ndarray:
    names = inputs.vocabulary.actions  # type: ignore[attr-defined]
    hot = np.zeros((len(time_s), len(names)))
    for interval in inputs.labels.intervals[person.key]:  # type: ignore[attr-defined]
        if interval.action in names:
            hot[(time_s >= interval.start_s) & (time_s < interval.end_s), names.index(interval.action)] = 1
    return hot


def _mean_ap(x: np.ndarray, y: np.ndarray, train: np.ndarray, small: np.ndarray) -> float:
    mean, spread = x[train].mean(0), x[train].std(0) + 1e-6
    x = np.column_stack([(x - mean) / spread, np.ones(len(x))])
    gram = x[train].T @ x[train] + 100 * np.eye(x.shape[1])
    scores = x @ np.linalg.solve(gram, x[train].T @ y[train])
    test = ~train & small
    found = []
    for score, truth in zip(scores[test].T, y[test].T, strict=True):
        if 0 < truth.sum() < len(truth):
            ranked = truth[np.argsort(-score)]
            found.append((np.cumsum(ranked) / np.arange(1, len(ranked) + 1))[ranked > 0].mean())
    return float(np.mean(found))
