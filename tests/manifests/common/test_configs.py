"""Configs from plain values: types, names and what is refused, whatever the settings."""

from __future__ import annotations

import json
import math
import pickle
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError

from rhas.manifests.common.configs import (
    Settings,
    from_mapping,
    overridden,
    preset_names,
    preset_path,
    read_yaml,
)
from rhas.manifests.common.errors import InputError


class Part(Settings):
    kind: Literal["mean", "max"] = "mean"
    rate: float = Field(0.5, ge=0)
    limits: tuple[float, float] = (1.0, 2.0)
    kinds: tuple[Literal["a", "b"], ...] = ("a",)

    def conflicts(self) -> Iterator[tuple[str, str]]:
        if self.kind == "max" and self.rate > 1e9:
            yield "rate", "at most 1e9 with kind max"


class Inner(Settings):
    part: Part = Part()


class Whole(Settings, title="the whole"):
    name: str = "x"
    count: int = 1
    flag: bool = False
    most: int | None = None
    part: Part = Part(rate=0.25)
    extra: Part | None = None
    inner: Inner = Inner()
    free: dict[str, Any] = Field({})
    anything: Any = None
    option: Literal["one", "two"] = "one"
    even: int = Field(2, multiple_of=2, lt=2**64)

    def conflicts(self) -> Iterator[tuple[str, str]]:
        if self.name == "narrow" and self.count > 5 < self.part.rate:
            yield "count", "at most 5, or part.rate"
            yield "part.rate", "at most 5, or count"


def columns(values: Any, **options: Any) -> list[str | None]:
    """The settings that an error names, in its order."""
    with pytest.raises(InputError) as caught:
        from_mapping(Whole(), values, "own.yaml", **options)
    assert all(problem.file == "own.yaml" and problem.expected for problem in caught.value.problems)
    return [problem.column for problem in caught.value.problems]


def test_values_take_their_fields_types() -> None:
    values = {
        "most": 3, "part": {"rate": 2, "limits": [1, 2.5], "kinds": ["b", "a"]}, "free": {"a": {"b": 1}},
        "anything": [1], "extra": {"kind": "max"}, "option": "two",
    }  # fmt: skip
    config = from_mapping(Whole(), values, "own.yaml")
    assert config.part == Part(rate=2.0, limits=(1.0, 2.5), kinds=("b", "a"))
    assert type(config.part.rate) is float and type(config.part.limits[0]) is float
    assert (config.most, config.free, config.anything) == (3, {"a": {"b": 1}}, [1])
    assert config.extra == Part(kind="max") and config.option == "two"


def test_a_section_starts_from_the_values_that_it_has() -> None:
    start = Whole(extra=Part(rate=4.0))
    config = from_mapping(start, {"part": {"kind": "max"}, "extra": {"kind": "max"}}, "own.yaml")
    assert config.part == Part(kind="max", rate=0.25) and config.extra == Part(kind="max", rate=4.0)


def test_null_is_a_value_where_the_type_says_so_and_else_an_empty_section() -> None:
    start = Whole(most=3, extra=Part(), part=Part(rate=4.0))
    config = from_mapping(start, {"most": None, "extra": None, "part": None}, "own.yaml")
    assert config == start.replace(most=None, extra=None)
    assert from_mapping(start, None, "own.yaml") == start
    assert columns({"part": None, "extra": None}, empty_sections=False) == ["part"]
    assert columns(None, empty_sections=False) == [None]


@pytest.mark.parametrize("text", ["1e-4", "1E4", "+2.5e+3", "-.5e1", "3.e0"])
def test_exponents_are_numbers(text: str) -> None:
    (value,) = from_mapping(Whole(), {"part": {"limits": [text, 1]}}, "own.yaml").part.limits[:1]
    assert value == float(text)


