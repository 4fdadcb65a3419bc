"""Shards that somebody else might hand us: each case changes a good one, and says what has to be said of it.

In: the path of a shard of `training_folders.labelled_movie` (persons a and b, 40 samples, features of 6). The cases
use HDF5 itself, so that its own checksums hold: only what reads the file can refuse it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

Damage = Callable[[Path], None]
STATUS, HOLISTIC, TEXT = "persons/a/status", "persons/a/holistic", "persons/a/text_embedding"
TIMES = np.arange(40) / 10
UNREADABLE = "a feature shard that can be read"
ITSELF = "expected data stored in the file itself"
CLAIM = "expected no more than the"
UNNAMED = "expected nothing but what the format names"
FILTER = "with checksums .fletcher32. and no other filter"


def edited(change: Callable[[h5py.File], object]) -> Damage:
    def damage(path: Path) -> None:
        with h5py.File(path, "r+", libver=("v110", "v110")) as file:
            change(file)

    return damage


def bytes_instead(make: Callable[[bytes], bytes]) -> Damage:
    return lambda path: path.write_bytes(make(path.read_bytes())) and None


def put(name: str, data: object, **storage: object) -> Damage:
    """Another dataset in the place of one."""

    def change(file: h5py.File) -> None:
        file.pop(name, None)
        file.create_dataset(name, data=data, **({"fletcher32": True} | storage))

    return edited(change)


def claim(name: str, shape: tuple[int, ...], dtype: object, chunks: tuple[int, ...]) -> Damage:
    """A dataset of which nothing is written."""

    def change(file: h5py.File) -> None:
        file.pop(name, None)
        file.create_dataset(name, shape, dtype, chunks=chunks, fletcher32=True)

    return edited(change)


def link(name: str, target: object) -> Damage:
    def change(file: h5py.File) -> None:
        del file[name]
        file[name] = target

    return edited(change)


def attribute(name: str, value: object, dtype: object = None) -> Damage:
    return edited(lambda file: file.attrs.create(name, value, dtype=dtype))


def without(name: str) -> Damage:
    def change(file: h5py.File) -> None:
        del (file if name in file else file.attrs)[name]

    return edited(change)


def foreign(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["data"] = [1]


def external_storage(file: h5py.File) -> None:
    secret = Path(file.filename).with_name("secret")
    secret.write_bytes(b"\1" * 40)
    del file[STATUS]
    file.create_dataset(STATUS, (40,), np.uint8, external=[(str(secret), 0, 40)])


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((40,), np.uint8)
    layout[:] = h5py.VirtualSource("other.h5", "status", (40,))
    del file[STATUS]
    file.create_virtual_dataset(STATUS, layout)


def unknown_filter(file: h5py.File) -> None:
    """One that HDF5 would look for among its plug-ins: a library to be loaded and run."""
    stored = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    stored.set_chunk((40,))
    stored.set_filter(32015, h5py.h5z.FLAG_OPTIONAL, ())
    del file[STATUS]
    space = h5py.h5s.create_simple((40,))
    h5py.h5d.create(file["persons/a"].id, b"status", h5py.h5t.NATIVE_UINT8, space, stored)


def pipe(path: Path) -> None:
    """Whoever follows the link waits for ever."""
    os.mkfifo(path.with_name("pipe"))
    link("time_s", h5py.ExternalLink("pipe", "/x"))(path)


def loop(file: h5py.File) -> None:
    file["persons/a/loop"] = file["persons"]


def renamed(name: str) -> Damage:
    return edited(lambda file: file.move("persons/a", f"persons/{name}"))


NO_SHARDS: dict[str, tuple[Damage, str]] = {
    "empty": (bytes_instead(lambda data: b""), UNREADABLE),
    "text": (bytes_instead(lambda data: b"movie_id,video\n" * 100), UNREADABLE),
    "zeros": (bytes_instead(lambda data: bytes(len(data))), UNREADABLE),
    "noise": (bytes_instead(lambda data: np.random.default_rng(0).bytes(len(data))), UNREADABLE),
    "only the signature": (bytes_instead(lambda data: data[:8]), UNREADABLE),
    "signature and noise": (bytes_instead(lambda data: data[:9] + bytes(2000)), UNREADABLE),
    "twice": (bytes_instead(lambda data: data[:5000] + data), UNREADABLE),
    "foreign": (foreign, "got 'none': expected an HDF5 file of format rhas-features"),
    "other format": (attribute("format", np.bytes_("x")), "got 'x': expected an HDF5 file of format"),
    "other version": (attribute("format_version", 2), "got .*2.*: expected format version 4"),
    "version as text": (attribute("format_version", np.bytes_("2")), UNREADABLE),
    "no version": (without("format_version"), "got 'none': expected format version 4"),
    "no identity": (without("identity"), "it lacks identity"),
    "no persons": (without("persons"), "it lacks persons"),
    "no windows": (without("windows"), "it lacks windows, windows/index"),
    "no times": (without("time_s"), "it lacks time_s"),
    "no status": (without(STATUS), "it lacks status of person a"),
    "one more dataset": (put("more", [1]), f"got '/more': {UNNAMED}"),
    "one more series": (put("persons/a/more", np.zeros(40)), f"got '/persons/a/more': {UNNAMED}"),
    "one more column": (put("windows/more", np.zeros(4)), f"got '/windows/more': {UNNAMED}"),
    "groups without end": (edited(lambda file: file.create_group("/x" * 3000)), f"got '/x': {UNNAMED}"),
    "a loop": (edited(loop), f"got '/persons/a/loop': {UNNAMED}"),
    "times as whole numbers": (put("time_s", np.arange(40)), "expected /time_s to be float64"),
    "times as texts": (put("time_s", np.full(40, b"0.1")), "expected /time_s to be float64"),
    "times in two dimensions": (put("time_s", TIMES[:, None]), "expected time_s to be of one dimension"),
    "frames as floats": (put("source_frame", TIMES), "expected /source_frame to be int64"),
    "signed status": (put(STATUS, np.ones(40, np.int8)), f"expected /{STATUS} to be uint8"),
    "short status": (put(STATUS, np.ones(39, np.uint8)), r"got \(39,\): expected status of person a"),
    "double features": (put(HOLISTIC, np.zeros((40, 6))), f"expected /{HOLISTIC} to be float16"),
    "boxes of three": (put("persons/a/box", np.zeros((40, 3), np.float32)), "expected box of person a to be"),
    "a column of floats": (put("windows/index", np.zeros(5)), "expected /windows/index to be int64"),
    "a column of numbers": (put("windows/id", np.zeros(5)), "expected /windows/id to be text"),
    "texts of any length": (
        put("windows/id", ["x"] * 5, fletcher32=False),
        "expected /windows/id to be text of fixed length",
    ),
    "a group for a series": (
        edited(lambda file: (file.pop(STATUS), file.create_group(STATUS))), f"got '/{STATUS}': expected a dataset"
    ),
    "a type for a series": (link(STATUS, np.dtype("u1")), f"got '/{STATUS}': expected a dataset"),
    "a series for a group": (put("persons", np.zeros(3)), "got 'persons': expected a group"),
    "text embedding as a number": (put(TEXT, np.float32(1), fletcher32=False), "expected /persons/a/text_embedding"),
    "text embedding as a table": (put(TEXT, np.ones((2, 3), np.float32)), "embedding of person a to be one row"),
    "a huge number for a name": (attribute("movie_id", 10**15), UNREADABLE),
    "a list of names": (attribute("movie_id", [b"m1"] * 3, "S2"), UNREADABLE),
    "a name of any length": (attribute("movie_id", "m1"), UNREADABLE),
    "a name that is no text": (attribute("movie_id", np.bytes_(b"\xff")), UNREADABLE),
    "a soft link": (link(STATUS, h5py.SoftLink("/time_s")), f"got 'link /{STATUS}': {ITSELF}"),
    "a soft link for a group": (link("windows", h5py.SoftLink("/persons")), f"got 'link /windows': {ITSELF}"),
    "an external link": (link(STATUS, h5py.ExternalLink("x.h5", "/x")), f"got 'link /{STATUS}': {ITSELF}"),
    "a link to a pipe": (pipe, f"got 'link /time_s': {ITSELF}"),
    "external storage": (edited(external_storage), f"got 'external /{STATUS}': {ITSELF}"),
    "virtual": (edited(virtual), f"got 'external /{STATUS}': {ITSELF}"),
    "no checksums": (put(STATUS, np.ones(40, np.uint8), fletcher32=False), FILTER),
    "gzip": (put(STATUS, np.ones(40, np.uint8), compression="gzip"), FILTER),
    "lzf": (put(STATUS, np.ones(40, np.uint8), compression="lzf"), FILTER),
    "shuffled": (put(STATUS, np.ones(40, np.uint8), shuffle=True), FILTER),
    "scaled": (put("source_frame", np.arange(40), scaleoffset=0, fletcher32=False), FILTER),
    "a plug-in": (edited(unknown_filter), FILTER),
    "times without end": (claim("time_s", (10**13,), "f8", (1024,)), CLAIM),
    "frames without end": (claim("source_frame", (10**13,), "i8", (1024,)), CLAIM),
    "features without end": (claim(HOLISTIC, (40, 10**9), "f2", (1, 1000)), CLAIM),
    "a chunk without end": (claim(HOLISTIC, (40, 10**8), "f2", (10, 10**8)), CLAIM),
    "a text without end": (claim(TEXT, (10**12,), "f4", (1024,)), CLAIM),
    "a table without end": (claim("windows/start", (10**12,), "i8", (1024,)), CLAIM),
    "an id without end": (claim("windows/id", (5,), "S1000000000", (1,)), CLAIM),
    "a person outside": (renamed(".."), r"got 'person \.\.': expected ids"),
    "a person of 300 letters": (renamed("p" * 300), "expected ids as a manifest allows them"),
    "a person with control characters": (renamed("a\x1b[31m"), "expected ids as a manifest allows them"),
}  # fmt: skip


def cell(column: str, row: int, value: object) -> Damage:
    """One cell of the window table."""

    def change(file: h5py.File) -> None:
        file[f"windows/{column}"][row] = value

    return edited(change)


def short_column(file: h5py.File) -> None:
    column = file["windows/start"][:-1]
    del file["windows/start"]
    file["windows"].create_dataset("start", data=column, fletcher32=True)


# What only reading everything finds, and which of the windows 0 to 4 are still good then.
BAD_WINDOWS: dict[str, tuple[Damage, str, set[int]]] = {
    "a window before the movie": (cell("start", 0, -8), r"window 0 \(samples -8 to 8\)", {1, 2, 3, 4}),
    "a window behind the movie": (cell("stop", 4, 10**15), "is not within the movie's 40 samples", {0, 1, 2, 3}),
    "a window that ends before it starts": (cell("stop", 1, 3), "window 1 .samples 8 to 3.", {0, 2, 3, 4}),
    "no such window": (cell("index", 2, 10**18), "window 1000000000000000000 begins at sample 16", {0, 1, 3, 4}),
    "the id of another": (cell("id", 2, b"0" * 32), "window 2 .* has the id of another window", {0, 1, 3, 4}),
    "a reason with control characters": (cell("reason", 3, b"\x1b[2J\0x"), "window 3", {0, 1, 2, 4}),
    "a row too few": (edited(short_column), "a table of windows that can be read", set()),
    "another feature": (
        edited(lambda file: file[HOLISTIC].__setitem__((9, 0), 7.0)), "checksum does not match", {0, 2, 3, 4}
    ),
    "other times": (edited(lambda file: file["time_s"].__setitem__(9, 99.0)), "not in order", {0, 1, 2, 3, 4}),
    "another movie": (attribute("movie_id", np.bytes_("m9")), "it is the shard of movie 'm9'", {0, 1, 2, 3, 4}),
    "another sentence": (
        edited(lambda file: file["persons/a"].attrs.create("reference", np.bytes_("x"))), "the reference differs",
        {0, 1, 2, 3, 4},
    ),
    "an embedding that is no number": (
        edited(lambda file: file[TEXT].__setitem__(0, np.nan)), "text embedding is not finite", {0, 1, 2, 3, 4}
    ),
    "JSON without end": (attribute("identity", np.bytes_("[" * 50_000)), "an attribute identity", {0, 1, 2, 3, 4}),
    "JSON of another kind": (attribute("identity", np.bytes_("3")), "an attribute identity", {0, 1, 2, 3, 4}),
    "other settings": (attribute("config", np.bytes_("{}")), "config differ from config.json", {0, 1, 2, 3, 4}),
}  # fmt: skip
