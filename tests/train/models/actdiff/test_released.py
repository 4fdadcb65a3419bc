"""What the importer of released checkpoints refuses. That it imports is in test_actdiff_parity."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from rhas.manifests.common.errors import InputError
from rhas.train.models.actdiff.model import ActDiff
from rhas.train.models.actdiff.released import load_released, released_name


def released_state(model: ActDiff) -> dict[str, Tensor]:
    """The model's parameters under released names, with a table as released files have it."""
    state = {released_name(ours): x for ours, x in model.state_dict().items()}
    return {**state, "sqrt_alphas_cumprod": torch.zeros(1000)}


def test_there_and_back(small: ActDiff, tmp_path: Path) -> None:
    state = {name: x + 1 for name, x in released_state(small).items()}
    torch.save(state, tmp_path / "release.model")
    expected = {name: x + 1 for name, x in small.state_dict().items()}
    load_released(small, tmp_path / "release.model")
    torch.testing.assert_close(small.state_dict(), expected)


def test_what_doesn_t_fit_is_named(small: ActDiff, tmp_path: Path) -> None:
    state = released_state(small)
    del state["encoder.encoder.layers.0.att_linear_k.bias"]
    state["decoder.module.layers.7.att_linear_q.weight"] = torch.zeros(1)
    state["decoder.conv_out.bias"] = torch.zeros(9)
    path = tmp_path / "release.model"
    torch.save(state, path)
    with pytest.raises(InputError) as caught:
        load_released(small, path)
    found = {(p.file, p.column, p.value) for p in caught.value.problems}
    assert found == {
        (path, "encoder.encoder.layers.0.att_linear_k.bias", "no such parameter"),
        (path, "decoder.module.layers.7.att_linear_q.weight", None),
        (path, "decoder.conv_out.bias", (9,)),
    }


def test_files_that_hold_no_state_dict(small: ActDiff, tmp_path: Path) -> None:
    path = tmp_path / "release.model"
    with pytest.raises(InputError, match=r"release\.model"):
        load_released(small, path)  # not there
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(InputError, match=r"release\.model"):
        load_released(small, path)
    torch.save([1, 2], path)
    with pytest.raises(InputError, match="got 'list'"):
        load_released(small, path)
    torch.save(Path("code, not tensors"), path)
    with pytest.raises(InputError, match=r"release\.model"):
        load_released(small, path)


def test_names() -> None:
    names = {
        "encoder.conv_in.weight": "encoder.conv_in.weight",
        "encoder.layers.10.attention.query.bias": "encoder.encoder.layers.10.att_linear_q.bias",
        "decoder.layers.0.conv.weight": "decoder.module.layers.0.conv_block.0.weight",
        "decoder.time_mlp.2.bias": "decoder.time_in.1.bias",
        "decoder.time_projection.weight": "decoder.module.time_proj.weight",
    }
    assert {ours: released_name(ours) for ours in names} == names
