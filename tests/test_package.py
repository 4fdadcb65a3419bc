"""The package as others see it: its names, what importing it costs, and that nobody takes its folders for packages."""

from __future__ import annotations

import ast
import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest
from feature_folders import make_movie, write_folder

import rhas

ROOT = Path(__file__).parents[1]
FOLDERS = ("extract", "train", "pipeline", "manifests")


def test_its_version_is_that_of_the_installation() -> None:
    assert rhas.__version__ == importlib.metadata.version("rhas")


def test_importing_it_imports_nothing_heavy() -> None:
    code = "import sys, rhas; print(sorted({'torch', 'ray', 'transformers', 'numpy', 'h5py'} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, timeout=60)
    assert run.stdout == "[]\n", run.stderr


@pytest.mark.parametrize("name", FOLDERS)
def test_the_folders_at_the_top_are_packages_of_rhas(name: str) -> None:
    link = ROOT / "src" / "rhas" / name
    assert link.is_symlink() and not link.readlink().is_absolute() and link.resolve() == ROOT / name


def test_nobody_imports_them_from_the_root() -> None:
    """What an installation doesn't have: `import extract` works only where the repository is the current folder."""
    wrong = []
    for path in ROOT.glob("**/*.py"):
        if any(part.startswith(".") or part in ("src", "build") for part in path.relative_to(ROOT).parts):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            wrong += [f"{path}:{node.lineno}" for name in names if name.split(".")[0] in FOLDERS]
    assert wrong == []


def test_features_are_read_through_it(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, [make_movie("m0")])
    assert rhas.read_features(str(folder.root)).movie_ids == ["m0"]
