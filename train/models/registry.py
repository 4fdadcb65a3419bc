"""The models by name. A new one is a file with a config and a `Segmenter`, and one line at the end here.

    model = build_model("hopadiff", feature_size=768, classes=137, config={"fourier": {"variant": "bands"}})

Other packages add theirs by an entry point in the group `rhas.models`: a module that calls `register`.

Configs come as plain mappings, as read from YAML: what is left out keeps the model's default, and a key that
isn't known or a value of another type is an InputError.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, TypeVar

from rhas.manifests.common.configs import Settings, from_mapping
from rhas.manifests.common.errors import InputError, Problem
from rhas.train.models.actdiff.segmenter import ActDiffSegmenter, ActDiffSegmenterConfig
from rhas.train.models.actfusion.segmenter import ActFusionConfig, ActFusionSegmenter
from rhas.train.models.asformer.segmenter import ASFormerConfig, ASFormerSegmenter
from rhas.train.models.asquery.segmenter import ASQueryConfig, ASQuerySegmenter
from rhas.train.models.fact.config import FACTConfig
from rhas.train.models.fact.segmenter import FACTSegmenter
from rhas.train.models.futr.segmenter import FUTRConfig, FUTRSegmenter
from rhas.train.models.hopadiff.config import HopaDIFFConfig
from rhas.train.models.hopadiff.segmenter import HopaDIFF
from rhas.train.models.losses import BoundaryConfig
from rhas.train.models.ltcontext.segmenter import LTContextConfig, LTContextSegmenter
from rhas.train.models.mstcn.segmenter import MSTCNConfig, MSTCNSegmenter
from rhas.train.models.refatomnet.config import RefAtomNetConfig
from rhas.train.models.refatomnet.segmenter import RefAtomNetSegmenter
from rhas.train.models.segmenter import Anticipator, Segmenter

C = TypeVar("C", bound=Settings)
GROUP = "rhas.models"


@dataclass(frozen=True)
class _Model:
    config_type: type[Settings]
    build: Callable[[int, int, Any], Segmenter]


_MODELS: dict[str, _Model] = {}


def register(name: str, config_type: type[C], build: Callable[[int, int, C], Segmenter]) -> None:
    """Makes a model known. `build` gets the feature size, the number of classes and the config.

    All settings of the config have defaults.
    """
    assert name not in _MODELS, f"got {name = } twice"
    _MODELS[name] = _Model(config_type, build)


def model_names() -> list[str]:
    """The names of all models, sorted."""
    _load_others()
    return sorted(_MODELS)


def model_config(
    name: str, values: Mapping[str, Any] | None = None, file: str | Path = "model config", section: str = ""
) -> Any:
    """The checked config of a model from plain values; errors name `file`, and `section` in it.

    Raises InputError for an unknown model, and one for all unknown keys and wrong values.
    """
    start = _model(name).config_type()
    # Null leaves a part out where a model knows that, so elsewhere it must not mean the default.
    return from_mapping(start, {} if values is None else values, file, section=section, empty_sections=False)


def boundary_sigma(name: str, values: Mapping[str, Any]) -> float | None:
    """The width of the boundary curve that a model learns from, of its section `boundary`; None if it has none."""
    boundary = getattr(model_config(name, values), "boundary", None)
    return boundary.sigma if isinstance(boundary, BoundaryConfig) else None


def data_needs(name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Data settings that a model decides, by what its config's `data_needs` says: dotted names to values."""
    needs = getattr(model_config(name, values), "data_needs", None)
    return {} if needs is None else dict(needs())


def anticipates(name: str) -> bool:
    """Whether a model is an `Anticipator`. Raises InputError for an unknown model."""
    build = _model(name).build
    return isinstance(build, type) and issubclass(build, Anticipator)


def build_model(name: str, feature_size: int, classes: int, config: Any = None) -> Segmenter:
    """A model with fresh weights. `config` is the model's own, or plain values for `model_config`."""
    model = _model(name)
    if not isinstance(config, model.config_type):
        config = model_config(name, config)
    return model.build(feature_size, classes, config)


@cache
def _load_others() -> None:
    """Models of other packages that are installed. Raises InputError, naming the package, for one that can't be."""
    for entry in entry_points(group=GROUP):
        try:
            entry.load()
        except Exception as error:
            package = entry.dist.name if entry.dist else entry.value
            expected = (
                f"a module that can be imported and calls rhas.train.models.registry.register ({error})"
            )
            raise InputError(
                Problem(f"entry point {GROUP} of {package}", expected, value=entry.value)
            ) from error


def _model(name: str) -> _Model:
    if name not in _MODELS:
        _load_others()
    if name not in _MODELS:
        raise InputError(Problem("model", f"one of {', '.join(model_names())}", column="name", value=name))
    return _MODELS[name]


register("actdiff", ActDiffSegmenterConfig, ActDiffSegmenter)
register("actfusion", ActFusionConfig, ActFusionSegmenter)
register("asformer", ASFormerConfig, ASFormerSegmenter)
register("asquery", ASQueryConfig, ASQuerySegmenter)
register("fact", FACTConfig, FACTSegmenter)
register("futr", FUTRConfig, FUTRSegmenter)
register("hopadiff", HopaDIFFConfig, HopaDIFF)
register("ltcontext", LTContextConfig, LTContextSegmenter)
register("mstcn", MSTCNConfig, MSTCNSegmenter)
register("refatomnet", RefAtomNetConfig, RefAtomNetSegmenter)
