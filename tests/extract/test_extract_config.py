import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from rhas.extract.config import (
    DecodeConfig,
    DetectorConfig,
    EncoderConfig,
    ExtractConfig,
    RunOptions,
    config_from_dict,
    load_config,
    preset_names,
)
from rhas.manifests.common.errors import InputError


def problems(call, *args, **kwargs):
    """(file, column, value) of every problem that a call raises."""
    with pytest.raises(InputError) as caught:
        call(*args, **kwargs)
    assert all(p.expected for p in caught.value.problems)
    return [(str(p.file), p.column, p.value) for p in caught.value.problems]


# --- presets and overrides


@pytest.mark.parametrize("name", preset_names())
def test_every_shipped_preset_loads(name):
    config = load_config(name)
    assert config.precision == ("float32" if name in ("mini", "tiny-random") else "auto")
    assert config.decode.fps == (5.0 if name == "mini" else 15.0)
    assert config.encoder.kind == ("clip" if name == "clip" else "blip2")


def test_shipped_presets():
    assert preset_names() == ["blip2", "clip", "mini", "tiny-random"]
    tiny = load_config("tiny-random")
    assert (tiny.decode.window_frames, tiny.detector.short_side, tiny.encoder.weights) == (
        64,
        96,
        "random:tiny",
    )


def test_overrides_win_over_the_preset_and_later_ones_over_earlier():
    config = load_config(
        "clip",
        ["decode.fps=30", "decode.short_side=360", "detector.joint=true", "precision=float32", "decode.fps=7.5",
         "detector.weights=/models/grounding=dino.pth"],
    )  # fmt: skip
    assert config.decode == DecodeConfig(fps=7.5, short_side=360)
    assert config.detector.joint and config.precision == "float32"
    assert config.detector.weights == "/models/grounding=dino.pth"
    assert config.encoder.kind == "clip"


@pytest.mark.parametrize("text", ["null", "native", ""])
def test_no_fps_keeps_every_frame(text):
    assert load_config("blip2", [f"decode.fps={text}"]).decode.fps is None


def test_whole_numbers_are_taken_for_fractions_but_not_the_other_way_round():
    fps = load_config("blip2", ["decode.fps=30"]).decode.fps
    assert (fps, type(fps)) == (30.0, float)  # or the identity of windows would depend on how it was written
    assert problems(load_config, "blip2", ["decode.short_side=480.0"]) == [
        ("--set", "decode.short_side", 480.0)
    ]


def test_several_bad_settings_are_reported_together():
    overrides = ["decode.fps=0", "detector.score=median", "detector.nms_iou=2", "encoder.nosuch=1"]
    assert problems(load_config, "blip2", overrides) == [
        ("--set", "decode.fps", 0.0),
        ("--set", "detector.score", "median"),
        ("--set", "detector.nms_iou", 2.0),
        ("--set", "encoder.nosuch", 1),
    ]


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ("decode.fps", ("--set", None, "decode.fps")),
        ("nosuch.key=1", ("--set", None, "nosuch.key=1")),
        ("decode.fps.deep=1", ("--set", None, "decode.fps.deep=1")),
        ("nosuch=1", ("--set", "nosuch", 1)),
        ("decode=5", ("--set", "decode", 5)),
        ("decode.fps=fast", ("--set", "decode.fps", "fast")),
        ("decode.fps=true", ("--set", "decode.fps", True)),
        ("decode.fps=.nan", None),
        ("decode.fps=[1]", ("--set", "decode.fps", [1])),
        ("decode.fps=[", ("--set", "decode.fps", "[")),
        ("decode.short_side=true", ("--set", "decode.short_side", True)),
        ("decode.short_side=", ("--set", "decode.short_side", "null")),
        ("detector.joint=1", ("--set", "detector.joint", 1)),
        (f"decode.fps=1{'0' * 400}", ("--set", "decode.fps", 10**400)),
    ],
)  # fmt: skip
def test_bad_overrides(override, problem):
    found = problems(load_config, "blip2", [override])
    assert found == [problem] if problem else found[0][:2] == ("--set", "decode.fps")


# --- YAML files


def write(tmp_path, text):
    path = tmp_path / "mine.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize("text", ["", "# nothing\n", "decode:\n", "{}"])
def test_an_empty_file_or_section_means_defaults(tmp_path, text):
    path = write(tmp_path, text)
    assert load_config(str(path)) == ExtractConfig()
    assert load_config(str(path), ["decode.fps=3"]).decode.fps == 3.0


@pytest.mark.parametrize(
    ("text", "column", "value"),
    [
        ("decode: {fps: -1}", "decode.fps", -1.0),
        ("decode: {nosuch: 1}", "decode.nosuch", 1),
        ("nosuch: 1", "nosuch", 1),
        ("1: 2", "1", 2),
        ("encoder: [1]", "encoder", [1]),
        ("- a", None, ["a"]),
        ("false", None, False),
        ("encoder: {kind: clip, tokens: all}", "encoder.tokens", "all"),
        ("detector: {short_side: 900, long_side: 800}", "detector.short_side", 900),
        ("precision: half", "precision", "half"),
    ],
)
def test_bad_files_are_named_with_key_and_value(tmp_path, text, column, value):
    path = write(tmp_path, text)
    assert problems(load_config, str(path)) == [(str(path), column, value)]
    assert problems(load_config, str(path), ["decode.fps=5"]) == [(str(path), column, value)]


