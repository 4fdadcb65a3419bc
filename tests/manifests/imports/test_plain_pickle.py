"""Pickles read as data: what Python pickles comes back the same, and nothing in a pickle is ever run."""

from __future__ import annotations

import copyreg
import os
import pickle
import resource
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rhas.manifests.common.errors import InputError
from rhas.manifests.imports.plain_pickle import load_plain

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.binary()
    | st.text(max_size=20)
)
PLAIN = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(SCALARS, inner, max_size=4)
        | st.sets(st.integers(), max_size=4)
        | st.frozensets(st.integers(), max_size=4)
    ),
    max_leaves=20,
)
PROTOCOLS = st.integers(0, pickle.HIGHEST_PROTOCOL)


def load(tmp_path: Path, data: bytes) -> Any:
    path = tmp_path / "a.pkl"
    path.write_bytes(data)
    return load_plain(path)


@settings(deadline=None)
@given(value=PLAIN, protocol=PROTOCOLS)
@example(value=b"", protocol=0)
@example(value=[{1}, frozenset((2,)), set()], protocol=2)
@example(value=[10**600, -(10**600)], protocol=4)
def test_plain_values_come_back(tmp_path_factory: pytest.TempPathFactory, value: Any, protocol: int) -> None:
    path = tmp_path_factory.getbasetemp() / "plain.pkl"
    path.write_bytes(pickle.dumps(value, protocol))
    got = load_plain(path)
    assert (got, type(got)) == (value, type(value))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    "array",
    [
        np.arange(6).reshape(2, 3),
        np.arange(6).reshape(2, 3).T,
        np.arange(3, dtype=">i4"),
        np.array([True, False]),
        np.array([0.5, -1], np.float16),
        np.array(["a", "wömán"]),
        np.zeros(0),
    ],
)
def test_numpys_values_come_back_as_plain_ones(tmp_path: Path, array: np.ndarray, protocol: int) -> None:
    scalars = list(array.ravel()[:2])
    value = [array, scalars, array]
    got = load(tmp_path, pickle.dumps(value, protocol))
    assert got == [array.tolist(), [one.item() for one in scalars], array.tolist()]
    assert all(type(one) in (int, float, bool, str) for one in got[1])


def test_pickles_of_older_numpy_and_of_python_2(tmp_path: Path) -> None:
    old = pickle.dumps(np.int64(7), 2).replace(b"numpy._core", b"numpy.core")
    assert load(tmp_path, old) == 7
    python_2 = b"(lp0\nS'frame_1'\np1\naI5\naL7L\na."
    assert load(tmp_path, python_2) == ["frame_1", 5, 7]
    numbers = b"\x80\x02]q\x00(U\x03abcT\x02\x00\x00\x00xy\x8a\x01\x05e."
    assert load(tmp_path, numbers) == ["abc", "xy", 5]


