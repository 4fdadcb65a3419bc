"""An output folder that goes away while an extraction writes to it, as with a file system that is lost."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from extractions import problems

from tests.faults.kill_extraction import extract_command, write_movies


def test_a_folder_that_is_gone_ends_the_run_and_a_rerun_goes_on(tmp_path: Path) -> None:
    out, away = tmp_path / "features", tmp_path / "away"
    command = extract_command(write_movies(tmp_path / "movies"), out)
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while len(list(out.glob("parts/*/[0-9]*.h5"))) < 3:
        assert process.poll() is None, "it ended before the folder could go"
        time.sleep(0.01)
    out.rename(away)
    _, said = process.communicate()
    assert process.returncode == 1 and "Traceback" not in said
    assert "No such file or directory" in said or "the features folder is gone" in said
    assert str(out) in said and not out.exists()  # nothing was written in its place
    stored = {path.name for path in away.glob("parts/*/[0-9]*.h5")}
    away.rename(out)
    assert len(stored) >= 3
    assert subprocess.run(command, stdout=subprocess.DEVNULL).returncode == 0
    assert problems(out) == []
