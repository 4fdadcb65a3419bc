"""Feature files: what is read of them, and which headers are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rhas.manifests.common.errors import InputError
from rhas.manifests.imports.arrays import open_features


def saved(tmp_path: Path, array: np.ndarray) -> Path:
    np.save(tmp_path / "a.npy", array)
    return tmp_path / "a.npy"


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["f4", ">f8", "f2"])
def test_rows_are_frames(tmp_path: Path, order: Any, dtype: str) -> None:
    array = np.array(np.random.default_rng(0).standard_normal((5, 40)), dtype=dtype, order=order)
    file = open_features(saved(tmp_path, array), "F×T")
    assert (file.frames, file.shape) == (40, (5,))
    np.testing.assert_array_equal(file.rows(7, 31), array.T[7:31])
    file = open_features(saved(tmp_path, array), "T×F")
    assert (file.frames, file.shape) == (5, (40,))
    np.testing.assert_array_equal(file.rows(1, 5), array[1:5])


def test_tokens_are_averaged_or_kept(tmp_path: Path) -> None:
    array = np.random.default_rng(0).standard_normal((6, 32, 4)).astype(np.float16)
    mean = open_features(saved(tmp_path, array), "T×F", "mean")
    assert mean.shape == (4,)
    np.testing.assert_allclose(mean.rows(2, 5), array[2:5].astype(np.float64).mean(axis=1), atol=1e-6)
    whole = open_features(saved(tmp_path, array), "T×F", "all")
    assert whole.shape == (32, 4)
    np.testing.assert_array_equal(whole.rows(2, 5), array[2:5])


@pytest.mark.parametrize(
    ("array", "layout", "tokens", "message"),
    [
        (np.zeros((3, 4), int), "F×T", "mean", "floating point"),
        (np.zeros(3), "F×T", "mean", r"got \(3,\): expected features F×T"),
        (np.zeros((3, 2, 4)), "F×T", "mean", "expected features F×T"),
        (np.zeros((3, 0)), "F×T", "mean", "expected features F×T"),
        (np.zeros((0, 3)), "T×F", "mean", "features T×N×F"),
        (np.zeros((3, 4)), "T×F", "all", r"features T×N×F \(N tokens a frame\)$"),
        (np.zeros((1, 3, 2, 4)), "T×F", "mean", "features T×N×F"),
        (np.array([[{}]], dtype=object), "F×T", "mean", "Python objects"),
    ],
)
def test_other_arrays(tmp_path: Path, array: np.ndarray, layout: Any, tokens: Any, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        open_features(saved(tmp_path, array), layout, tokens)
    assert caught.value.problems[0].file == tmp_path / "a.npy"


def test_a_file_that_was_cut_or_is_none(tmp_path: Path) -> None:
    path = saved(tmp_path, np.zeros((3, 4)))
    file = open_features(path, "F×T")
    path.write_bytes(path.read_bytes()[:-8])
    for attempt in (lambda: open_features(path, "F×T"), lambda: file.rows(0, 2)):
        with pytest.raises(InputError, match=r"a\.npy"):
            attempt()
    np.savez(tmp_path / "a.npz", np.zeros(3))
    (tmp_path / "a.npz").rename(path)
    with pytest.raises(InputError, match="magic"):
        open_features(path, "F×T")
    with pytest.raises(InputError, match="No such file"):
        open_features(tmp_path / "none.npy", "F×T")


@settings(deadline=None, max_examples=200)
@given(data=st.data())
def test_any_header_is_features_or_an_error(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.getbasetemp()
    whole = bytearray(saved(folder, np.zeros((3, 4), np.float32)).read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        whole[data.draw(st.integers(6, 75))] = data.draw(st.integers(0, 255))
    (folder / "a.npy").write_bytes(whole)
    try:
        file = open_features(folder / "a.npy", "T×F")
    except InputError as error:
        assert "a.npy" in str(error)
    else:
        assert file.rows(0, 1).shape == (1, *file.shape)
