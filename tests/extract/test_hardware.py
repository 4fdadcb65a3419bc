"""What precision `auto` means: on which hardware, and in a folder that was begun on another."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from rhas.extract.config import ExtractConfig, RunOptions
from rhas.extract.run import run
from rhas.extract.run.run import _with_precision, record_config
from rhas.extract.weights.hardware import cpu_has_bfloat16, gpus_have_bfloat16
from rhas.manifests.common.errors import InputError
from rhas.manifests.shards.layout import FeaturesFolder

DESCRIBED = {
    "models": {"detector": {"name": "d", "hash": "1"}, "encoder": {"name": "e", "hash": "2"}},
    "feature_shape": [4], "versions": {},
}  # fmt: skip


def test_this_cpu_is_as_torch_says() -> None:
    said = torch.cpu.get_capabilities()
    assert cpu_has_bfloat16() == bool(said.get("avx512_bf16") or said.get("amx_bf16"))


@pytest.mark.parametrize(
    ("cpuinfo", "expected"),
    [
        ("flags\t\t: fpu avx512f avx512_bf16\n", True),
        ("flags : fpu amx_bf16 amx_tile\n\nflags : fpu amx_bf16\n", True),
        ("flags : avx512_bf16\n\nflags : avx512f\n", False),  # cores that differ
        ("flags : fpu avx512f avx512_bf16x\nvmx flags : avx512_bf16\n", False),
        ("Features : fp asimd bf16\n", False),  # not x86
        (None, False),
    ],
)
def test_cpus_by_their_flags(tmp_path: Path, cpuinfo: str | None, expected: bool) -> None:
    if cpuinfo is not None:
        (tmp_path / "cpuinfo").write_text(cpuinfo)
    assert cpu_has_bfloat16(tmp_path / "cpuinfo") == expected


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("echo 8.0; echo 9.0", True),
        ("echo 9.0; echo 7.5", False),
        ('[ "$3" = --id=1 ] && echo 10.0 || echo 7.0', True),  # only those that may be used
        ("exit 9", True),
        (None, True),
    ],
)
def test_gpus_by_what_the_driver_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str | None, expected: bool
) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    if script is not None:
        (tmp_path / "nvidia-smi").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "nvidia-smi").chmod(0o755)
    assert gpus_have_bfloat16() == expected


@pytest.mark.parametrize(("begun", "now"), [(True, False), (False, True)])
def test_a_folder_goes_on_as_it_was_begun_wherever_that_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begun: bool, now: bool
) -> None:
    folder, options = FeaturesFolder(tmp_path), RunOptions()
    monkeypatch.setattr(run, "cpu_has_bfloat16", lambda: begun)
    config = _with_precision(folder, ExtractConfig(), options)
    assert config.precision == ("bfloat16" if begun else "float32")
    identity = record_config(folder, config, DESCRIBED)["extraction"]
    monkeypatch.setattr(run, "cpu_has_bfloat16", lambda: now)
    again = _with_precision(folder, ExtractConfig(), options)
    assert again == config and record_config(folder, again, DESCRIBED)["extraction"] == identity
    other = ExtractConfig(precision="bfloat16" if now else "float32")
    assert _with_precision(folder, other, options) == other
    with pytest.raises(InputError, match=f"precision was '{config.precision}', now '{other.precision}'"):
        record_config(folder, other, DESCRIBED)  # also of a rank that began at the same time


def test_a_cluster_of_cpus_gets_float32(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "cpu_has_bfloat16", lambda: True)
    options = RunOptions(address="auto")
    assert _with_precision(FeaturesFolder(tmp_path), ExtractConfig(), options).precision == "float32"