@pytest.mark.parametrize("text", ["decode: [", "a: b: c", b"\xff\xfe\x00", "x: \x07"])
def test_unreadable_files(tmp_path, text):
    path = write(tmp_path, text)
    assert problems(load_config, str(path)) == [(str(path), None, None)]


def test_an_unknown_preset_names_those_there_are(tmp_path):
    with pytest.raises(
        InputError, match="got 'nosuch': expected one of blip2, clip, mini, tiny-random or a YAML file"
    ):
        load_config("nosuch")
    assert problems(load_config, str(tmp_path)) == [("--preset", None, str(tmp_path))]


# --- construction


@pytest.mark.parametrize(
    ("cls", "values", "columns"),
    [
        (DecodeConfig, {"fps": 0.0}, ["fps"]),
        (DecodeConfig, {"fps": 1000.5}, ["fps"]),
        (DecodeConfig, {"fps": float("nan")}, ["fps"]),
        (DecodeConfig, {"short_side": 15}, ["short_side"]),
        (
            DecodeConfig,
            {"short_side": 8193, "window_frames": 0},
            ["short_side", "window_frames"],
        ),
        (DecodeConfig, {"window_frames": 65537}, ["window_frames"]),
        (DetectorConfig, {"implementation": "other"}, ["implementation"]),
        (DetectorConfig, {"backbone": "resnet"}, ["backbone"]),
        (DetectorConfig, {"score": "median"}, ["score"]),
        (DetectorConfig, {"short_side": 15}, ["short_side"]),
        (DetectorConfig, {"long_side": 799}, ["short_side"]),
        (DetectorConfig, {"long_side": 8193}, ["long_side"]),
        (DetectorConfig, {"box_threshold": -0.1}, ["box_threshold"]),
        (DetectorConfig, {"nms_iou": 1.1}, ["nms_iou"]),
        (DetectorConfig, {"follow_frames": -1}, ["follow_frames"]),
        (DetectorConfig, {"follow_frames": 4097}, ["follow_frames"]),
        (EncoderConfig, {"kind": "dino"}, ["kind"]),
        (EncoderConfig, {"tokens": "some"}, ["tokens"]),
        (EncoderConfig, {"kind": "clip", "tokens": "all"}, ["tokens"]),
        (EncoderConfig, {"crop_margin": 2.1}, ["crop_margin"]),
        (ExtractConfig, {"precision": "float16"}, ["precision"]),
        (RunOptions, {"gpus": -1}, ["gpus"]),
        (RunOptions, {"cpus": 0, "workers": 0, "decoders": 0}, ["cpus", "workers", "decoders"]),
        (RunOptions, {"gpus": 2, "workers": 1}, ["workers"]),
        (RunOptions, {"batch": 0}, ["batch"]),
        (RunOptions, {"memory_bytes": 1 << 19}, ["memory_bytes"]),
        (RunOptions, {"span_windows": 0}, ["span_windows"]),
        (RunOptions, {"deadline_s": 0.0}, ["deadline_s"]),
        (RunOptions, {"deadline_s": float("nan")}, ["deadline_s"]),
        (RunOptions, {"attempts": 0}, ["attempts"]),
        (RunOptions, {"max_failure_rate": 1.5}, ["max_failure_rate"]),
    ],
)
def test_fields_are_checked_on_construction(cls, values, columns):
    file = {RunOptions: "run options", ExtractConfig: "extraction config"}.get(cls, cls.__name__)
    assert [(f, c) for f, c, _ in problems(cls, **values)] == [(file, column) for column in columns]


def test_bounds_are_inclusive():
    DecodeConfig(fps=1000.0, short_side=16, window_frames=1)
    DetectorConfig(short_side=8192, long_side=8192, box_threshold=0.0, nms_iou=1.0, follow_frames=4096)
    EncoderConfig(crop_margin=2.0)
    RunOptions(gpus=1, cpus=1, decoders=1, memory_bytes=1 << 20, max_failure_rate=0.0)


def test_resolved_precision():
    assert ExtractConfig().resolved(bfloat16=True).precision == "bfloat16"
    assert ExtractConfig().resolved(bfloat16=False).precision == "float32"
    assert ExtractConfig(precision="float32").resolved(bfloat16=True).precision == "float32"


@pytest.mark.parametrize("recorded", [{"precision": "bfloat16"}, {"precision": "half"}, {}, [], None])
def test_auto_precision_is_what_a_folder_was_begun_with(recorded):
    known = recorded == {"precision": "bfloat16"}
    assert ExtractConfig().as_begun(recorded).precision == ("bfloat16" if known else "auto")
    assert ExtractConfig(precision="float32").as_begun(recorded).precision == "float32"


configs = st.builds(
    ExtractConfig,
    decode=st.builds(DecodeConfig, fps=st.none() | st.floats(0.001, 1000), short_side=st.integers(16, 8192)),
    detector=st.builds(
        DetectorConfig, weights=st.text(), box_threshold=st.floats(0, 1), joint=st.booleans(),
        score=st.sampled_from(["max", "mean"]),
    ),
    encoder=st.builds(EncoderConfig, tokens=st.sampled_from(["mean", "all"]), crop_margin=st.floats(0, 2)),
    precision=st.sampled_from(["auto", "float32", "bfloat16"]),
)  # fmt: skip


@given(configs)
def test_a_saved_config_is_read_back_as_it_was(config):
    assert config_from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_from_dict_names_the_file():
    assert problems(config_from_dict, {"decode": {"fps": -1.0}}, "x.json") == [("x.json", "decode.fps", -1.0)]


def test_configs_are_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        ExtractConfig().decode.fps = 3.0
