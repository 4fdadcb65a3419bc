"""Systems, seeds and folds of a benchmark, and what can't be run."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from training_folders import labelled_movie, write_training_folder

from rhas.manifests.common.errors import InputError
from rhas.train.benchmark.plan import begin, load_systems, systems_of, trials
from rhas.train.benchmark.results import gather
from rhas.train.config import load_config


def test_folds_are_runs_of_their_own(tmp_path: Path) -> None:
    planned = trials(systems_of(["actdiff", "ltcontext"]), load_config("small"), [], 2, tmp_path, (1, 3))
    assert [trial.name for trial in planned[:4]] == [
        "actdiff-seed0-fold1", "ltcontext-seed0-fold1", "actdiff-seed0-fold3", "ltcontext-seed0-fold3",
    ]  # fmt: skip
    assert len({trial.folder.root for trial in planned}) == 8
    assert {(trial.config.data.split, trial.config.data.fold) for trial in planned} == {
        ("fold", 1),
        ("fold", 3),
    }
    results = gather(planned, {})
    assert results.runs["fold"].tolist() == [1, 1, 3, 3] * 2
    assert list(results.table.index) == ["actdiff", "ltcontext"]
    assert {trial.config.data.seed for trial in planned} == {0}  # a fold is what it is


@pytest.mark.parametrize(
    ("split", "seeds"), [("random", [5, 6, 7]), ("cross-movie", [5, 6, 7]), ("manifest", [5] * 3)]
)
def test_a_seed_draws_a_split_for_all_systems(tmp_path: Path, split: str, seeds: list[int]) -> None:
    given = [f"data.split={split}", "data.seed=5"]
    planned = trials(systems_of(["actdiff", "ltcontext"]), load_config("small"), given, 3, tmp_path)
    for name in ("actdiff", "ltcontext"):
        own = [trial.config for trial in planned if trial.system.name == name]
        assert [config.seed for config in own] == [0, 1, 2]
        assert [config.data.seed for config in own] == seeds


def test_systems_share_the_link_and_keep_their_own_losses(tmp_path: Path) -> None:
    (other,) = trials(systems_of(["ltcontext"]), load_config("actdiff-gtea"), [], 1, tmp_path)
    assert other.config.settings["link"] == "softmax" and other.config.settings["losses"]["smoothing"] == 0.17
    assert other.config.data.soft_sigma == 1.4
    (other,) = trials(systems_of(["hopadiff"]), load_config("actdiff-50salads"), [], 1, tmp_path)
    assert other.config.settings["link"] == "softmax"
    assert other.config.settings["boundary"] == {
        "sigma": 20.0,
        "weight": 1.0,
        "kept_below": 0.3,
        "target": "curve",
    }


def test_the_ablation_leaves_out_each_part(tmp_path: Path) -> None:
    planned = {
        t.system.name: t for t in trials(load_systems("ablation"), load_config("paper"), [], 1, tmp_path)
    }
    base = planned["hopadiff"].config.settings
    # What the paper has anyway isn't run under a second name.
    had = {"fourier-dft", "own-condition", "as-the-paper", "without-smoothing", "one-threshold", "bce-mean",
           "boundary-curve", "blanked-as-actdiff", "without-augmentation", "without-average"}  # fmt: skip
    assert len(planned) == 21 and not had & set(planned)
    ours = trials(load_systems("ablation"), load_config("small"), [], 1, tmp_path)
    settings = {t.system.name: t.config.settings for t in ours}
    assert settings["hopadiff"]["shared_condition"] and settings["hopadiff"]["decoder"]["condition_input"]
    assert "fourier-dft" in settings and "fourier-bands" not in settings
    assert not settings["own-condition"]["shared_condition"]
    assert not settings["as-the-paper"]["decoder"]["condition_input"]
    assert settings["actdiff-partial"]["decoder"] == settings["hopadiff"]["decoder"]
    assert planned["without-hp-xlstm"].config.settings["hp_xlstm"] is None
    assert planned["without-bca"].config.settings["hp_xlstm"] == {**base["hp_xlstm"], "cross_gates": False}
    assert planned["actdiff-partial"].config.settings["encoder"] == base["encoder"]
    assert "hp_xlstm" not in planned["actdiff-partial"].config.settings
    assert planned["ltcontext"].config.settings["stream"] == "both"
    assert planned["fact"].config.readout.shares is None  # its two heads' are chosen


def test_what_reads_the_weights_of_another_differs_in_its_reading_alone(tmp_path: Path) -> None:
    given = ["readout.heads=null", "readout.smoothing=null", "readout.by_class=true"]
    planned = trials(load_systems("ablation"), load_config("small"), given, 1, tmp_path, (2,))
    readers = {t.system.name: t for t in planned if t.source is not None}
    assert list(readers) == [
        "decoder",
        "partial-encoder",
        "holistic-encoder",
        "one-step",
        "without-smoothing",
        "one-threshold",
        "durations",
        "durations-alone",
    ]
    base = next(t for t in planned if t.system.name == "hopadiff").config
    assert {t.source for t in readers.values()} == {"hopadiff-seed0-fold2"}
    assert readers["partial-encoder"].config.readout.heads == ("partial_encoder",)
    assert readers["one-step"].config.settings["diffusion"]["sampling_steps"] == 1
    assert base.readout.heads is None and base.settings["diffusion"]["sampling_steps"] == 8
    for trial in readers.values():
        kept = {name: value for name, value in trial.config.settings.items() if name != "diffusion"}
        assert kept == {name: base.settings[name] for name in kept} and trial.config.data == base.data


def test_the_weights_of_what_is_not_run_are_those_of_its_equal(tmp_path: Path) -> None:
    preset = tmp_path / "mine.yaml"
    preset.write_text(
        "a: {model: actdiff}\nsame: {model: actdiff}\n"
        "b: {from: same, set: [postprocess.median=5]}\nc: {from: a}\n"
    )
    planned = trials(load_systems(str(preset)), load_config("small"), [], 1, tmp_path)
    assert [(t.name, t.source) for t in planned] == [("a-seed0", None), ("b-seed0", "a-seed0")]


def test_a_run_that_was_trained_does_not_become_a_reading(tmp_path: Path) -> None:
    write_training_folder(tmp_path / "features", [labelled_movie("m", 40)])
    preset, out = tmp_path / "mine.yaml", tmp_path / "out"
    for b in ("{model: actdiff, set: [postprocess.median=5]}", "{from: a, set: [postprocess.median=5]}"):
        preset.write_text(f"a: {{model: actdiff}}\nb: {b}\n")
        planned = trials(load_systems(str(preset)), load_config("small"), [], 1, out)
        if "model" in b:
            begin(planned, tmp_path / "features", out)
    with pytest.raises(
        InputError, match=r"b-seed0/planned\.yaml, column from: got 'a-seed0': expected .* trained"
    ):
        begin(planned, tmp_path / "features", out)


def test_a_setting_that_there_was_not_then_is_its_default(tmp_path: Path) -> None:
    write_training_folder(tmp_path / "features", [labelled_movie("m", 40)])
    out = tmp_path / "out"
    (trial,) = trials(systems_of(["actdiff"]), load_config("small"), [], 1, out)
    begin([trial], tmp_path / "features", out)
    before = yaml.safe_load(trial.folder.planned.read_text())
    del before["augment"]["mask"]
    trial.folder.planned.write_text(yaml.safe_dump(before))
    begin([trial], tmp_path / "features", out)
    (other,) = trials(systems_of(["actdiff"]), load_config("small"), ["augment.mask=0.5"], 1, out)
    with pytest.raises(InputError, match=r"augment\.mask"):
        begin([other], tmp_path / "features", out)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("{from: a, set: [settings.encoder.layers=7]}", "system b, column settings.encoder.layers: got '7'"),
        ("{from: a, set: [optimiser.lr=0.5]}", "system b, column optimiser.lr"),
        ("{from: z}", "column b: got 'z': expected from one of the systems above it that are trained: a"),
        ("{from: a, model: actdiff}", "column b: .*from: SYSTEM"),
    ],
)
def test_other_weights_than_those_of_its_source_are_refused(tmp_path: Path, line: str, expected: str) -> None:
    preset = tmp_path / "mine.yaml"
    preset.write_text(f"a: {{model: actdiff}}\nb: {line}\n")
    with pytest.raises(InputError, match=expected):
        trials(load_systems(str(preset)), load_config("small"), [], 1, tmp_path)


def test_settings_go_to_the_systems_that_know_them(tmp_path: Path) -> None:
    given = [
        "settings.network.layers=2",
        "settings.encoder.layers=3",
        "settings.encoder.condition_layers=[0]",
    ]
    one, other = trials(systems_of(["actdiff", "ltcontext"]), load_config("paper"), given, 1, tmp_path)
    assert one.config.settings["encoder"]["layers"] == 3 and "network" not in one.config.settings
    assert other.config.settings["network"]["layers"] == 2 and "encoder" not in other.config.settings


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("settings.encodr.layers=3", "a setting of one of the systems: .*encoder"),
        ("settings.encoder.layer=3", "one of layers, width"),
        ("seed=4", "a setting that runs have in common"),
        ("model=actdiff", "a setting that runs have in common"),
        ("optimizer.lr=1", "section.key=value.*did you mean 'optimiser'"),
    ],
)
def test_an_override_without_effect_is_refused(tmp_path: Path, override: str, expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        trials(systems_of(["actdiff", "ltcontext"]), load_config(), [override], 1, tmp_path)


def test_what_can_not_be_run_is_named(tmp_path: Path) -> None:
    preset = tmp_path / "mine.yaml"
    preset.write_text("a: {model: actdiff, seeds: 3}\n../b: {model: actdiff}\n")
    with pytest.raises(
        InputError, match=r"column a(.|\n)*column \.\./b: expected a name that a folder can have"
    ):
        load_systems(str(preset))
    with pytest.raises(
        InputError, match="one of ablation, anticipation, field, grounding, tokens or a YAML file"
    ):
        load_systems("everything")
    with pytest.raises(InputError, match="--seeds"):
        trials(systems_of(["actdiff"]), load_config(), [], 0, tmp_path)
    with pytest.raises(InputError, match="each system once"):
        trials(systems_of(["actdiff", "actdiff"]), load_config(), [], 1, tmp_path)
    with pytest.raises(InputError, match="model"):
        trials(systems_of(["other"]), load_config(), [], 1, tmp_path)


def test_a_model_that_takes_tokens_gets_them_whatever_the_base(tmp_path: Path) -> None:
    planned = {
        t.system.name: t.config for t in trials(load_systems("tokens"), load_config(), [], 1, tmp_path)
    }
    assert planned["hopadiff"].data.tokens == "mean" and not planned["hopadiff"].data.sentence
    for name, config in planned.items():
        if name != "hopadiff":
            channels = name not in ("without-places", "without-boxes")
            needed = ("all", name != "without-sentence", channels)
            assert (config.data.tokens, config.data.sentence, config.data.boxes.channels) == needed, name
            assert config.settings["losses"]["over_classes"] == "sum"
