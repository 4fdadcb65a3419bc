"""Reading: lazily, with files open as long as needed, and nothing but honest shards."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from feature_folders import make_movie, make_window, make_windows, write_folder

from rhas.manifests.common.errors import InputError
from rhas.manifests.shards.format import SERIES, write_part, write_shard
from rhas.manifests.shards.layout import FeaturesFolder
from rhas.manifests.shards.reader import FeaturesReader, Shard, read_part


@pytest.fixture
def folder(tmp_path: Path) -> FeaturesFolder:
    return write_folder(tmp_path / "features", [make_movie("m2"), make_movie("m1.a", samples=9)])


def open_shards() -> int:
    gc.collect()
    links = (link for link in Path("/proc/self/fd").iterdir() if link.is_symlink())
    return sum(str(link.readlink()).endswith(".h5") for link in links)


def test_movies_and_persons_in_order(folder: FeaturesFolder) -> None:
    (folder.shards / ".m3.h5.12.tmp").touch()
    (folder.shards / ".hidden.h5").touch()
    reader = FeaturesReader(folder.root)
    assert reader.movie_ids == ["m1.a", "m2"]
    found = [(s.movie_id, s.person_id, s.split, len(s)) for s in reader.persons()]
    assert found == [
        ("m1.a", "late", None, 9), ("m1.a", "p1", "train", 9), ("m1.a", "p2", "val", 9),
        ("m2", "late", None, 40), ("m2", "p1", "train", 40), ("m2", "p2", "val", 40),
    ]  # fmt: skip


def test_a_series_keeps_its_file_open_and_no_longer(folder: FeaturesFolder) -> None:
    before = open_shards()
    reader = FeaturesReader(folder.root)
    series = reader.person("m2", "p1")
    assert open_shards() == before + 1
    assert isinstance(series.holistic, h5py.Dataset)  # read when sliced
    assert series.holistic[3:7].shape == (4, 6)
    every = list(reader.persons())
    assert all(len(s.partial[...]) == len(s) for s in every)
    del series, every
    assert open_shards() == before


def test_other_columns_are_with_each_person(tmp_path: Path) -> None:
    """Whatever they are called and however long a text is; and a shard without any has none."""
    said = {"licence": "CC0", "name, or “nom”": "é" * 100_000, "empty": ""}
    header = make_movie("m1")
    persons = tuple(replace(person, others=tuple(said.values())) for person in header.persons)
    named = replace(header, persons=persons, other_columns=tuple(said))
    assert named.identity == header.identity and named.window_id(0) == header.window_id(0)
    folder = write_folder(tmp_path / "features", [header])
    assert FeaturesReader(folder.root).person("m1", "p1").others == {}
    write_shard(folder, named, make_windows(named).__getitem__)
    assert FeaturesReader(folder.root).person("m1", "p2").others == said
    for odd in (b'{"a": 1}', b"[]", b"{", b"[" * 5000):
        with h5py.File(folder.shard("m1"), "r+") as file:
            del file["persons/p1"].attrs["others"]
            file["persons/p1"].attrs.create("others", odd)
        with pytest.raises(InputError, match="series of person p1"):
            FeaturesReader(folder.root).person("m1", "p1")


def test_text_embeddings(folder: FeaturesFolder) -> None:
    header = make_movie("m2")
    reader = FeaturesReader(folder.root)
    embedding = reader.person("m2", "p1").text_embedding
    assert embedding is not None and embedding.tolist() == header.text_embeddings["p1"].tolist()
    assert reader.person("m2", "p2").text_embedding is None
    assert reader.person("m2", "p2").reference == "the wömán"


def test_names_what_is_not_there(folder: FeaturesFolder, tmp_path: Path) -> None:
    reader = FeaturesReader(folder.root)
    with pytest.raises(InputError, match=r"m2\.h5.*got 'p9': expected one of late, p1, p2"):
        reader.person("m2", "p9")
    with pytest.raises(InputError, match=r"got 'm9': expected one of m1\.a, m2"):
        reader.shard("m9")
    with pytest.raises(InputError, match=r"config\.json is not there"):
        FeaturesReader(tmp_path)


# --- files that are no shards, or no longer


def empty(path: Path) -> None:
    path.write_bytes(b"")


def text(path: Path) -> None:
    path.write_text("no HDF5")


def half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def foreign(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["data"] = [1]


def other_format(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file.attrs["format"] = np.bytes_("other")


def other_version(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file.attrs["format_version"] = 2


def without(name: str) -> Callable[[Path], None]:
    def remove(path: Path) -> None:
        with h5py.File(path, "r+") as file:
            del (file if name in file else file.attrs)[name]

    return remove


def instead(name: str, make: Callable[[h5py.File, Path], object]) -> Callable[[Path], None]:
    """Puts something else in the place of a dataset."""

    def put(path: Path) -> None:
        with h5py.File(path, "r+") as file:
            del file[name]
            value = make(file, path)
            if isinstance(value, np.ndarray):
                file.create_dataset(name, data=value, fletcher32=True)
            elif value is not None:
                file[name] = value

    return put


STATUS = "persons/p1/status"


def external_storage(file: h5py.File, path: Path) -> None:
    secret = path.with_name("secret")
    secret.write_bytes(b"\1" * 40)
    file.create_dataset(STATUS, (40,), np.uint8, external=[(str(secret), 0, 40)])


def virtual(file: h5py.File, path: Path) -> None:
    layout = h5py.VirtualLayout((40,), np.uint8)
    layout[:] = h5py.VirtualSource(str(path.with_name("other.h5")), "status", (40,))
    file.create_virtual_dataset(STATUS, layout)


CASES = {
    "empty": (empty, "a feature shard that can be read"),
    "text": (text, "a feature shard that can be read"),
    "half": (half, "a feature shard that can be read"),
    "foreign": (foreign, "got 'none': expected an HDF5 file of format rhas-features"),
    "other format": (other_format, "got 'other': expected an HDF5 file of format rhas-features"),
    "other version": (other_version, "got 2: expected format version 4; .*into another folder"),
    "no series": (without("persons/p2/box"), "it lacks box of person p2"),
    "no column": (without("windows/digest"), "it lacks windows/digest"),
    "no windows": (without("windows"), "it lacks windows, windows/index"),
    "no times": (without("time_s"), "it lacks time_s"),
    "no identity": (without("identity"), "it lacks identity"),
    "wrong length": (instead(STATUS, lambda f, p: np.zeros(39, np.uint8)), r"got \(39,\): expected status of person"),
    "wrong type": (instead(STATUS, lambda f, p: np.zeros(40)), f"got 'float64 .40,.': expected /{STATUS} to be uint8"),
    "group": (instead(STATUS, lambda f, p: f.create_group(STATUS) and None), f"got '/{STATUS}': expected a dataset"),
    "dataset": (instead("persons", lambda f, p: np.zeros(1)), "got 'persons': expected a group"),
    "soft link": (instead(STATUS, lambda f, p: h5py.SoftLink("/elsewhere")), f"got 'link /{STATUS}'"),
    "external link": (
        instead(STATUS, lambda f, p: h5py.ExternalLink("other.h5", "/status")),
        f"got 'link /{STATUS}': expected data stored in the file itself",
    ),
    "external times": (
        instead("time_s", lambda f, p: h5py.ExternalLink("other.h5", "/time_s")), "got 'link /time_s'"
    ),
    "external storage": (instead(STATUS, external_storage), f"got 'external /{STATUS}'"),
    "virtual": (instead(STATUS, virtual), f"got 'external /{STATUS}'"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_refuses_by_name(folder: FeaturesFolder, case: str) -> None:
    damage, message = CASES[case]
    path = folder.shard("m2")
    damage(path)
    with pytest.raises(InputError, match=message) as caught:
        Shard(path)
    assert [problem.file for problem in caught.value.problems] == [path]
    path.unlink()  # and it is not held open
    assert open_shards() == 0


def test_links_are_never_followed(folder: FeaturesFolder) -> None:
    """A link to a pipe would hang the reader if it were opened."""
    path = folder.shard("m2")
    os.mkfifo(path.with_name("pipe"))
    for name in ("time_s", "persons", "windows", STATUS):
        if path.exists():
            path.unlink()
        header = make_movie("m2")
        write_shard(folder, header, make_windows(header).__getitem__)
        instead(name, lambda f, p: h5py.ExternalLink("pipe", "/x"))(path)
        with pytest.raises(InputError, match="link"):
            Shard(path)


@pytest.mark.parametrize("name", SERIES)
def test_flipped_bytes_of_a_series_are_noticed(folder: FeaturesFolder, name: str) -> None:
    path = folder.shard("m2")
    with h5py.File(path) as file:
        chunk = file[f"persons/p1/{name}"].id.get_chunk_info(0)
    data = bytearray(path.read_bytes())
    data[chunk.byte_offset + 5] ^= 1
    path.write_bytes(data)
    if name == "status":
        with pytest.raises(InputError, match="series of person p1 that can be read"):
            FeaturesReader(folder.root).person("m2", "p1")
    else:
        with pytest.raises(OSError, match=r"[Cc]an't.*read"):
            getattr(FeaturesReader(folder.root).person("m2", "p1"), name)[...]
    with Shard(path) as shard, pytest.raises(InputError, match=r"window 0 \(samples 0 to 8\)"):
        shard.window(shard.windows()[0])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        *[(damage, "the part of a window that can be read") for damage in (empty, text, half)],
        (foreign, "got '/data': expected nothing but what the format names"),
    ],
)
def test_damaged_parts(folder: FeaturesFolder, damage: Callable[[Path], None], message: str) -> None:
    header = make_movie("m2")
    write_part(folder, make_window(header, 0))
    path = folder.part("m2", 0, header.window_id(0))
    damage(path)
    with pytest.raises(InputError, match=message) as caught:
        read_part(path)
    assert caught.value.problems[0].file == path


def test_a_part_that_only_its_checksum_gives_away(folder: FeaturesFolder) -> None:
    header = make_movie("m2")
    path = folder.part("m2", 0, header.window_id(0))
    for change in ("score", "reason"):
        write_part(folder, make_window(header, 0))
        with h5py.File(path, "r+") as file:
            if change == "score":
                file["persons/p1/score"][0] = 0.5
            else:
                file.attrs["reason"] = np.bytes_("so")
        with pytest.raises(InputError, match="the checksum does not match the contents"):
            read_part(path)


def test_a_part_with_links(folder: FeaturesFolder) -> None:
    header = make_movie("m2")
    write_part(folder, make_window(header, 0))
    path = folder.part("m2", 0, header.window_id(0))
    instead(STATUS, lambda f, p: h5py.ExternalLink("other.h5", "/status"))(path)
    with pytest.raises(InputError, match=f"got 'link /{STATUS}'"):
        read_part(path)
