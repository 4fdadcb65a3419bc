"""The worker that holds the models: frames in, what is seen in them or features of everyone out."""

from __future__ import annotations

import importlib.metadata
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rhas.extract.config import ExtractConfig
from rhas.extract.decode.windows import WindowFrames
from rhas.extract.run.alone import Alone, Sample, measured, sample_of
from rhas.extract.run.workers.tasks import ModelReport, ReadReport, WindowTask
from rhas.manifests.common.errors import InputError, Problem
from rhas.manifests.shards.added import AddedWindow
from rhas.manifests.shards.format import Window, one_line
from rhas.manifests.shards.pictures import Pictures
from rhas.manifests.shards.seen import Seen
from rhas.manifests.shards.status import FrameStatus

if TYPE_CHECKING:  # torch takes seconds to import, and decoders don't need it
    from rhas.extract.encode.windows import OnePass
    from rhas.extract.tracks.looking import Looker
    from rhas.extract.tracks.outside import OutsideTracker

PACKAGES = ("rhas", "torch", "transformers", "groundingdino-py", "decord", "h5py", "numpy")


class ModelWorker:
    """Holds detector and encoder. `device` is `cuda` or `cpu`.

    The models are loaded on first use: so a loading error reaches the caller as what it is, and a restarted
    worker finds its models again.
    """

    def __init__(self, config: ExtractConfig, batch: int, device: str):
        self.config = config
        self.batch = batch
        self.device = device
        self._sample: Sample | None = None

    @cached_property
    def models(self) -> OnePass:
        import torch

        from rhas.extract.encode import load_encoder
        from rhas.extract.encode.windows import OnePass
        from rhas.extract.ground import load_detector
        from rhas.extract.refine.refiner import refiner_of
        from rhas.extract.run.places import check_places
        from rhas.extract.weights.precision import cast_once

        check_places(self.config)  # on this node, which needn't have what the driver's has
        if self.device == "cuda" and not torch.cuda.is_available():
            raise InputError(Problem("--gpus", "workers that see a CUDA device; use --gpus 0 for CPUs"))
        detector = load_detector(self.config.detector)
        encoder = load_encoder(self.config.encoder)
        refiner = refiner_of(self.config.detector, self.device)
        _ = detector.weights_hash, encoder.weights_hash  # of the weights as they were loaded
        detector.to(self.device)
        encoder.to(self.device)
        if self.config.precision == "bfloat16":
            for model in (getattr(detector, "model", None), encoder.model):
                if isinstance(model, torch.nn.Module):
                    cast_once(model)
        return OnePass(detector, encoder, self.config, torch.device(self.device), self.batch, refiner)

    @cached_property
    def looker(self) -> Looker:
        from rhas.extract.tracks.looking import Looker

        return Looker(self.models.grounder, self.config, self.tracker)

    @cached_property
    def tracker(self) -> OutsideTracker | None:
        """The tracker of another package, where the configuration names one."""
        if not self.config.tracks.outside:
            return None
        from rhas.extract.tracks.outside import load

        tracker = load(self.config.tracks)
        _ = tracker.weights_hash
        return tracker.to(self.device)

    def describe(self) -> dict[str, Any]:
        """What the features depend on besides the configuration, and their shape."""
        detector, encoder = self.models.grounder.detector, self.models.encoder
        if (caption := self.config.tracks.everybody) is not None:
            try:
                detector.check([caption])
            except InputError as error:
                told = [
                    replace(p, file="extraction config", column="tracks.everybody") for p in error.problems
                ]
                raise InputError(told) from error
        models = {
            "detector": {"name": self.config.detector.weights, "hash": detector.weights_hash},
            "encoder": {"name": self.config.encoder.weights, "hash": encoder.weights_hash},
        }
        if (refiner := self.models.refiner) is not None:
            models["refiner"] = {"name": str(self.config.detector.refine), "hash": refiner.weights_hash}
        if self.tracker is not None:
            models["tracker"] = {"name": self.config.tracks.weights, "hash": self.tracker.weights_hash}
        return {
            "models": models,
            "feature_shape": list(encoder.feature_shape),
            "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
        }

    def prepare(self, sentences: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        """Checks that both models can take every sentence; returns the embeddings of those that have one.

        Raises InputError that lists all unusable sentences.
        """
        import torch

        self.models.grounder.detector.check(sentences)
        self.models.encoder.check(sentences)
        embeddings = {}
        with torch.inference_mode(), self.models.autocast():
            for sentence in dict.fromkeys(sentences):
                embedding = self.models.encoder.text_embedding(sentence)
                if embedding is not None:
                    embeddings[sentence] = embedding.float().cpu().numpy()
        return embeddings

    def look(self, task: WindowTask, read: ReadReport, frames: WindowFrames) -> tuple[ModelReport, Seen]:
        """Pass one: everybody seen in the window's sparse samples."""
        assert task.look is not None
        clock, cpu_clock = time.perf_counter(), time.process_time()
        with self._losing_the_process():
            arrays = self.looker.look(frames, task.start, task.look, task.persons, task.inside)
        busy_s, cpu_s = time.perf_counter() - clock, time.process_time() - cpu_clock
        lost = read.ok < read.wanted
        said = ("decode", one_line(read.reason)) if lost else ("", "")
        seen = Seen(task.movie_id, task.index, task.start, task.stop, task.window_id, *said, arrays)
        return ModelReport(0, busy_s, 0.0, busy_s, len(arrays["sample"]), cpu_s), seen

    @contextmanager
    def _losing_the_process(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            if "CUDA error" in str(error):
                # The device is lost to this process: it would fail all windows, faster than others do them.
                os._exit(1)
            raise

    def encode(self, task: WindowTask, read: ReadReport, frames: WindowFrames) -> tuple[ModelReport, Window]:
        """Features of everyone in the window. Raises FeatureError, torch.OutOfMemoryError."""
        clock, cpu_clock = time.perf_counter(), time.process_time()
        # Where persons are is known: what lies around the window goes the same way, and is cut off.
        lead, first = (frames.lead, task.start) if task.boxes is None else (0, task.start - task.lead)
        frames = replace(frames, time_s=task.time_s, lead=lead)
        with self._losing_the_process():
            rows, timings = self.models.process(
                frames, task.persons, task.inside, task.boxes, first, task.shots
            )
            people = self._pictures(frames, task)
        busy_s, cpu_s = time.perf_counter() - clock, time.process_time() - cpu_clock
        if task.boxes is not None:
            rows = {i: r.part(task.own.start, task.own.stop) for i, r in rows.items()}
            there = np.any([mask[task.own] for mask in task.inside], axis=0)
            timings.frames = int((there & frames.frames.ok[task.own]).sum())
        lost = read.ok < read.wanted
        window = Window(
            movie_id=task.movie_id,
            index=task.index,
            start=task.start,
            stop=task.stop,
            window_id=task.window_id,
            persons={i: r for i, r in rows.items() if (r.status != FrameStatus.OUTSIDE).any()},
            stage="decode" if lost else "",
            reason=read.reason if lost else "",
            decoder_messages=frames.frames.messages,
            tracks=task.tracks,
            people=people,
        )
        if timings.frames:
            size, in_run_s = self.models.grounder.batches.size, busy_s / timings.frames
            sample = sample_of(
                frames, task.persons, task.inside, task.boxes, size, in_run_s, first, task.shots
            )
            self._sample = sample or self._sample
        looked = 0 if task.boxes is not None else timings.frames
        report = ModelReport(timings.frames, timings.ground_s, timings.encode_s, busy_s, looked, cpu_s)
        return report, window

    def encode_added(
        self, task: WindowTask, read: ReadReport, frames: WindowFrames
    ) -> tuple[ModelReport, AddedWindow]:
        """Features of those who are new in the window."""
        report, window = self.encode(task, read, frames)
        return report, AddedWindow(window)

    def _pictures(self, frames: WindowFrames, task: WindowTask) -> Pictures | None:
        from rhas.extract.encode.people import pictures

        if task.pictures is None:
            return None
        whole = frames.frames
        own = replace(whole, pixels=whole.pixels[task.own], ok=whole.ok[task.own])
        return pictures(self.models, replace(frames, frames=own), task.pictures)

    def speed_alone(self) -> Alone | None:
        """What the models reach when they are fed from memory, on frames of the run; None if they had none.

        Asked after the run, when nothing else of it works any more.
        """
        return None if self._sample is None else measured(self.models, self._sample)
