"""One browser for a file's tests, and where it saves to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.driving import browser


@pytest.fixture(scope="module")
def downloads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("downloads")


@pytest.fixture(scope="module")
def driver(downloads: Path) -> Iterator[object]:
    # Pages from disk may then read pixels of movies from disk, which tests need and the page doesn't.
    with browser(downloads, "--allow-file-access-from-files") as chrome:
        yield chrome
