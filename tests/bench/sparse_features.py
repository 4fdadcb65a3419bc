"""What `encoder.crop_every` and `frame_every` save, and what features lose by it, in the made world with preset mini.

A whole held-out movie at 5 samples a second, persons as tracks have them. In: nothing. Out: for crops and whole frames
a row for each setting: the share of encoder calls, and how far features are from those of every sample, as a share of
how far these are from their mean (root mean squares over all samples, those that were encoded too).
"""

from __future__ import annotations

import numpy as np

MOVIES, SEED, EVERY = 1, 6, (1, 2, 3, 5)


def sparse_features() -> list[dict]:
    import torch

    from rhas.extract.config import load_config
    from rhas.extract.decode.process import Frames
    from rhas.extract.decode.windows import WindowFrames
    from rhas.extract.run.workers import ModelWorker
    from rhas.extract.tracks.shots import shot_of
    from rhas.pipeline.world import HELD_OUT
    from rhas.pipeline.world.lives.layers import FPS
    from rhas.pipeline.world.movie import MadeMovie
    from rhas.pipeline.world.training.measure_detector import SAMPLES_PER_SECOND, referred
    from rhas.pipeline.world.training.measure_tracks import tracks_of

    torch.set_num_threads(1)
    tracked = ["tracks.implementation=builtin"]
    first = ModelWorker(load_config("mini", tracked), 16, "cpu")
    models = {1: first.models}
    for every in EVERY[1:]:
        settings = [*tracked, f"encoder.crop_every={every}", f"encoder.frame_every={every}"]
        models[every] = type(first.models)(
            first.models.grounder.detector, first.models.encoder, load_config("mini", settings),
            torch.device("cpu"), 16, first.models.refiner,
        )  # fmt: skip
    calls = {(every, stream): 0 for every in EVERY for stream in ("partial", "holistic")}
    features: dict[tuple[int, str], list[np.ndarray]] = {key: [] for key in calls}
    for number in range(MOVIES):
        movie = MadeMovie.made(HELD_OUT, SEED, number)
        frames = np.arange(0, movie.frames, FPS // SAMPLES_PER_SECOND)
        pixels, time_s = np.stack([movie.picture(int(f)).image for f in frames]), frames / FPS
        persons = referred(movie, number)
        tracks, _ = tracks_of(first.looker, first.config, pixels, time_s, persons)
        everywhere = np.ones(len(frames), bool)
        window = WindowFrames(Frames(pixels, everywhere, "", False, 0), 0, time_s)
        shots = shot_of(np.arange(len(frames)), tracks.cuts)
        for every in EVERY:
            rows, _ = models[every].process(
                window, persons, [everywhere] * len(persons), tracks.boxes, 0, shots
            )
            for own in rows.values():
                said = np.zeros(len(frames), np.uint8) if own.interpolated is None else own.interpolated
                for bit, stream in ((1, "holistic"), (2, "partial")):
                    values = getattr(own, stream).astype(np.float64)
                    there = np.isfinite(values).all(axis=1)
                    features[every, stream].append(values[there])
                    calls[every, stream] += int((there & ((said & bit) == 0)).sum())
    rows_out = []
    for stream, what in (("partial", "encoder.crop_every"), ("holistic", "encoder.frame_every")):
        true = np.concatenate(features[1, stream])
        spread = np.sqrt(((true - true.mean(axis=0)) ** 2).mean())
        for every in EVERY:
            error = np.sqrt(((np.concatenate(features[every, stream]) - true) ** 2).mean())
            rows_out.append({
                "what": f"{what}={every}: share of encoder calls", "aim": "-",
                "ratio": calls[every, stream] / len(true), "error": float(error / spread),
                "features": len(true),
            })  # fmt: skip
    return rows_out
