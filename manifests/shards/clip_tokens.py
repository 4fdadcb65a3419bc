"""What an extraction of clips leaves: for each clip what a model of RAVAR takes, a file for each movie.

tokens/
  config.json            what was extracted with what; a rerun with anything else is refused
  clips.csv, actions.csv the table and its vocabulary, as they were handed in
  names.safetensors      names [G, D] float32: what the encoder makes of the detector's categories
  movies/ID.safetensors  one movie's clips: see `ClipTokens`
  failures.csv           clips that are in no file, and why
  lock                   held by the run that writes here

A movie's file says which clips it is of, by their rows in clips.csv, and a digest of all that it holds, which is
checked when it is read. It appears complete or not at all.

Shapes: n clips of the movie, N query tokens (1 where the encoder has none), D features, K detections, G categories.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from rhas.manifests.common.atomic import write_bytes_atomically
from rhas.manifests.common.errors import InputError, Problem
from rhas.manifests.common.names import file_name
from rhas.manifests.shards.identity import content_id
from rhas.manifests.tables.clips import Clip
from rhas.manifests.tables.csvfile import read_table, write_rows

FAILURES = ("movie_id", "person_id", "time_s", "reason")
_RECORD = "rhas"


@dataclass(frozen=True)
class ClipTokens:
    """Of the clips of one movie."""

    row: NDArray[np.int64]  # [n] in clips.csv, from 0
    image: NDArray[np.float16]  # [n, N, D] of whole frames, averaged over those of the clip
    person: NDArray[
        np.float16
    ]  # [n, N, D] of the crop of who the sentence was found to mean, in the key frame; or NaN
    sentence: NDArray[np.float32]  # [n, D]
    grounded: NDArray[np.float32]  # [n, 4] whose box that is, x1 y1 x2 y2 as shares of the frame; or NaN
    grounded_score: NDArray[np.float32]  # [n]
    boxes: NDArray[np.float32]  # [n, K, 4] what a detector finds in the key frame, best first
    categories: NDArray[np.int16]  # [n, K] from 0; −1 behind the last one
    scores: NDArray[np.float32]  # [n, K]

    def __len__(self) -> int:
        return len(self.row)


_DTYPES = {
    "row": np.int64, "image": np.float16, "person": np.float16, "sentence": np.float32, "grounded": np.float32,
    "grounded_score": np.float32, "boxes": np.float32, "categories": np.int16, "scores": np.float32,
}  # fmt: skip


@dataclass(frozen=True)
class ClipFolder:
    """Paths below a folder of clips. ID stands for a movie's id as `rhas.manifests.common.names` writes it."""

    root: Path

    @property
    def config(self) -> Path:
        return self.root / "config.json"

    @property
    def clips(self) -> Path:
        return self.root / "clips.csv"

    @property
    def actions(self) -> Path:
        return self.root / "actions.csv"

    @property
    def names(self) -> Path:
        return self.root / "names.safetensors"

    @property
    def failures(self) -> Path:
        return self.root / "failures.csv"

    @property
    def lock(self) -> Path:
        return self.root / "lock"

    def movie(self, movie_id: str) -> Path:
        return self.root / "movies" / f"{file_name(movie_id)}.safetensors"

    def record(self) -> dict[str, Any]:
        """What config.json holds. Raises InputError where there is none."""
        try:
            value = json.loads(self.config.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            expected = f"the record of an extraction of clips, as `rhas ravar extract` writes it ({error})"
            raise InputError(Problem(self.config, expected)) from error
        lacking = [
            key
            for key in ("config", "clips", "models", "shape")
            if not isinstance(value, dict) or key not in value
        ]
        if lacking:
            raise InputError(
                Problem(self.config, f"the record of an extraction of clips, with {', '.join(lacking)}")
            )
        return dict(value)


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]], said: Mapping[str, Any]) -> None:
    """Atomically, with what is said of them and a digest of all."""
    own = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    record = {**said, "digest": _digest(own)}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes_atomically(path, save(own, {_RECORD: json.dumps(record)}))


