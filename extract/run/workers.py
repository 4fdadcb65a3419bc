"""The kinds of worker of an extraction, as plain classes; `ray_stage` makes actors of them.

`DecodeWorker` runs on a CPU and turns movies into frames, `ModelWorker` holds the models on a GPU (or CPUs)
and turns frames into features, `WriteWorker`s alone write shards, each those of its movies. Where persons are
tracked, model workers first say what they see, and a `LinkWorker` makes a movie's tracks of it. They hold no state
that a restart would lose.
"""

from __future__ import annotations

import errno
import importlib.metadata
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rhas.extract.config import DecodeConfig, ExtractConfig
from rhas.extract.decode.index import MovieIndex, stored_index
from rhas.extract.decode.process import DecodeError, DecoderProcess, fit_short_side
from rhas.extract.decode.sampling import Grid
from rhas.extract.decode.windows import WindowDecoder, WindowFrames
from rhas.extract.run.alone import Alone, Sample, measured, sample_of
from rhas.manifests.common.cache import FileCache
from rhas.manifests.common.errors import InputError, Problem
from rhas.manifests.common.locations import Place, Remote, place
from rhas.manifests.shards.added import AddedWindow, seal_added, write_added
from rhas.manifests.shards.boxes import PersonBoxes
from rhas.manifests.shards.format import MovieHeader, Window, failed_window, one_line, write_part, write_shard
from rhas.manifests.shards.layout import FeaturesFolder
from rhas.manifests.shards.ledger import Finished
from rhas.manifests.shards.people import gather, with_everybody
from rhas.manifests.shards.pictures import Pictures, Wanted, write_pictures
from rhas.manifests.shards.resume import FinishedWindows, SeenWindows
from rhas.manifests.shards.seen import Seen, remove_seen, write_seen
from rhas.manifests.shards.status import FrameStatus
from rhas.manifests.shards.tracks import MovieTracks, read_tracks, write_tracks
from rhas.manifests.tables.manifest import Person

if TYPE_CHECKING:  # torch takes seconds to import, and decoders don't need it
    from rhas.extract.encode.windows import OnePass
    from rhas.extract.tracks.looking import Looker
    from rhas.extract.tracks.outside import OutsideTracker

PACKAGES = ("rhas", "torch", "transformers", "groundingdino-py", "decord", "h5py", "numpy")


@dataclass(frozen=True)
class WindowTask:
    """One window to read and to encode. `source_frame`, `time_s` and `inside` cover lead-in, window and what is behind
    it: [lead + n + tail]."""

    movie_id: str
    video: Place
    digest: str  # of the movie's bytes, when it was opened
    index: int
    start: int
    stop: int
    lead: int
    window_id: str
    size: tuple[int, int]  # height and width to decode at
    source_frame: NDArray[np.int64]
    time_s: NDArray[np.float64]
    persons: tuple[Person, ...]
    inside: tuple[NDArray[np.bool_], ...]
    look: NDArray[np.bool_] | None = None  # [n] pass one: the samples that the detector sees
    whole: bool = False  # pass one: a tracker sees the others too
    tail: int = 0  # samples behind the window
    boxes: Mapping[str, PersonBoxes] | None = (
        None  # pass two: everyone's who is referred to, [lead + n + tail]
    )
    shots: NDArray[np.int64] | None = None  # pass two: the shot of each of these samples
    pictures: Wanted | None = None  # pass two: those of anybody
    tracks: str = ""  # the digest of these

    @property
    def frame_bytes(self) -> int:
        return len(self.source_frame) * self.size[0] * self.size[1] * 3

    @property
    def own(self) -> slice:
        """The window itself in what is read for it."""
        return slice(self.lead, self.lead + self.stop - self.start)


@dataclass(frozen=True)
class ReadReport:
    """How reading a window went: frames had of frames wanted, and what stood in the way."""

    ok: int
    wanted: int
    reason: str
    killed: bool
    seconds: float


