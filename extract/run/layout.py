"""How many workers of which size an extraction has, for the cores and GPUs that there are."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rhas.extract.config import DECODERS_PER_GPU, ExtractConfig, RunOptions
from rhas.extract.run.outputs import cache_of
from rhas.manifests.common.errors import InputError, Problem

CPUS_PER_WORKER = 4  # a model worker's and a decoder's, without GPUs
MODELS_PER_WRITER = 8  # so that movies of a second don't wait for it (`make bench`, many_small)


@dataclass(frozen=True)
class Layout:
    """How many workers of which size. Fractions of a CPU are not used: threads are whole."""

    models: int
    decoders: int
    model_cpus: int
    model_gpus: int
    decoder_cpus: int

    @property
    def writers(self) -> int:
        return -(-self.models // MODELS_PER_WRITER)


def lay_out(options: RunOptions, cores: int, gpus: int) -> Layout:
    """Decides on workers for what the cluster has. Raises InputError when it hasn't what is asked for.

    With `elastic`, what it hasn't may come: those workers wait for their nodes.
    """
    problems = _too_many_gpus(options, gpus)
    if options.cpus is not None and options.cpus > cores and not options.elastic:
        problems.append(
            Problem("--cpus", f"at most {cores}, all the cores that there are", value=options.cpus)
        )
    if problems:
        raise InputError(problems)
    cpus = options.cpus or cores
    if options.gpus == 0:
        models = _model_workers(options, cpus)
        if models > cpus and not options.elastic:
            raise InputError(Problem("--workers", f"at most {cpus}, one for each core", value=models))
        # Decoders reserve nothing: while models run on CPUs they are idle most of the time.
        return Layout(
            models, options.decoders or max(1, cpus // CPUS_PER_WORKER), max(1, cpus // models), 0, 0
        )
    if options.elastic:
        return Layout(options.gpus, options.decoders or DECODERS_PER_GPU * options.gpus, 1, 1, 1)
    left = cpus - options.gpus
    if left < 1 or (options.decoders or 1) > left:
        expected = (
            f"at least {options.gpus + (options.decoders or 1)} cores: one for each GPU and each decoder"
        )
        raise InputError(Problem("--cpus", expected, value=cpus))
    return Layout(options.gpus, options.decoders or min(left, DECODERS_PER_GPU * options.gpus), 1, 1, 1)


def here() -> tuple[int, int]:
    """Cores and NVIDIA GPUs of this machine that this process may use."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        gpus = len([one for one in visible.split(",") if one.strip() not in ("", "-1")])
    else:
        gpus = len(list(Path("/dev").glob("nvidia[0-9]*")))
    return len(os.sched_getaffinity(0)), gpus


def check_gpus_here(options: RunOptions) -> None:
    """Raises InputError where this machine hasn't as many GPUs; torch may see some without a /dev/nvidia0."""
    gpus = here()[1]
    if options.gpus > gpus:
        import torch

        gpus = max(gpus, torch.cuda.device_count())
    if problems := _too_many_gpus(options, gpus):
        raise InputError(problems)


def _too_many_gpus(options: RunOptions, gpus: int) -> list[Problem]:
    if options.gpus <= gpus or options.elastic:
        return []
    on_cpus = "" if gpus else "; 0 runs the models on CPUs"
    return [Problem("--gpus", f"at most {gpus}, all the GPUs that there are{on_cpus}", value=options.gpus)]


def on_this_machine(options: RunOptions) -> bool:
    """Whether one model worker, on this machine, is all that is asked for: then processes do, without a Ray."""
    if options.ray or options.address is not None:
        return False
    return _model_workers(options, options.cpus or here()[0]) == 1


def _model_workers(options: RunOptions, cpus: int) -> int:
    return options.gpus or options.workers or max(1, cpus // CPUS_PER_WORKER)


def made_of(config: ExtractConfig, options: RunOptions, root: Path) -> dict[str, tuple[Any, ...]]:
    """What workers of each kind (`rhas.extract.run.workers`) are made of."""
    decord = options.reader == "decord"
    encoder = config.encoder
    # What a window's neighbours need of it, and it of them (`rhas.manifests.shards.interpolated`).
    lead = max(config.detector.follow_frames, 2 * (max(encoder.crop_every, encoder.frame_every) - 1))
    return {
        "DecodeWorker": (root, config.decode, lead, options.deadline_s, decord, cache_of(options)),
        "ModelWorker": (config, options.batch, "cuda" if options.gpus else "cpu"),
        "WriteWorker": (root,),
        "LinkWorker": (root, config),
    }


def threads(count: int) -> dict[str, str]:
    """The environment of a worker that has so many cores.

    Ray sets their number itself only for tasks that leave it to choose. Threads that wait for others sleep: spinning,
    they take three quarters of a core's time where anything else runs beside them.
    """
    return {"OMP_NUM_THREADS": str(count), "OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "passive")}