class Touch:
    """Makes a file when it is unpickled by anyone who calls what a pickle says."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_call_is_refused_and_not_made(tmp_path: Path, protocol: int) -> None:
    sign = tmp_path / "ran"
    data = pickle.dumps([1, {"a": (Touch(sign),)}], protocol)
    with pytest.raises(InputError, match=r"a\.pkl: got 'global posix\.system'"):
        load(tmp_path, data)
    assert not sign.exists()
    pickle.loads(data)  # the attack is one: Python's own unpickler falls for it
    assert sign.exists()


def named(module: str, name: str) -> bytes:
    return b"\x80\x04" + b"".join(b"\x8c" + bytes([len(t)]) + t.encode() for t in (module, name)) + b"\x93"


class Slotted:
    __slots__ = ("a",)

    def __setstate__(self, state: object) -> None:
        raise AssertionError("ran")


SLOTTED = b"\x80\x02c" + Slotted.__module__.encode() + b"\nSlotted\n"
INT64 = pickle.dumps(np.dtype("i8"), 2)[2:-1]
UNBUILT = INT64[: INT64.index(b"(")]


@pytest.mark.parametrize(
    ("data", "refused"),
    [
        (b"cos\nsystem\n(S'true'\ntR.", "global os.system"),
        (named("builtins", "eval") + b"\x8c\x011\x85R.", "global builtins.eval"),
        (named("builtins", "getattr") + b".", "global builtins.getattr"),
        (named("builtins", "list.__class__") + b".", "global builtins.list.__class__"),
        (named("numpy", "ndarray.__reduce__") + b".", "global numpy.ndarray.__reduce__"),
        (named("numpy", "os.system") + b".", "global numpy.os.system"),
        (b"\x80\x04" + b"]]\x93.", "a global whose name is no text"),
        (b"(S'true'\nios\nsystem\n.", "instruction INST os system"),
        (named("builtins", "set")[:-1] + b"\x93(" + b"o.", "instruction OBJ"),
        (b"\x80\x02c__builtin__\nset\n)\x81.", "instruction NEWOBJ"),
        (named("builtins", "set") + b")}\x92.", "instruction NEWOBJ_EX"),
        (b"Pabc\n.", "instruction PERSID abc"),
        (b"\x80\x02K\x01Q.", "instruction BINPERSID"),
        (b"\x80\x02\x82\x05.", "instruction EXT1 5"),
        (b"\x80\x05\x97.", "instruction NEXT_BUFFER"),
        (SLOTTED + b")R.", "Slotted"),
        (b"\x80\x02]}b.", "state for list"),
        (b"\x80\x02c__builtin__\nset\n}b.", "state for __builtin__.set"),
        (b"\x80\x02cnumpy\nndarray\n}b.", "state for numpy.ndarray"),
        (b"\x80\x02cnumpy\nndarray\n)R.", "a call of numpy.ndarray"),
        (b"\x80\x02K\x01)R.", "a call of int"),
        (b"\x80\x02c__builtin__\nset\n]\x85cnumpy\ndtype\nR.", "a call of tuple"),
        (pickle.dumps(np.array([{}], dtype=object), 2), "an array of type O8"),
        (pickle.dumps(np.array([{}], dtype=object), 5), "an array of type O8"),
        (pickle.dumps(np.zeros(1, [("a", "i4")]), 2), "an array of type V4"),
        (pickle.dumps(np.datetime64("2020-01-01"), 2), "an array of type M8"),
        (pickle.dumps(np.ma.zeros(1), 2), "global numpy.ma"),
        (b"\x80\x02" + UNBUILT + b"(K\x03X\x01\x00\x00\x00<K\x01K\x01K\x01K\x01K\x01tb.", "with fields"),
        (b"\x80\x02}]K\x01s.", "a list as a key"),
        (b"\x80\x04\x8f()\x90.", "a tuple as a key"),
    ],
)  # fmt: skip
def test_more_than_data_is_refused(tmp_path: Path, data: bytes, refused: str) -> None:
    with pytest.raises(InputError) as caught:
        load(tmp_path, data)
    (problem,) = caught.value.problems
    assert problem.file == tmp_path / "a.pkl"
    assert refused in str(problem.value), str(problem)


def test_the_registry_of_copyreg_is_not_asked(tmp_path: Path) -> None:
    copyreg.add_extension("os", "system", 240)
    try:
        with pytest.raises(InputError, match="instruction EXT1 240"):
            load(tmp_path, b"\x80\x02\x82\xf0.")
    finally:
        copyreg.remove_extension("os", "system", 240)
    with pytest.raises(InputError, match=r"global copyreg\._reconstructor"):
        load(tmp_path, b"ccopyreg\n_reconstructor\n.")


NEST = b"".join(b"q" + bytes([i]) + b"0]h" + bytes([i]) + b"ah" + bytes([i]) + b"a" for i in range(200))


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x02]r\xff\xff\xff\xff0j\xff\xff\xff\xff.",  # a memo of four billion places
        b"\x80\x02]" + NEST + b".",  # two lists in two lists in two lists …: 2^200 of them
        b"\x80\x05\x96" + struct.pack("<Q", 2**40) + b".",  # a terabyte of bytes
        b"\x80\x04\x8d" + struct.pack("<Q", 2**60) + b".",
        b"\x80\x04\x95" + struct.pack("<Q", 2**60) + b"].",
        b"\x80\x02"
        + b"cnumpy._core.numeric\n_frombuffer\n(C\x00"
        + INT64
        + b"J\x00\xca\x9a\x3bK\x00\x86U\x01CtR.",
        b"\x80\x02"
        + b"cnumpy._core.numeric\n_frombuffer\n(J\x00\xca\x9a\x3b"
        + INT64
        + b"K\x01\x85U\x01CtR.",
        b"\x80\x02" + b"(" * 100_000 + b".",
        b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".",
        b"I" + b"9" * 100_000 + b"\n.",
    ],
)
def test_bombs_take_neither_memory_nor_time(tmp_path: Path, data: bytes) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        load(tmp_path, data)
    except InputError as error:
        assert len(str(error)) < 1000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # KiB


@settings(deadline=None, max_examples=300)
@given(data=st.data())
def test_damage_is_an_error_that_names_the_file(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    value = [[[1, 2], {3}, "a"], np.arange(4), [np.str_("x"), np.int8(2)], (b"y", 0.5)]
    whole = bytearray(pickle.dumps(value, data.draw(PROTOCOLS)))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged.pkl"
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole)))])
    try:
        load_plain(path)
    except InputError as error:
        assert str(path) in str(error)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a readable file"):
        load_plain(tmp_path / "none.pkl")
    with pytest.raises(InputError, match="that can be read"):
        load(tmp_path, b"")
