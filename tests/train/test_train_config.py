"""Configs of training: presets, overrides, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from rhas.manifests.common.errors import InputError
from rhas.train.config import (
    FREE,
    TrainConfig,
    config_from_dict,
    differences,
    load_config,
    preset_names,
    refused_changes,
    with_overrides,
)
from rhas.train.models.registry import build_model, model_config, model_names
from rhas.train.runs.settings import load_whole_config, with_model_settings


@pytest.mark.parametrize("name", preset_names())
def test_presets_load_and_their_models_can_be_built(name: str) -> None:
    config = load_config(name)
    settings = model_config(config.model, config.settings)
    if name == "small":
        build_model(config.model, 6, 3, settings)
    assert config_from_dict(config.to_dict()) == config


def test_the_paper_is_the_default() -> None:
    assert load_config("paper") == TrainConfig()


def test_overrides_take_their_fields_types() -> None:
    config = with_overrides(
        TrainConfig(),
        ["optimiser.lr=1e-3", "data.proportions=[3, 1, 1]", "data.split=random", "settings.encoder.width=32",
         "optimiser.clip_norm=1", "steps=7", "optimiser.clip_norm=null"],
    )  # fmt: skip
    assert config.optimiser.lr == 1e-3 and config.optimiser.clip_norm is None and config.steps == 7
    assert config.data.proportions == (3.0, 1.0, 1.0)
    assert config.settings == {"encoder": {"width": 32}}


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("epoch=3", "did you mean epochs"),
        ("data.windows=3", "data.windows"),
        ("batch=two", "int"),
        ("batch=0", "at least 1"),
        ("seed=true", "seed"),
        ("optimiser.lr=-1", "optimiser.lr"),
        ("precision=float16", "precision"),
        ("batch", "section.key=value"),
        ("batch.size=3", "section.key=value"),
        ("data.window=[", "YAML"),
    ],
)
def test_bad_overrides_are_named(override: str, named: str) -> None:
    with pytest.raises(InputError, match=r"--set") as caught:
        with_overrides(TrainConfig(), [override])
    assert named in str(caught.value)


def test_all_that_is_wrong_with_a_file_is_one_error(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text("batch: many\ndata: {window: null}\nlr: 3\n")
    with pytest.raises(InputError) as caught:
        load_config(str(path))
    assert [problem.column for problem in caught.value.problems] == ["data.window", "batch", "lr"]
    assert all(problem.file == path for problem in caught.value.problems)
    with pytest.raises(InputError, match="paper, refatomnet, small or a YAML file"):
        load_config("nothing")


def test_precision_is_resolved_by_the_hardware() -> None:
    assert TrainConfig().resolved(on_gpu=True).precision == "bfloat16"
    assert TrainConfig().resolved(on_gpu=False).precision == "float32"


def test_differences_are_dotted_names() -> None:
    one = {"a": 1, "b": {"c": [1], "d": None}}
    assert list(differences(one, {"a": 1, "b": {"c": [2]}, "e": 0})) == ["b.c", "b.d", "e"]


def test_a_number_that_is_none_does_not_become_null() -> None:
    config = with_overrides(with_overrides(TrainConfig(), ["settings.hp_xlstm=.nan"]), ["epochs=3"])
    with pytest.raises(InputError, match=r"column settings\.hp_xlstm: got nan: expected a mapping of heads"):
        with_model_settings(config)


@pytest.mark.parametrize(
    ("values", "column"),
    [
        ({"targets": {"boundary_sigma": 20}}, "targets"),
        ({"settings": {"diffusion": {"link": "softmax"}}}, "settings.diffusion.link"),
        ({"settings": {"losses": {"ce": 1, "smoothing": 0}}}, "settings.losses.ce"),
        (
            {"settings": {"condition_masks": {"boundary_below": 0.5}}},
            "settings.condition_masks.boundary_below",
        ),
    ],
)
def test_names_of_earlier_versions_are_refused(values: dict[str, object], column: str) -> None:
    with pytest.raises(InputError) as caught:
        with_model_settings(config_from_dict(values, "config.yaml"), "config.yaml")
    assert [(p.file, p.column) for p in caught.value.problems] == [("config.yaml", column)]
    assert "one of " in caught.value.problems[0].expected


def test_workers_are_four_on_a_gpu_and_none_on_a_cpu_unless_said() -> None:
    assert TrainConfig().workers is None
    assert (TrainConfig().resolved(True).workers, TrainConfig().resolved(False).workers) == (4, 0)
    assert (
        TrainConfig(workers=2).resolved(True).workers == TrainConfig(workers=2).resolved(False).workers == 2
    )
    assert not refused_changes(
        Path("c"),
        TrainConfig().to_dict(),
        load_config("paper", ["data.in_memory=true", "workers=1"]).to_dict(),
        "",
        FREE,
    )


def test_every_preset_goes_with_every_model() -> None:
    for preset in preset_names():
        for model in model_names():
            assert load_whole_config(preset, [f"model={model}"]).model == model