@pytest.mark.parametrize(
    ("values", "column", "expected", "got"),
    [
        ({"nosuch": 1}, "nosuch", "one of name, count", 1),
        ({"nosuch": None}, "nosuch", "one of name, count", "null"),
        ({1: 2}, "1", "one of name, count", 2),
        ([1], None, "a mapping of name, count", [1]),
        ({"name": 3}, "name", "a text", 3),
        ({"name": None}, "name", "a text", "null"),
        ({"count": True}, "count", "a whole number", True),
        ({"count": 1.0}, "count", "a whole number", 1.0),
        ({"count": "1e2"}, "count", "a whole number", "1e2"),
        ({"most": "x"}, "most", "a whole number", "x"),
        ({"flag": 1}, "flag", "true or false", 1),
        ({"free": [1]}, "free", "a mapping", [1]),
        ({"option": "three"}, "option", "'one' or 'two'", "three"),
        ({"option": ["one"]}, "option", "'one' or 'two'", ["one"]),
        ({"extra": 3}, "extra", "a mapping of kind", 3),
        ({"part": {"rate": "0.5"}}, "part.rate", "a finite number", "0.5"),
        ({"part": {"rate": "nan"}}, "part.rate", "a finite number", "nan"),
        ({"part": {"rate": "1e999"}}, "part.rate", "a finite number", "1e999"),
        ({"part": {"rate": math.inf}}, "part.rate", "a finite number", math.inf),
        ({"part": {"rate": 10**400}}, "part.rate", "a finite number", 10**400),
        ({"part": {"rate": True}}, "part.rate", "a finite number", True),
        ({"part": {"limits": 1.0}}, "part.limits", "a list", 1.0),
        ({"part": {"limits": [1.0]}}, "part.limits", "a list of 2", [1.0]),
        ({"part": {"limits": [1.0, 2.0, 3.0]}}, "part.limits", "a list of at most 2", [1.0, 2.0, 3.0]),
        ({"part": {"limits": [[1.0], 2.0]}}, "part.limits", "a finite number", [1.0]),
        ({"part": {"kinds": ["c"]}}, "part.kinds", "'a' or 'b'", "c"),
        ({"part": {"kinds": "a"}}, "part.kinds", "a list", "a"),
        ({"part": {"rate": ["1e-4"]}}, "part.rate", "a finite number", ["1e-4"]),
        ({"part": {"rate": "-1e-4"}}, "part.rate", "a number of at least 0", -1e-4),
        ({"name": 1e-4}, "name", "a text", 1e-4),
        ({"even": 2**64}, "even", "a number below 18446744073709551616", 2**64),
        ({"even": 3}, "even", "a multiple of 2", 3),
        ({"inner": {"part": {"rate": -1}}}, "inner.part.rate", "a number of at least 0", -1),
        ({"extra": {"rate": -1}}, "extra.rate", "a number of at least 0", -1),
        ({"extra": {"kind": "max", "rate": 2e9}}, "extra.rate", "at most 1e9 with kind max", 2e9),
        (
            {"inner": {"part": {"knd": "max"}}},
            "inner.part.knd",
            "one of kind, rate, limits, kinds (did you mean kind?)",
            "max",
        ),
        (
            {"rate": 3},
            "rate",
            "one of name, count, flag, most, part, extra, inner, free, anything, option, even "
            "(did you mean part.rate?)",
            3,
        ),
        ({"free": {"a": 1, 2: 3}}, "free", "a text", 2),
    ],
)
def test_wrong_values_are_named(values: Any, column: str | None, expected: str, got: object) -> None:
    with pytest.raises(InputError) as caught:
        from_mapping(Whole(), values, "own.yaml")
    (problem,) = caught.value.problems
    assert (problem.file, problem.column, problem.value) == ("own.yaml", column, got)
    assert problem.expected.startswith(expected)


def test_all_that_is_wrong_is_told_at_once_and_only_once() -> None:
    assert columns({"part": {"kind": "sum", "rate": -1}}) == ["part.kind", "part.rate"]
    assert columns({"part": {"kind": "sum", "limits": 3, "rate": -1}}) == [
        "part.kind",
        "part.rate",
        "part.limits",
    ]
    assert columns({"option": "x", "part": {"rate": "x"}, "y": 1}) == ["part.rate", "option", "y"]
    assert columns({"part": {"limits": []}}) == ["part.limits"]
    # What settings have to do with each other is asked where they are right by themselves.
    assert columns({"name": "narrow", "count": 6, "part": {"rate": 6}}) == ["count", "part.rate"]
    assert columns({"part": {"kind": "max", "rate": 2e9}, "even": 3}) == ["part.rate", "even"]


def test_construction_is_checked_as_reading_is() -> None:
    for build in (lambda: Whole(count="3", even=3), lambda: Whole().replace(count="3", even=3)):
        with pytest.raises(InputError) as caught:
            build()
        assert str(caught.value).splitlines() == [
            "the whole, column count: got '3': expected a whole number (int)",
            "the whole, column even: got 3: expected a multiple of 2",
        ]
    with pytest.raises(InputError, match="Part, column rate: got -1: expected a number of at least 0"):
        Part(rate=-1)
    with pytest.raises(InputError, match=r"the whole, column part\.rate: got -1"):
        Whole(part={"rate": -1})  # type: ignore[arg-type]


