"""An ordinary installation of rhas' wheel, beside the editable one that the tests run in."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

ROOT = Path(__file__).parents[2]
NOT_SOURCE = shutil.ignore_patterns(".*", "build", "dist", "demo", "bench", "__pycache__", "*.egg-info")


def install_wheel(folder: Path) -> Path:
    """The folder with `python` and `rhas` of an environment in `folder` in which the wheel is installed.

    The wheel is built from a copy of the sources, since setuptools builds in place. All other packages are this
    environment's, by a path behind those of the new one: its `rhas` is the wheel's.
    """
    shutil.copytree(ROOT, folder / "source", symlinks=True, ignore=NOT_SOURCE)
    quiet = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    build = ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(folder / "source")]
    subprocess.run([*quiet, *build], check=True)
    shutil.rmtree(folder / "source")
    (wheel,) = folder.glob("rhas-*.whl")
    venv.create(folder / "env", with_pip=False)
    bin_folder = folder / "env" / "bin"
    python = bin_folder / "python"
    subprocess.run([*quiet, "--python", str(python), "install", "--no-deps", str(wheel)], check=True)
    asked = [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    packages = Path(subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip())
    (packages / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return bin_folder