def read_arrays(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """(arrays, what was said of them). Raises InputError, naming the file, for what is damaged or foreign."""
    try:
        with safe_open(path, "np") as file:
            record = json.loads((file.metadata() or {})[_RECORD])
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if _digest(arrays) != record.pop("digest"):
            raise ValueError("the checksum does not match the contents")
    except (
        OSError,
        SafetensorError,
        KeyError,
        ValueError,
        TypeError,
        AttributeError,
        RecursionError,
    ) as error:
        raise InputError(
            Problem(path, f"arrays that `rhas ravar extract` wrote ({type(error).__name__}: {error})")
        ) from error
    return arrays, record


def clips_id(rows: Sequence[int], clips: Sequence[Clip]) -> str:
    """What tells these rows of a table from others, or from what stands there after it was changed."""
    own = zip(rows, clips, strict=True)
    return content_id(
        [[row, clip.movie_id, clip.person_id, clip.time_s, clip.reference] for row, clip in own]
    )


def write_movie(path: Path, tokens: ClipTokens, identity: str, clips: str) -> None:
    """`identity`: of what makes a rerun leave the file alone; `clips`: the `clips_id` of its rows."""
    arrays = {field.name: getattr(tokens, field.name) for field in fields(tokens)}
    write_arrays(path, arrays, {"identity": identity, "clips": clips})


def read_movie(path: Path) -> tuple[ClipTokens, dict[str, Any]]:
    """(tokens, `identity` and `clips`). Raises InputError for what is damaged, or has other types and shapes."""
    arrays, record = read_arrays(path)
    wrong = [name for name, dtype in _DTYPES.items() if name not in arrays or arrays[name].dtype != dtype]
    told = all(isinstance(record.get(name), str) for name in ("identity", "clips"))
    if wrong or set(arrays) != set(_DTYPES) or not told:
        raise InputError(
            Problem(path, f"the tokens of a movie's clips; other are {', '.join(wrong) or 'its names'}")
        )
    tokens = ClipTokens(**arrays)
    n, shape, K = len(tokens.row), tokens.image.shape[1:], tokens.boxes.shape[1:2]
    expected = {
        "row": (n,), "image": (n, *shape), "person": (n, *shape), "sentence": (n, *shape[-1:]), "grounded": (n, 4),
        "grounded_score": (n,), "boxes": (n, *K, 4), "categories": (n, *K), "scores": (n, *K),
    }  # fmt: skip
    for name, size in expected.items():
        if arrays[name].shape != size or len(shape) != 2:
            raise InputError(Problem(path, f"{name} of shape {size}", value=arrays[name].shape))
    finite = {name: np.isfinite(arrays[name]).all() for name in ("image", "sentence", "boxes")}
    if not all(finite.values()):
        lacking = ", ".join(name for name, fine in finite.items() if not fine)
        raise InputError(Problem(path, "finite numbers", column=lacking, value="NaN or infinity"))
    return tokens, record


def write_clip_failures(path: Path, rows: list[tuple[str, str, float, str]]) -> None:
    """Clips that are in no file, by movie, person and moment."""
    write_rows(path, FAILURES, rows)


def read_clip_failures(path: Path) -> set[tuple[str, str, float]]:
    """Whom it names; nobody, where there is no such file or no row in it."""
    if not path.is_file() or path.read_text(encoding="utf-8").count("\n") <= 1:
        return set()
    table = read_table(path, FAILURES, numbers=("time_s",))
    table.raise_problems()
    columns = table.texts["movie_id"], table.texts["person_id"], table.numbers["time_s"].values.tolist()
    return {(movie, person, at) for movie, person, at in zip(*columns, strict=True)}


def _digest(arrays: Mapping[str, NDArray[Any]]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