def test_configs_are_frozen_values_that_cross_processes() -> None:
    part = Part(rate=3, kinds=("b",))
    assert pickle.loads(pickle.dumps(part)) == part and hash(part) == hash(Part(rate=3.0, kinds=("b",)))
    assert part != part.replace(rate=4) and part.replace(rate=4).kinds == ("b",)
    with pytest.raises(ValidationError, match="frozen"):
        part.rate = 4.0  # type: ignore[misc]
    odd = Whole(free={"a": math.inf, "b": [date(2020, 1, 2)]}, anything=(1, (2,))).to_dict()
    assert odd["free"] == {"a": math.inf, "b": [date(2020, 1, 2)]} and odd["anything"] == [1, [2]]
    assert Whole().to_dict()["part"] == {"kind": "mean", "rate": 0.25, "limits": [1.0, 2.0], "kinds": ["a"]}


finite = st.floats(allow_nan=False, allow_infinity=False)
parts = st.builds(
    Part, kind=st.sampled_from(["mean", "max"]), rate=st.floats(0, 1e9), limits=st.tuples(finite, finite),
    kinds=st.lists(st.sampled_from(["a", "b"])).map(tuple),
)  # fmt: skip
wholes = st.builds(
    Whole, name=st.text(), count=st.integers(), flag=st.booleans(), most=st.none() | st.integers(), part=parts,
    extra=st.none() | parts, free=st.dictionaries(st.text(), st.integers()),
)  # fmt: skip


@given(wholes)
def test_a_saved_config_is_read_back_as_it_was(config: Whole) -> None:
    text = json.dumps(config.to_dict())
    assert from_mapping(Whole(), json.loads(text), "own.yaml") == config


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
names = st.sampled_from(["name", "count", "most", "part", "extra", "rate", "limits", "kind", "kinds"])


@given(st.dictionaries(names, json_values | st.dictionaries(names, json_values)))
def test_whatever_is_given_it_is_a_config_or_an_input_error(values: dict[str, Any]) -> None:
    try:
        assert isinstance(from_mapping(Whole(), values, "own.yaml"), Whole)
    except InputError as error:
        assert error.problems


def test_overrides_leave_the_config_as_it_is() -> None:
    config = Whole()
    texts = ["count=2", "count=[3, x=y]", " part.rate =", "free.d.e=5", "new=true"]
    changed = overridden(config, texts, open_sections=("free",))
    plain = config.to_dict()
    expected = {"count": [3, "x=y"], "free": {"d": {"e": 5}}, "new": True}
    assert changed == {**plain, **expected, "part": {**plain["part"], "rate": None}}
    assert config == Whole()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.3", "0.3"), ("2024-01-31", "2024-01-31"), ("[x] y", "[x] y"), ("[x", "[x"), ("a: b", "a: b"),
        ("w #2", "w #2"), (" plain ", "plain"), ("yes", "yes"), ("'0.3'", "0.3"), ('"\\u00e4 #1"', "ä #1"),
        ("it's", "it's"), ("'a' 'b'", "'a' 'b'"), ("null", None), ("", None), ("~", None),
        ("#x", "#x"), ("~/x", "~/x"),
    ],
)  # fmt: skip
def test_a_setting_that_is_a_text_gets_what_is_written(text: str, value: str | None) -> None:
    assert overridden(Whole(), [f"name={text}"])["name"] == value


@pytest.mark.parametrize(
    ("text", "column", "value"),
    [
        ("part.rate", None, "part.rate"),
        ("b.c=1", None, "b.c=1"),
        ("part.rate.c=1", None, "part.rate.c=1"),
        ("free.d.e=1", None, "free.d.e=1"),
        ("part.rate=[", "part.rate", "["),
    ],
)
def test_overrides_that_cannot_be_applied(text: str, column: str | None, value: str) -> None:
    with pytest.raises(InputError) as caught:
        overridden(Whole(free={"d": 3}), [text], open_sections=("free",))
    (problem,) = caught.value.problems
    assert (problem.file, problem.column, problem.value) == ("--set", column, value)


def test_presets_are_names_or_paths(tmp_path: Path) -> None:
    for name in ("second", "first"):
        (tmp_path / f"{name}.yaml").write_text("lr: 1e-4\n")
    assert preset_names(tmp_path) == ["first", "second"]
    path = preset_path("first", tmp_path, "--preset")
    assert path == preset_path(str(path), Path("nowhere"), "--preset")
    assert read_yaml(path) == yaml.safe_load("lr: 1e-4") == {"lr": "1e-4"}
    with pytest.raises(
        InputError, match="--preset: got 'third': expected one of first, second or a YAML file"
    ):
        preset_path("third", tmp_path, "--preset")


@pytest.mark.parametrize("content", [b"a: [", b"a: b: c", b"\xff\xfe\x00"])
def test_unreadable_files_are_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "own.yaml"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"own\.yaml: expected readable YAML"):
        read_yaml(path)
