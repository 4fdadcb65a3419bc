"""Which device a name stands for, and that one which isn't there is refused."""

from __future__ import annotations

import pytest
import torch

from rhas.manifests.common.errors import InputError
from rhas.train.device import chosen_device


def pretend(monkeypatch: pytest.MonkeyPatch, gpus: int) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)


def test_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, 0)
    assert chosen_device(None) == chosen_device("cpu") == "cpu"
    for name in ("cuda", "cuda:0", "gpu", ""):
        with pytest.raises(
            InputError, match=f"--device: got '{name}': expected one of cpu, what torch finds here"
        ):
            chosen_device(name)


def test_with_two(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, 2)
    assert chosen_device(None) == "cuda" and chosen_device("cuda:1") == "cuda:1"
    with pytest.raises(InputError, match="got 'cuda:2': expected one of cpu, cuda, cuda:0, cuda:1"):
        chosen_device("cuda:2")
