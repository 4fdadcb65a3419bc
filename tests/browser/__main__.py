"""The picture of `rhas view` in docs/.

    python -m tests.browser demo/view docs/view.png

opens a folder that `make demo` left, jumps to the first mistake, and saves what is seen.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from PIL import Image

from tests.browser.driving import Page, browser


def main(view: Path, png: Path) -> None:
    with tempfile.TemporaryDirectory() as downloads, browser(Path(downloads)) as driver:
        page = Page(driver, view)
        page.settle()
        page.click("mistake")
        page.settle()
        driver.save_screenshot(str(png))
    Image.open(png).convert("P", palette=Image.Palette.ADAPTIVE, colors=192).save(png, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
