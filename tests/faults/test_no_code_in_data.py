"""Nothing that is read can bring code with it: what the packages may call, and attacks on what they read."""

from __future__ import annotations

import ast
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from rhas.manifests.common.configs import read_yaml
from rhas.manifests.common.errors import InputError
from rhas.manifests.imports.arrays import open_features
from rhas.train.models.released import read_state
from rhas.train.runs.checkpoint import read_tensors

ROOT = Path(__file__).parents[2]
SOURCES = [
    path for top in ("pipeline", "extract", "train", "manifests") for path in (ROOT / top).rglob("*.py")
]
FORBIDDEN = {
    "eval", "exec", "compile", "__import__", "os.system", "os.popen", "yaml.load", "yaml.unsafe_load",
    "yaml.full_load", "yaml.load_all", "pickle.load", "pickle.loads", "pickle.Unpickler", "marshal.loads",
    "shelve.open", "joblib.load", "dill.loads", "subprocess.getoutput",
}  # fmt: skip


def forbidden_calls(source: str) -> list[str]:
    """Calls that run code of what they read, or that a shell reads."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name, given = ast.unparse(node.func), {k.arg: ast.unparse(k.value) for k in node.keywords}
        if (
            name in FORBIDDEN
            or given.get("shell") == "True"
            or given.get("allow_pickle") == "True"
            or (name in ("np.load", "numpy.load") and given.get("allow_pickle", "False") != "False")
            or (name == "torch.load" and given.get("weights_only") != "True")
        ):
            found.append(f"line {node.lineno}: {ast.unparse(node)}")
    return found


# What a run's own processes tell each other, over sockets that nobody else has; no file comes that way.
OWN_MESSAGES = {ROOT / "extract" / "run" / "parcels.py": "pickle.loads"}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_call_runs_what_it_reads(path: Path) -> None:
    found = forbidden_calls(path.read_text())
    assert [call for call in found if f": {OWN_MESSAGES.get(path, 'none')}(" not in call] == []


@pytest.mark.parametrize(
    "call",
    ["pickle.load(f)", "torch.load(p)", "torch.load(p, weights_only=False)", "yaml.load(t, Loader)", "eval(t)",
     "np.load(p, allow_pickle=True)", "subprocess.run(t, shell=True)", "os.system(t)"],
)  # fmt: skip
def test_the_check_sees_what_it_forbids(call: str) -> None:
    assert forbidden_calls(f"def f(p, t):\n    return {call}\n")


class Attack:
    """Unpickled, it writes a file."""

    def __init__(self, target: Path):
        self.target = target

    def __reduce__(self) -> tuple:
        return Path.write_text, (self.target, "ran")


def test_a_checkpoint_with_code_is_refused(tmp_path: Path) -> None:
    target, path = tmp_path / "ran", tmp_path / "weights.pth"
    for payload in ({"weight": Attack(target)}, Attack(target)):
        torch.save(payload, path)
        with pytest.raises(InputError, match=r"weights\.pth"):
            read_state(path)
        path.write_bytes(pickle.dumps(payload))
        for read in (read_state, read_tensors):
            with pytest.raises(InputError, match=r"weights\.pth"):
                read(path)
    assert not target.exists()


def test_a_config_with_code_is_refused(tmp_path: Path) -> None:
    target, path = tmp_path / "ran", tmp_path / "config.yaml"
    path.write_text(f'!!python/object/apply:os.system ["touch {target}"]\n')
    with pytest.raises(InputError, match=r"config\.yaml"):
        read_yaml(path)
    assert not target.exists()


def test_features_with_code_are_refused(tmp_path: Path) -> None:
    target, path = tmp_path / "ran", tmp_path / "a.npy"
    np.save(path, np.array([Attack(target)], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match=r"a\.npy"):
        open_features(path, "T×F", "mean")
    assert not target.exists()
