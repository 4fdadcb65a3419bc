"""`rhas config`: presets listed, resolved and described, of both stages."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from typer.testing import CliRunner

from rhas.extract.config import config_from_dict as extract_config
from rhas.extract.config import load_config as load_extract_config
from rhas.manifests.common.configs import preset_names
from rhas.manifests.common.errors import InputError
from rhas.pipeline.cli import app
from rhas.pipeline.programs.presets import FOLDERS
from rhas.train.config import config_from_dict as train_config
from rhas.train.config import load_config as load_train_config
from rhas.train.runs.settings import with_model_settings

PRESETS = [(stage, name) for stage, folder in FOLDERS.items() for name in preset_names(folder)]
every_preset = pytest.mark.parametrize(("stage", "name"), PRESETS)


def printed(*arguments: str) -> str:
    """What `rhas config` prints; errors as they are raised."""
    done = CliRunner().invoke(app, ["config", *arguments])
    if isinstance(done.exception, InputError):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.stdout


def test_all_presets_are_listed_with_what_they_are() -> None:
    code = "import sys; from rhas.pipeline.cli import app; app(['config', '--list'], standalone_mode=False)\n"
    code += "print(sorted({'torch', 'transformers', 'ray'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    *lines, heavy = done.stdout.splitlines()
    assert [tuple(line.split()[:2]) for line in lines] == PRESETS and heavy == "[]"
    for line, (stage, name) in zip(lines, PRESETS, strict=True):
        text = line.split(maxsplit=2)[2]
        assert f"# {text}\n" in (FOLDERS[stage] / f"{name}.yaml").read_text() and text.endswith((".", ":"))


@every_preset
def test_a_resolved_preset_has_all_settings_and_is_a_preset_again(
    stage: str, name: str, tmp_path: Path
) -> None:
    text = printed(name)
    again = tmp_path / "again.yaml"
    again.write_text(text)
    assert printed(str(again), "--stage", stage) == text
    values = yaml.safe_load(text)
    if stage == "extract":
        assert extract_config(values) == load_extract_config(name)
    else:
        loaded = load_train_config(name)
        assert train_config(values) == with_model_settings(loaded)
        assert values["settings"]["link"] and set(loaded.settings) <= set(values["settings"])


@every_preset
def test_presets_follow_their_schema(stage: str, name: str) -> None:
    schema = json.loads(printed(name, "--schema"))
    jsonschema.Draft202012Validator.check_schema(schema)
    for text in (printed(name), (FOLDERS[stage] / f"{name}.yaml").read_text()):
        jsonschema.validate(yaml.safe_load(text), schema)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("blip2", {"nosuch": 1}),
        ("blip2", {"decode": {"fps": 0}}),
        ("blip2", {"decode": {"short_side": "480"}}),
        ("blip2", {"encoder": {"tokens": "some"}}),
        ("blip2", {"encoder": {"kind": "dino"}}),
        ("blip2", {"detector": {"implementation": "dino"}}),
        ("paper", {"epochs": 0}),
        ("paper", {"settings": {"encoder": {"dropout": 1}}}),
        ("paper", {"settings": {"stream": "partial"}}),  # ActDiff's
        ("paper", {"data": {"proportions": [1, 2]}}),
    ],
)
def test_what_is_refused_does_not_follow_the_schema(name: str, values: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(values, json.loads(printed(name, "--schema")))
    with pytest.raises(InputError):
        with_model_settings(train_config(values)) if name == "paper" else extract_config(values)


def test_kinds_of_other_packages_are_in_the_schema_where_they_are_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "elsewhere-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: elsewhere\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[rhas.encoders]\ndino = nowhere:Dino\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    jsonschema.validate({"encoder": {"kind": "dino"}}, json.loads(printed("blip2", "--schema")))


def test_settings_can_be_set_and_all_wrong_ones_are_told() -> None:
    values = yaml.safe_load(
        printed("paper", "--set", "settings.encoder.layers=10", "--set", "optimiser.lr=1e-3")
    )
    assert values["settings"]["encoder"]["layers"] == 10 and values["optimiser"]["lr"] == 1e-3
    assert yaml.safe_load(printed("blip2", "--set", "decode.fps=native"))["decode"]["fps"] is None
    with pytest.raises(InputError) as caught:
        printed("actdiff-gtea", "--set", "settings.losses.ce=2", "--set", "settings.boundary.sigma=0")
    assert str(caught.value).splitlines() == [
        "actdiff-gtea with --set, column settings.losses.ce: got 2: "
        "expected one of cross_entropy, smoothing, over_classes",
        "actdiff-gtea with --set, column settings.boundary.sigma: got 0: expected a number above 0",
    ]


def test_the_stage_is_asked_for_where_a_file_could_be_of_either(tmp_path: Path, monkeypatch: Any) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("precision: float32\n")
    with pytest.raises(InputError, match=r"--stage: expected extract or train, since .*own\.yaml could be"):
        printed(str(own))
    assert "window_frames" in printed(str(own), "--stage", "extract")
    assert "epochs" in printed(str(own), "--stage", "train")
    with pytest.raises(InputError, match="got 'other': expected one of extract, train"):
        printed("paper", "--stage", "other")
    with pytest.raises(InputError, match=r"got 'papr': expected one of blip2, .*paper.* or a YAML file"):
        printed("papr")
    with pytest.raises(InputError, match="--preset: got 'paper': expected one of blip2, clip"):
        printed("paper", "--stage", "extract")
    own.write_text("settings: {encoder: {layer: 3}}\n")
    with pytest.raises(InputError, match=r"own\.yaml, column settings\.encoder\.layer: got 3"):
        printed(str(own), "--stage", "train")
    (tmp_path / "blip2.yaml").write_text("# Of the other stage.\nmodel: actdiff\n")
    monkeypatch.setitem(FOLDERS, "train", tmp_path)
    with pytest.raises(InputError, match="extract or train, since blip2 could be of either"):
        printed("blip2")


@pytest.mark.parametrize("arguments", [[], ["paper", "--list"]])
def test_a_preset_or_the_list(arguments: list[str]) -> None:
    done = CliRunner().invoke(app, ["config", *arguments])
    assert done.exit_code == 2 and "either a preset or --list" in done.output