@dataclass(frozen=True)
class ModelReport:
    """How encoding a window went."""

    frames: int
    ground_s: float
    encode_s: float
    busy_s: float
    looked: int = 0  # frames that the detector saw
    cpu_s: float = 0.0  # of the CPU, in all threads


class DecodeWorker:
    """Probes movies and reads their windows."""

    def __init__(
        self,
        root: Path,
        config: DecodeConfig,
        lead_frames: int,
        deadline_s: float,
        decord: bool = False,
        cache: FileCache | None = None,
    ):
        self.folder = FeaturesFolder(root)
        self.config = config
        self.cache = cache or FileCache()
        self.process = DecoderProcess(
            deadline_s, deinterlace=config.deinterlace, decord=decord, cache=self.cache
        )
        self.decoder = WindowDecoder(self.process, lead_frames)
        self._last: tuple[Place, MovieIndex] | None = None

    def ready(self) -> None:
        """Answers once the worker is there."""

    def probe(self, movie_id: str, video: Place, following: Place | None = None) -> tuple[MovieIndex, Grid]:
        """The movie's index, made if there is none yet, and its samples. Raises DecodeError for what is no movie.

        `following`: a movie that this worker will be asked for later; from a store it is fetched from now on.
        """
        try:
            index = self._stored_index(movie_id, video) or self.process.index(video)
        finally:
            if isinstance(following, Remote):
                self.cache.prefetch(following)
        self._last = video, index
        return index, index.samples(self.config.fps, self.config.time_origin)

    def read(self, task: WindowTask) -> tuple[ReadReport, WindowFrames]:
        clock = time.perf_counter()
        index = self._index(task)
        window = self.decoder.read(task.video, index, task.source_frame, task.start, task.lead, task.size)
        ok = window.frames.ok[task.own]
        seconds = time.perf_counter() - clock
        report = ReadReport(int(ok.sum()), len(ok), window.frames.reason, window.frames.killed, seconds)
        return report, window if task.look is None or task.whole else window.thinned_out(task.look)

    def _index(self, task: WindowTask) -> MovieIndex:
        """The movie's index, kept while its windows are read. Raises DecodeError for a movie that has changed."""
        video = task.video
        if self._last is None or self._last[0] != video:
            # What another node has just written may not be seen yet: made again, it is the same.
            index = self._stored_index(task.movie_id, video) or self.process.index(video)
            self._last = video, index
        if self._last[1].facts.digest != task.digest:
            raise DecodeError("the file has changed since it was opened")
        return self._last[1]

    def _stored_index(self, movie_id: str, video: Place) -> MovieIndex | None:
        """Raises DecodeError for a movie that can't be asked for."""
        try:
            return stored_index(self.folder.index(movie_id), video)
        except OSError as error:
            raise DecodeError(error.strerror or str(error)) from None


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
        from rhas.extract.run.places import check_places
        from rhas.extract.weights.precision import cast_once

        check_places(self.config)  # on this node, which needn't have what the driver's has
        if self.device == "cuda" and not torch.cuda.is_available():
            raise InputError(Problem("--gpus", "workers that see a CUDA device; use --gpus 0 for CPUs"))
        detector = load_detector(self.config.detector)
        encoder = load_encoder(self.config.encoder)
        _ = detector.weights_hash, encoder.weights_hash  # of the weights as they were loaded
        detector.to(self.device)
        encoder.to(self.device)
        if self.config.precision == "bfloat16":
            for model in (getattr(detector, "model", None), encoder.model):
                if isinstance(model, torch.nn.Module):
                    cast_once(model)
        return OnePass(detector, encoder, self.config, torch.device(self.device), self.batch)

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


