"""What the browser shows at a time is what the movie shows then: every kind of movie, copied or as a proxy.

The movies carry numbers, and what FFmpeg shows of them is committed (`tests/truth`).
"""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from selenium.webdriver import Chrome

from rhas.pipeline.programs.viewing import Wanted, write_view
from rhas.pipeline.viewer.media import Proxies
from tests.browser.driving import Page
from tests.truth import numbers

TRUTH = Path(__file__).parents[1] / "truth"
SHOWN = json.loads((TRUTH / "shown.json").read_text())
# Pictures of which FFmpeg's own times are in doubt, see tests/truth; and one whose second half has another shape.
LAST = {"mpeg2_pulldown.mpg": 2, "mpeg2_open.vob": 2}
THINNED = ("fps_240.mkv",)  # proxies have 30 frames a second of it
# Opens a movie and goes to some moments with the page's own clock; gives what is seen then.
SEE = """
const [number, times, done] = arguments;
const {state, clock} = rhas.main;
const video = document.getElementById('video');
const canvas = document.createElement('canvas');
const until = async (what) => { while (!what()) await new Promise((r) => setTimeout(r, 4)); };
(async () => {
  const before = state.scene;
  const list = document.getElementById('movie');
  list.value = number;
  list.dispatchEvent(new Event('change'));
  await until(() => state.scene !== before && video.readyState >= 2);
  [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
  const seen = [];
  for (const time of times) {
    const drawn = new Promise((r) => { video.requestVideoFrameCallback(r); setTimeout(r, 2000); });
    clock.seek(time);
    await until(() => !video.seeking && clock.target === null && video.readyState >= 2);
    await drawn;
    canvas.getContext('2d').drawImage(video, 0, 0);
    seen.push(canvas.toDataURL());
  }
  done(seen);
})();
"""


def manifest(folder: Path, names: list[str]) -> Path:
    rows = [f"{name},{TRUTH / 'movies' / name},p1,the square" for name in names]
    path = folder / "manifest.csv"
    path.write_text("\n".join(["movie_id,video,person_id,reference", *rows]) + "\n")
    return path


def shown(page: Page, movie: int, times_s: list[float]) -> list[int | None]:
    """The numbers that are seen at some times."""
    found = []
    for url in page.driver.execute_async_script(SEE, movie, times_s):
        png = base64.b64decode(url.partition(",")[2])
        found.append(numbers.read(np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))))
    return found


def wrong(page: Page, names: list[str]) -> list[tuple]:
    """What differs from the truth, at moments over the whole movie, not in their order."""
    found = []
    for at, name in enumerate(names):
        frames = SHOWN[name]["frames"][: -LAST.get(name, 1)]
        chosen = np.unique(np.linspace(0, len(frames) - 1, 5).astype(int))[[0, 3, 1, -1, 2]].tolist()
        seen = shown(page, at, [frames[i][0] for i in chosen])
        for i, number in zip(chosen, seen, strict=True):
            time_s, expected, *_ = frames[i if name not in THINNED else int(frames[i][0] * 30 + 1e-3) * 8]
            if number != expected:
                found.append((name, time_s, expected, number))
    return found


def test_copies_and_proxies_show_the_right_picture_at_every_time(driver: Chrome, tmp_path: Path) -> None:
    names = sorted(SHOWN)
    write_view(manifest(tmp_path, names), tmp_path / "view", Wanted(), lambda line: None)
    page = Page(driver, tmp_path / "view")
    assert wrong(page, names) == []
    proxies = sum(path.stem.count("-") for path in (tmp_path / "view" / "media").iterdir())
    assert 60 < proxies < len(names) - 10  # the others are played as they are


@pytest.mark.parametrize("codec", ["h264", "vp9"])
def test_proxies_that_are_asked_for(driver: Chrome, tmp_path: Path, codec: str) -> None:
    names = ["uneven.mp4", "starts_at_12.mkv", "late_video.mp4", "turned_90_sar.mp4", "still.mp4"]
    wanted = Wanted(video="proxy", proxies=Proxies(96, codec))
    write_view(manifest(tmp_path, names), tmp_path / "view", wanted, lambda line: None)
    assert wrong(Page(driver, tmp_path / "view"), names) == []


def test_times_that_count_from_the_containers_clock(driver: Chrome, tmp_path: Path) -> None:
    names = ["late_video.mp4"]  # its sound begins 1.2 s before
    write_view(
        manifest(tmp_path, names), tmp_path / "view", Wanted(time_origin="container"), lambda line: None
    )
    page = Page(driver, tmp_path / "view")
    frames = SHOWN["late_video.mp4"]["frames"][::30]
    assert page.js("rhas.main.clock.offset") == pytest.approx(-1.2)
    assert shown(page, 0, [1.2 + time_s for time_s, *_ in frames]) == [number for _, number, *_ in frames]
