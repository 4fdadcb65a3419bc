"""Where weights, configs and tokenizers come from, with errors that say what was looked for.

A place is `random:tiny` or `random:full`, `shipped:mini`, a released checkpoint file, a local directory in
transformers' format, or an id on the Hugging Face hub.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rhas.extract.ground.text import DELIMITER_IDS, DELIMITERS
from rhas.extract.weights.shipped_weights import place as shipped_place
from rhas.manifests.common.errors import InputError, Problem

if TYPE_CHECKING:
    from transformers import BertConfig, GroundingDinoForObjectDetection

Kind = Literal["random", "released", "transformers"]
CHECKPOINT_SUFFIXES = (".pth", ".pt", ".ckpt")


def kind_of(weights: str) -> Kind:
    """What `detector.weights` names. Raises `InputError` for a path where nothing is."""
    if weights.startswith("random:"):
        if weights not in ("random:tiny", "random:full"):
            raise _problem("weights", weights, "random:tiny or random:full")
        return "random"
    path = Path(shipped_place(weights, "detector")).expanduser()
    if path.is_file():
        return "released"
    if path.suffix in CHECKPOINT_SUFFIXES:
        raise _problem(
            "weights", weights, "a released GroundingDINO checkpoint at this path, where no file is"
        )
    _refuse_missing_folder("weights", str(path))
    return "transformers"


def pretrained_port(weights: str) -> tuple[GroundingDinoForObjectDetection, Any]:
    """transformers' GroundingDINO and its tokenizer from a local directory or the hub."""
    import torch
    from transformers import AutoConfig, GroundingDinoForObjectDetection

    weights = shipped_place(weights, "detector")

    wanted = "a GroundingDINO in transformers' format (config.json, model.safetensors, tokenizer files)"
    config = _fetch(AutoConfig.from_pretrained, "weights", weights, wanted)
    swin = getattr(config, "backbone_config", None)
    if config.model_type != "grounding-dino" or getattr(swin, "model_type", None) != "swin":
        raise _problem(
            "weights", weights, f"a GroundingDINO on a Swin backbone, not a {config.model_type} model"
        )

    def load(place: str) -> Any:
        return GroundingDinoForObjectDetection.from_pretrained(
            place, dtype=torch.float32, output_loading_info=True
        )

    model, info = _fetch(load, "weights", weights, wanted)
    # transformers would leave these at random values and only log it.
    unusable = [*info["missing_keys"], *(entry[0] for entry in info["mismatched_keys"])]
    if unusable:
        some = ", ".join(sorted(unusable)[:3])
        raise _problem("weights", weights, f"weights for all of the model; {len(unusable)} don't fit: {some}")
    return model, _tokenizer("weights", weights)


def text_encoder(place: str) -> tuple[BertConfig, Any]:
    """The config and tokenizer of the BERT that a released checkpoint holds the weights of."""
    from transformers import AutoConfig

    _refuse_missing_folder("text_encoder", place)
    config = _fetch(
        AutoConfig.from_pretrained, "text_encoder", place, "a BERT's config.json and tokenizer files"
    )
    if config.model_type != "bert":
        raise _problem("text_encoder", place, f"a BERT, not a {config.model_type} model")
    return config, _tokenizer("text_encoder", place)


def _tokenizer(field: str, place: str) -> Any:
    from transformers import AutoTokenizer

    tokenizer = _fetch(AutoTokenizer.from_pretrained, field, place, "tokenizer files, such as vocab.txt")
    ids = tuple(tokenizer.convert_tokens_to_ids(list(DELIMITERS)))
    if ids != DELIMITER_IDS:
        raise _problem(field, place, f"a tokenizer with the ids {DELIMITER_IDS} for {DELIMITERS}, not {ids}")
    return tokenizer


def _refuse_missing_folder(field: str, place: str) -> None:
    path = Path(place).expanduser()
    looks_like_a_path = place.startswith(("/", ".", "~")) or place.count("/") > 1  # a hub id is "owner/name"
    if looks_like_a_path and not path.is_dir():
        raise _problem(
            field, place, "a local directory in transformers' format, or a hub id; this path is neither"
        )


def _fetch(load: Callable[[str], Any], field: str, place: str, wanted: str) -> Any:
    from safetensors import SafetensorError

    path = Path(place).expanduser()
    try:
        return load(str(path) if path.is_dir() else place)
    # Missing or unreadable files; RuntimeError is for tensors of another shape than the config's.
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        reason = str(error).strip().split("\n")[0][:300]
        raise _problem(field, place, f"{wanted}, in a local directory or on the hub ({reason})") from error


def _problem(field: str, value: str, expected: str) -> InputError:
    return InputError(Problem("extraction config", expected, column=f"detector.{field}", value=value))
