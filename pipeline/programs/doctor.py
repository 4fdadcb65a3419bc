"""`rhas doctor`: what this machine has of what rhas needs, in one screen.

In: nothing but the machine, a preset whose weights to look for, and the folder to write to. Out: a line for each thing,
and what to do where one would stand in the way.
"""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from rich.filesize import decimal
from rich.markup import escape
from rich.table import Table

from rhas.extract.config import ExtractConfig, default_memory_bytes, object_store_bytes
from rhas.extract.run.places import check_places
from rhas.manifests.common.cache import FOLDER, GIB, FileCache
from rhas.manifests.common.errors import InputError
from rhas.manifests.common.file_systems import is_local, kind_of
from rhas.manifests.common.memory import available_bytes
from rhas.manifests.common.processes import check_temporary_folder
from rhas.pipeline.views.display import make_console

SHARED = Path("/dev/shm")
RAY_FULL = 0.95  # of a disk: from there on Ray writes nothing more to it
_DRIVER = Path("/proc/driver/nvidia/version")


@dataclass(frozen=True)
class Finding:
    """A fact; `problem` says what to do where it would stand in the way."""

    about: str
    fact: str
    problem: str = ""


def examine(config: ExtractConfig, folder: Path) -> Iterator[Finding]:
    """Looks at everything in turn; nothing is started."""
    yield Finding("rhas", f"{version('rhas')}, Python {platform.python_version()}, Ray {version('ray')}")
    yield from _gpus()
    cores, free = len(os.sched_getaffinity(0)), available_bytes()
    yield Finding("cores, memory", f"{cores}, {'unknown' if free is None else decimal(free)} free")
    yield _shared_memory()
    yield _temporary_folder()
    yield _disk(folder)
    yield from _weights(config)
    yield _decoders()
    yield _stores()


def print_examination(config: ExtractConfig, folder: Path) -> int:
    """Prints it. Exit code 0, or 1 where something stands in the way."""
    console = make_console()
    table = Table(show_header=False, box=None)
    findings = list(examine(config, folder))
    for found in findings:
        mark = "[red]✗[/red]" if found.problem else "[green]✓[/green]"
        table.add_row(mark, found.about, escape(found.fact))
        if found.problem:
            table.add_row("", "", f"[red]{escape(found.problem)}[/red]")
    console.print(table, highlight=False)
    return int(any(found.problem for found in findings))


def _gpus() -> Iterator[Finding]:
    import torch

    driver = ""
    with suppress(OSError, IndexError):
        driver = _DRIVER.read_text().split("Module")[1].split()[0]
    build = f"torch {torch.__version__} for " + (
        f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPUs"
    )
    fact = f"{build}, driver {driver or 'none'}"
    count = torch.cuda.device_count()
    if not count:
        lost = "the driver is there, but torch is a build for CPUs: install one for CUDA" if driver else ""
        if driver and torch.version.cuda:
            lost = "torch sees no GPU: is the driver too old for it, or CUDA_VISIBLE_DEVICES empty?"
        yield Finding("GPUs", f"none; {fact}", lost)
    for number in range(count):
        free, total = torch.cuda.mem_get_info(number)
        name = torch.cuda.get_device_name(number)
        yield Finding(f"GPU {number}", f"{name}, {decimal(free)} of {decimal(total)} free; {fact}")


def _shared_memory() -> Finding:
    """Where Ray keeps decoded frames; with less, it writes them to disk."""
    wanted = object_store_bytes(default_memory_bytes(1))
    try:
        free = shutil.disk_usage(SHARED).free
    except OSError as error:
        return Finding("shared memory", f"{SHARED}: {error.strerror}", "Ray needs it for decoded frames")
    fact = f"{decimal(free)} free in {SHARED}; decoded frames of one GPU take {decimal(wanted)}"
    remedy = f"give it more (docker run --shm-size 16g), or extract with --memory {free / wanted * 5:.1f}"
    return Finding("shared memory", fact, remedy if free < wanted else "")


def _temporary_folder() -> Finding:
    folder = Path(os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp")
    try:
        check_temporary_folder()
        there = folder if folder.is_dir() else folder.parent
        usage = shutil.disk_usage(there)
    except InputError as error:
        return Finding("Ray's folder", str(folder / "ray"), str(error))
    except OSError as error:
        return Finding(
            "Ray's folder", str(folder / "ray"), f"{error.strerror}: set RAY_TMPDIR to a folder that is there"
        )
    full = (
        f"the disk is fuller than {RAY_FULL:.0%}, so Ray writes no more to it: make room, or set RAY_TMPDIR"
    )
    problem = full if usage.free < (1 - RAY_FULL) * usage.total else ""
    if not os.access(there, os.W_OK):
        problem = "not writable: set RAY_TMPDIR to a folder that is"
    return Finding(
        "Ray's folder", f"{folder / 'ray'}, {decimal(usage.free)} of {decimal(usage.total)} free", problem
    )


def _disk(folder: Path) -> Finding:
    there = folder.absolute()
    while not there.exists():
        there = there.parent
    usage = shutil.disk_usage(there)
    kind = kind_of(there) or "an unknown file system"
    shared = (
        "" if is_local(there) else "; others may write there: a lock takes 2 s, after a lost machine 30 s"
    )
    problem = "" if os.access(there, os.W_OK) else "not writable"
    return Finding("disk", f"{there} on {kind}, {decimal(usage.free)} free{shared}", problem)


def _weights(config: ExtractConfig) -> Iterator[Finding]:
    named = config.detector.weights, config.detector.refine, config.encoder.weights
    names = ", ".join(name for name in named if name is not None)
    try:
        check_places(config)
    except InputError as error:
        for problem in error.problems:
            yield Finding("weights", str(problem.value or problem.file), str(problem))
    else:
        yield Finding("weights", names)


def _stores() -> Finding:
    """For movies and features that aren't on this machine: what reads them, and where they are kept meanwhile."""
    packages = {"s3://": "s3fs", "gs://": "gcsfs", "https://": "aiohttp"}
    known = [f"{scheme} by {name} {version(name)}" for scheme, name in packages.items() if find_spec(name)]
    extras = [scheme.partition(":")[0] for scheme, name in packages.items() if not find_spec(name)]
    ways = "; ".join([", ".join(known), *(f"pip install 'rhas[{extra}]' for {extra}://" for extra in extras)])
    try:
        cache = FileCache()
        kept = f"at most {decimal(cache.bound())} in {cache.root()} ({FOLDER}, {GIB})"
    except (InputError, OSError) as error:
        return Finding("stores", ways, str(error))
    return Finding("stores", f"{ways}; movies are fetched to, and features kept, {kept}")


def _decoders() -> Finding:
    """FFmpeg comes with PyAV: what is installed on the system is not used."""
    try:
        import av
        import decord
    except (ImportError, OSError) as error:
        return Finding("decoding", "", f"{error}: install rhas anew")
    parts = ("libavformat", "libavcodec")
    libraries = ", ".join(f"{name} {'.'.join(map(str, av.library_versions[name]))}" for name in parts)
    return Finding(
        "decoding", f"PyAV {av.__version__} with its own FFmpeg ({libraries}); decord {decord.__version__}"
    )
