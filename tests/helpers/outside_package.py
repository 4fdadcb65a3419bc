"""A package with models, as an installer leaves it: found by its entry point, in this environment's processes."""

from __future__ import annotations

import os
from pathlib import Path


def install(root: Path, module: str, code: str | None = None) -> dict[str, str]:
    """The environment in which `module`, with `code` or from the test helpers, is an entry point for models."""
    info = root / "elsewhere-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: elsewhere\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[rhas.models]\noutside = {module}\n")
    if code is not None:
        (root / f"{module}.py").write_text(code)
    paths = [str(root), str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
