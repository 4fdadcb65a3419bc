"""Whether weights are where a config says, looked at before anything is started: what lacks, and what to do about it.

In: a config. Out: nothing, or one InputError with all that is wrong. Files are not loaded: that is left to
`rhas.extract.ground` and `rhas.extract.encode`, which find what is wrong with their contents.
"""

from __future__ import annotations

import json
import socket
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from rhas.extract.config import OUR_DETECTORS, OUR_ENCODERS, ExtractConfig
from rhas.extract.ground.sources import CHECKPOINT_SUFFIXES, kind_of
from rhas.extract.weights.shipped_weights import place
from rhas.manifests.common.errors import InputError, Problem

_POINTER = b"version https://git-lfs.github.com/spec/"
_WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
_TOKENIZERS = (("tokenizer.json",), ("vocab.txt",), ("vocab.json", "merges.txt"))
_OPTIONS = {
    "detector.weights": "--detector ",
    "detector.text_encoder": "--set detector.text_encoder=",
    "encoder.weights": "--encoder ",
}
_UNREACHABLE = (socket.gaierror, ConnectionError, TimeoutError)
_PATIENCE_S = 10.0


def check_places(config: ExtractConfig) -> None:
    """Looks at folders, files and hub ids. Raises InputError."""
    detector, encoder = config.detector, config.encoder
    named = {}  # what others' models take is theirs to look at
    if encoder.kind in OUR_ENCODERS:
        named["encoder.weights"] = place(encoder.weights, "encoder")
    if detector.implementation in OUR_DETECTORS and detector.implementation != "boxes":
        named["detector.weights"] = place(detector.weights, "detector")
        if kind_of(detector.weights) == "released":
            named["detector.text_encoder"] = detector.text_encoder
    problems: list[Problem] = []
    if detector.refine is not None:
        problems += _refiner_problems(detector.refine)
    hub_ids = {}
    for setting, where in named.items():
        path = Path(where).expanduser()
        if path.is_dir():
            problems += _folder_problems(path, setting)
        elif path.is_file():
            problems += _checkpoint_problems(path)
        elif _is_hub_id(where):
            hub_ids[setting] = where
        elif not where.startswith("random:"):
            expected = "a folder that is there, or a hub id such as owner/name"
            problems.append(Problem("extraction config", expected, column=setting, value=where))
    problems += _hub_problems(hub_ids)
    if problems:
        raise InputError(problems)


def _refiner_problems(weights: str) -> Iterator[Problem]:
    file = Path(place(weights, "refiner")).expanduser() / _WEIGHTS[0]
    if not file.is_file():
        expected = f"a folder with {_WEIGHTS[0]} of a net that makes boxes exact, or none"
        yield Problem("extraction config", expected, column="detector.refine", value=weights)
    elif _is_pointer(file):
        yield _pointer_problem(file)


def _folder_problems(folder: Path, setting: str) -> Iterator[Problem]:
    def lacks(expected: str) -> Problem:
        return Problem("extraction config", expected, column=setting, value=str(folder))

    if not (folder / "config.json").is_file():
        yield lacks("a folder in transformers' format; its config.json is missing")
        return
    for path in sorted(folder.iterdir()):
        if path.is_file() and _is_pointer(path):
            yield _pointer_problem(path)
    has_weights = setting != "detector.text_encoder"
    if has_weights and not any((folder / name).is_file() for name in _WEIGHTS):
        yield lacks("the model's weights in it, model.safetensors")
    for index in folder.glob("*.index.json"):
        with suppress(ValueError, AttributeError, OSError):  # which loading will tell of
            for name in sorted(set(json.loads(index.read_bytes())["weight_map"].values())):
                if not (folder / name).is_file():
                    expected = (
                        f"a part of the weights, which {index.name} names: fetch the folder's files anew"
                    )
                    yield Problem(folder / name, expected)
    if not any(all((folder / name).is_file() for name in names) for names in _TOKENIZERS):
        yield lacks(
            "the tokenizer's files in it (tokenizer.json; vocab.txt; or vocab.json and merges.txt): "
            "copy them from the model that it was fine-tuned from"
        )


def _checkpoint_problems(path: Path) -> Iterator[Problem]:
    if _is_pointer(path):
        yield _pointer_problem(path)
        return
    if path.suffix not in (".pth", ".pt", ".ckpt"):
        return
    from torch.serialization import get_unsafe_globals_in_checkpoint  # reads names, and executes nothing

    with suppress(Exception):  # no checkpoint, or an old one: loading will tell
        if others := get_unsafe_globals_in_checkpoint(path):
            yield Problem(
                path,
                f"nothing but weights; it also holds {', '.join(sorted(others))}, which can't be opened safely. If you "
                f"trust its source: torch.save({{'model': torch.load('{path.name}', weights_only=False)['model']}}, "
                "'weights.pth')",
            )


def _is_pointer(path: Path) -> bool:
    with suppress(OSError), path.open("rb") as file:
        return file.read(len(_POINTER)) == _POINTER
    return False


def _pointer_problem(path: Path) -> Problem:
    return Problem(
        path, "the file itself, not git-LFS's pointer to it: `git lfs pull` in its folder fetches it"
    )


def _is_hub_id(name: str) -> bool:
    from huggingface_hub.utils import HFValidationError, validate_repo_id

    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return Path(name).suffix not in CHECKPOINT_SUFFIXES


def _hub_problems(hub_ids: dict[str, str]) -> Iterator[Problem]:
    """Ids of which nothing was fetched yet, where nothing can be: asked once, not for half a minute as in loading."""
    from huggingface_hub import constants, try_to_load_from_cache

    missing = [
        item
        for item in hub_ids.items()
        if not isinstance(try_to_load_from_cache(item[1], "config.json"), str)
    ]
    if not missing:
        return
    reason = "HF_HUB_OFFLINE is set" if constants.HF_HUB_OFFLINE else _unreachable(constants.ENDPOINT)
    for setting, name in missing if reason else ():
        way = f"`hf download {name} --local-dir FOLDER` where it can, and {_OPTIONS[setting]}FOLDER here"
        expected = f"weights that are here: the hub can't be reached ({reason}); {way}"
        yield Problem("extraction config", expected, column=setting, value=name)


def _unreachable(endpoint: str) -> str:
    """Why nobody answers there, or nothing; what else may go wrong, as with certificates, loading itself tells."""
    try:
        with urllib.request.urlopen(urllib.request.Request(endpoint, method="HEAD"), timeout=_PATIENCE_S):
            return ""
    except OSError as error:
        reason = getattr(error, "reason", error)
        return f"{endpoint}: {reason}" if isinstance(reason, _UNREACHABLE) else ""
