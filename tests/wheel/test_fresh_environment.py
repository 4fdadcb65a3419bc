"""What `python -m build` gives, in an environment of its own outside the repository: `make wheel`, minutes long."""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from pathlib import Path

from wheel_environment import NOT_SOURCE, ROOT

READ = """
import rhas
reader = rhas.read_features("demo/features")
series = next(iter(reader.persons()))
print(rhas.__version__, series.holistic.shape[0] == len(series.time_s) > 0)
run = rhas.load_run("demo/run")
print(sum(p.numel() for p in run.model.parameters()) > 0)
print(rhas.__file__)
"""


def test_sdist_and_wheel_run_the_demo_and_read_its_shards(tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(ROOT, source, symlinks=True, ignore=NOT_SOURCE)
    subprocess.run(
        [sys.executable, "-m", "build", "--outdir", str(tmp_path / "dist"), str(source)], check=True
    )
    shutil.rmtree(source)
    assert len(list((tmp_path / "dist").glob("rhas-*.tar.gz"))) == 1
    (wheel,) = (tmp_path / "dist").glob("rhas-*.whl")  # built from the sdist
    venv.create(tmp_path / "env", with_pip=True)
    pip = [tmp_path / "env/bin/python", "-m", "pip", "install", "--quiet"]
    subprocess.run([*pip, "--constraint", ROOT / "constraints.txt", wheel], check=True)
    subprocess.run([tmp_path / "env/bin/rhas", "demo", "demo", "--quick"], check=True, cwd=tmp_path)
    page = {path.name for path in (ROOT / "pipeline/viewer/page").iterdir() if path.suffix in (".js", ".css")}
    assert page == {path.name for path in (tmp_path / "demo/view/page").iterdir()}
    assert (tmp_path / "demo/report/index.html").is_file()
    read = subprocess.run(
        [tmp_path / "env/bin/python", "-c", READ], check=True, cwd=tmp_path, capture_output=True, text=True
    )
    version, parameters, file = read.stdout.splitlines()
    assert version.endswith(" True") and parameters == "True"
    assert Path(file).is_relative_to(tmp_path / "env")