class WriteWorker:
    """Writes parts and shards of one features folder."""

    def __init__(self, root: Path):
        self.folder = FeaturesFolder(root)

    def write(self, window: Window | Seen | AddedWindow) -> float:
        """Stores a part. Seconds it took. Raises OSError for a disk that is full or gone."""
        clock = time.perf_counter()
        check_root(self.folder)
        if isinstance(window, Seen):
            write_seen(self.folder, window)
        elif isinstance(window, AddedWindow):
            write_added(self.folder, window)
        else:
            if window.people is not None:  # first: a finished window has its pictures
                write_pictures(self.folder, window.movie_id, window.index, window.people)
            write_part(self.folder, window)
        return time.perf_counter() - clock

    def seal(
        self, header: MovieHeader, failed: Mapping[int, tuple[str, str]]
    ) -> tuple[float, Finished | None]:
        """Builds the movie's shard from its parts and from what an earlier shard holds; removes the parts.

        `failed` maps windows that could not be computed to stage and reason; what an earlier run had of them
        stays. Raises KeyError for a window of which there is nothing. Returns the seconds it took, and what is known of
        the shard by reading it again: nothing if it is damaged as soon as it was written.
        """
        clock = time.perf_counter()
        check_root(self.folder)
        kept = FinishedWindows(self.folder, header)
        finished = kept.indices()

        def load(index: int) -> Window:
            if index in finished:
                return kept.load(index)
            return failed_window(header, index, *failed[index])

        if with_everybody(header.config) and (tracks := read_tracks(self.folder.tracks(header.movie_id))):
            gather(self.folder, header, tracks.seen)
        write_shard(self.folder, header, load)
        kept.remove_parts()
        return time.perf_counter() - clock, self._known(header.movie_id)

    def seal_added(
        self, header: MovieHeader, failed: Mapping[int, tuple[str, str]]
    ) -> tuple[float, Finished | None]:
        """The same of a movie in which somebody is new."""
        clock = time.perf_counter()
        check_root(self.folder)
        seal_added(self.folder, header, failed)
        return time.perf_counter() - clock, self._known(header.movie_id)

    def _known(self, movie_id: str) -> Finished | None:
        with suppress(InputError):
            return Finished.of(self.folder.shard(movie_id))
        return None


class LinkWorker:
    """Makes a movie's tracks of what was seen in its windows, on a CPU."""

    def __init__(self, root: Path, config: ExtractConfig):
        self.folder = FeaturesFolder(root)
        self.config = config

    def ready(self) -> None:
        """Answers once the worker is there."""

    def link(self, header: MovieHeader, failed: Mapping[int, tuple[str, str]]) -> tuple[float, MovieTracks]:
        """Seconds it took, and the tracks, which are stored. `failed`: windows of which nothing could be seen."""
        from rhas.extract.tracks.everybody import kept_people
        from rhas.extract.tracks.link import link

        clock = time.perf_counter()
        check_root(self.folder)
        seen = SeenWindows(self.folder, header)
        tracks = link(
            header, {i: seen.load(i) for i in header.planned() if i not in failed}, failed, self.config
        )
        if self.config.tracks.everybody is not None:  # first: who has tracks has everybody's
            kept_people(self.folder, header, tracks, self.config)
        write_tracks(self.folder, header.movie_id, tracks)
        remove_seen(self.folder, header.movie_id)
        return time.perf_counter() - clock, tracks


def check_root(folder: FeaturesFolder) -> None:
    """Where a file system was lost, folders could be made anew, under it. Raises OSError."""
    if not folder.root.is_dir():
        raise FileNotFoundError(errno.ENOENT, "the features folder is gone", str(folder.root))


def window_task(
    header: MovieHeader,
    index: int,
    persons: Sequence[Person],
    lead_frames: int,
    short_side: int,
    tail: int = 0,
) -> WindowTask:
    """The task for one window of a movie: which frames to read, who is in it."""
    start, stop = header.bounds()[index]
    lead = min(lead_frames, start)
    return WindowTask(
        movie_id=header.movie_id,
        video=place(header.video) if isinstance(header.video, str) else header.video,
        digest=header.identity["video"],
        index=index,
        start=start,
        stop=stop,
        lead=lead,
        window_id=header.window_id(index),
        size=fit_short_side(header.source["height"], header.source["width"], short_side),
        source_frame=header.source_frame[start - lead : stop + tail],
        time_s=header.time_s[start - lead : stop + tail],
        persons=tuple(persons),
        inside=tuple(header.inside(p, start - lead, stop + tail) for p in persons),
        tail=tail,
    )
