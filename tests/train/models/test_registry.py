"""The registry: models by name from plain values, and what it refuses."""

from __future__ import annotations

import pytest

from rhas.manifests.common.configs import Settings
from rhas.manifests.common.errors import InputError
from rhas.train.models import registry
from rhas.train.models.actdiff.segmenter import ActDiffSegmenter, ActDiffSegmenterConfig
from rhas.train.models.hopadiff.config import HopaDIFFConfig
from rhas.train.models.hopadiff.segmenter import HopaDIFF
from rhas.train.models.registry import boundary_sigma, build_model, model_config, model_names, register
from rhas.train.models.segmenter import Segmenter

SMALL = {
    "encoder": {"layers": 2, "width": 8, "condition_layers": [0, 1]},
    "decoder": {"layers": 2, "width": 8, "time_width": 8},
}


def test_models_are_built_by_name() -> None:
    assert {"actdiff", "hopadiff"} <= set(model_names())  # and what other tests register
    hopadiff = build_model("hopadiff", 6, 4, {**SMALL, "hp_xlstm": None})
    assert isinstance(hopadiff, HopaDIFF) and hopadiff.hp_xlstm is None
    config = ActDiffSegmenterConfig(**vars(model_config("actdiff", {**SMALL, "stream": "partial"})))
    actdiff = build_model("actdiff", 6, 4, config)
    assert isinstance(actdiff, ActDiffSegmenter) and actdiff.features.name == "partial"


def test_defaults_stay_the_models_own() -> None:
    assert model_config("hopadiff") == model_config("hopadiff", {}) == HopaDIFFConfig()
    values = {
        "losses": {"cross_entropy": 2},
        "hp_xlstm": {"cross_gates": False},
        "fourier": {"band_limits": [32, 4.5]},
    }
    config = model_config("hopadiff", values)
    assert config.losses == HopaDIFFConfig().losses.replace(cross_entropy=2.0)
    assert type(config.losses.cross_entropy) is float and config.losses.smoothing == 0
    assert not config.hp_xlstm.cross_gates and config.fourier.band_limits == (32.0, 4.5)
    assert model_config("actdiff", {"losses": {"smoothing": 4}}).losses.smoothing == 4.0


def test_the_boundary_curve_is_the_section_s() -> None:
    assert boundary_sigma("hopadiff", {}) == 1 and boundary_sigma("ltcontext", {}) is None
    assert boundary_sigma("actfusion", {"boundary": {"sigma": 20}}) == 20


def test_a_resolved_config_reads_back_as_itself() -> None:
    values = {"hp_xlstm": None, "boundary": {"weight": 2}}
    for config in (model_config("hopadiff"), model_config("hopadiff", values), model_config("actdiff")):
        name = "actdiff" if isinstance(config, ActDiffSegmenterConfig) else "hopadiff"
        assert model_config(name, config.to_dict()) == config


def test_an_unknown_model_is_told_the_known_ones() -> None:
    with pytest.raises(
        InputError,
        match="got 'hopadif': expected one of actdiff, actfusion, asformer, asquery, fact, futr, hopadiff, ltcontext",
    ):
        build_model("hopadif", 6, 4, {})


@pytest.mark.parametrize(
    ("values", "column", "expected"),
    [
        ({"encoders": {}}, "encoders", "(did you mean encoder?)"),
        ({"encoder": {"depth": 3}}, "encoder.depth", "one of layers, width"),
        ({"encoder": 3}, "encoder", "a mapping of layers"),
        ({"encoder": {"layers": 3.0}}, "encoder.layers", "a whole number"),
        ({"encoder": {"layers": True}}, "encoder.layers", "a whole number"),
        ({"encoder": {"dropout": "0.5"}}, "encoder.dropout", "a finite number"),
        ({"encoder": {"dropout": float("nan")}}, "encoder.dropout", "a finite number"),
        ({"encoder": {"condition_layers": 7}}, "encoder.condition_layers", "a list"),
        ({"encoder": {"condition_layers": [7, "8"]}}, "encoder.condition_layers", "a whole number"),
        ({"encoder": {"condition_layers": [40]}}, "encoder.condition_layers", "layers 0 to 11"),
        (
            {"condition_masks": {"kinds": ["fill"]}},
            "condition_masks.kinds",
            "'full', 'zero', 'boundary' or 'segment'",
        ),
        ({"link": []}, "link", "'softmax' or 'sigmoid'"),
        ({"fourier": {"variant": "dct"}}, "fourier.variant", "'dft', 'bands' or 'none'"),
        ({"diffusion": {"link": "softmax"}}, "diffusion.link", "one of steps, scale"),
        ({"losses": {"ce": 1}}, "losses.ce", "one of cross_entropy, smoothing"),
        ({"hp_xlstm": True}, "hp_xlstm", "a mapping of heads"),
        ({"fourier": None}, "fourier", "a mapping of variant"),
        ({"partial_branch": 0}, "partial_branch", "true or false"),
        ([], None, "a mapping of link, encoder"),
    ],
)
def test_wrong_values_are_refused(values: object, column: str | None, expected: str) -> None:
    with pytest.raises(InputError) as caught:
        model_config("hopadiff", values, "run.yaml")  # type: ignore[arg-type]
    (problem,) = caught.value.problems
    assert (problem.file, problem.column) == ("run.yaml", column) and expected in problem.expected


def test_all_wrong_values_are_told_at_once() -> None:
    with pytest.raises(InputError) as caught:
        model_config("actdiff", {"stream": "left", "encoder": {"layers": "x", "width": 0, "colour": 1}})
    assert [p.column for p in caught.value.problems] == [
        "encoder.layers",
        "encoder.width",
        "encoder.colour",
        "stream",
    ]


def test_a_model_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    class Config(Settings):
        size: int = 3

    def build(feature_size: int, classes: int, config: Config) -> Segmenter:
        return build_model("hopadiff", feature_size * config.size, classes, SMALL)

    monkeypatch.setattr(registry, "_MODELS", dict(registry._MODELS))
    register("own", Config, build)
    assert isinstance(build_model("own", 2, 4, {"size": 1}), Segmenter)
    with pytest.raises(AssertionError, match="twice"):
        register("own", Config, build)
