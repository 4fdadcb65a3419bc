"""Ten hours and twenty persons (made data): how soon the page is there, what memory it takes; `pytest -rP` shows it.

Memory is asserted: what the page's process has for itself. Time is only told, since it is the machine's as well.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.keys import Keys

from rhas.extract.decode.process import DecoderProcess
from rhas.manifests.shards.status import FrameStatus
from rhas.manifests.tables.labels import Interval
from rhas.manifests.tables.vocabulary import Vocabulary
from rhas.pipeline.viewer.folder import Played, ViewFolder
from rhas.pipeline.viewer.media import Proxies, provide
from rhas.pipeline.viewer.predictions import Predicted
from rhas.pipeline.viewer.sources import MovieSource, PersonSource
from rhas.train.metrics.segments import runs_of
from tests.browser.driving import Page, wait
from tests.truth import numbers

HOURS, PERSONS, ACTIONS, FPS, TAU = 10, 20, 16, 15.0, 0.5
MOST = 200e6  # bytes
SAMPLES = int(HOURS * 3600 * FPS)
NAMES = tuple(f"action {number}" for number in range(ACTIONS))


def write_long_movie(path: Path) -> Path:
    """Ten hours with a picture a second."""
    with av.open(path, "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream(
            "libx264", rate=1, options={"preset": "ultrafast", "g": "10", "bf": "0"}
        )
        stream.width, stream.height, stream.pix_fmt = 192, 96, "yuv420p"
        pictures = [av.VideoFrame.from_ndarray(numbers.draw(n, 192, 96), format="rgb24") for n in range(100)]
        for second in range(HOURS * 3600):
            frame = pictures[second % 100]
            frame.pts, frame.time_base = second, Fraction(1)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def acting(rng: np.random.Generator) -> np.ndarray:
    """[T, C] bool: each action now and then, for 2 to 20 s."""
    found = np.zeros((SAMPLES, ACTIONS), bool)
    for c in range(ACTIONS):
        lasts = rng.integers(30, 300, SAMPLES // 400)
        starts = np.cumsum(lasts + rng.integers(30, 900, len(lasts)))
        for start, length in zip(starts.tolist(), lasts.tolist(), strict=True):
            found[start : start + length, c] = True
    return found


def intervals(mask: np.ndarray) -> list[Interval]:
    own = [Interval(NAMES[c], a / FPS, b / FPS) for c in range(ACTIONS) for a, b in runs_of(mask[:, c])]
    return sorted(own, key=lambda interval: interval.place)


def persons(time_s: np.ndarray) -> Iterator[tuple[PersonSource, list[Interval], Predicted]]:
    for number in range(PERSONS):
        rng = np.random.default_rng(number)
        truth = acting(rng)
        scores = (
            np.roll(truth, 9, axis=0) * np.float32(0.8) + rng.random((SAMPLES, ACTIONS), np.float32) * 0.19
        )
        walk = np.cumsum(rng.normal(0, 0.002, (SAMPLES, 2)), axis=0) % 0.7
        box = np.concatenate([walk, walk + 0.2], axis=1).astype(np.float32)
        status = rng.choice([1, 1, 1, 1, 2, 7], SAMPLES).astype(np.uint8)
        sure = np.where(status == FrameStatus.DOUBTFUL, 0.3, 0.9).astype(np.float32)
        key = ("long", f"p{number:02d}")
        person = PersonSource(
            key[1], f"person number {number}", None, np.ones(SAMPLES, bool), box, status, sure
        )
        segments = intervals(scores >= TAU)
        predicted = Predicted(
            key, time_s, scores, np.ones(SAMPLES, bool), segments, [0.8] * len(segments), NAMES, TAU
        )
        yield person, intervals(truth), predicted


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    root = tmp_path_factory.mktemp("long")
    view = ViewFolder(root / "view", Vocabulary(NAMES))
    view.begin()
    movie = write_long_movie(root / "long.mp4")
    with DecoderProcess() as decoder:
        media = provide(view.media, movie, decoder.index(movie), decoder, Proxies(), True, print)
    time_s = np.arange(SAMPLES) / FPS
    own, labels = [], {}
    # Scores are made again when they are needed, since those of all do not fit into memory.
    for person, truth, _ in persons(time_s):
        own.append(person)
        labels[person.person_id] = truth
    source = MovieSource("long", time_s, HOURS * 3600.0, tuple(own))
    view.add(source, (predicted for _, _, predicted in persons(time_s)), labels, Played(media))
    view.finish([], [])
    files = [path for path in (root / "view").rglob("*") if path.is_file()]
    segments = sum(map(len, labels.values()))
    size = sum(path.stat().st_size for path in files) / 1e6
    print(
        f"{HOURS} h, {PERSONS} persons, {ACTIONS} actions: {segments} labels, {len(files)} files, {size:.0f} MB"
    )
    yield root / "view"
    shutil.rmtree(root)


def private_bytes(driver: Chrome) -> int:
    """What the page's own process doesn't share: the largest of this browser's renderers."""
    mine = {driver.service.process.pid}
    found = [0]
    for _ in range(6):  # generations
        for status in Path("/proc").glob("[0-9]*/stat"):
            try:
                parent = int(status.read_text().rpartition(")")[2].split()[1])
                if parent in mine:
                    mine.add(int(status.parent.name))
            except (OSError, ValueError):
                continue
    for pid in mine:
        try:
            if b"--type=renderer" not in Path(f"/proc/{pid}/cmdline").read_bytes():
                continue
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        found.append(1024 * sum(int(line.split()[1]) for line in lines if line.startswith("Private_")))
    return max(found)


def spent_s(driver: Chrome) -> float:
    """CPU seconds of the page's own process so far."""
    metrics = {m["name"]: m["value"] for m in driver.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]}
    return float(metrics["ProcessTime"])


def heap_bytes(driver: Chrome) -> int:
    """Objects of JavaScript, and the arrays behind them."""
    metrics = {m["name"]: m["value"] for m in driver.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]}
    return int(metrics["JSHeapUsedSize"])


def test_ten_hours_and_twenty_persons(driver: Chrome, folder: Path, downloads: Path) -> None:
    driver.execute_cdp_cmd("Performance.enable", {})
    driver.get("about:blank")
    empty = private_bytes(driver)
    ready = []
    for _ in range(3):
        page = Page(driver, folder)
        ready.append((page.js("rhas.main.state.ready") / 1000, spent_s(driver)))
    page.settle()
    starts = ", ".join(f"{wall_s:.2f} s ({cpu_s:.2f} s of its process)" for wall_s, cpu_s in ready)
    told = [f"start: {starts}; an empty page: {empty / 1e6:.0f} MB"]

    highest: list[int] = []

    def tell(what: str) -> None:
        page.settle()
        now = private_bytes(driver)
        told.append(f"{what}: {now / 1e6:.0f} MB, of which JavaScript {heap_bytes(driver) / 1e6:.0f} MB")
        driver.execute_cdp_cmd("HeapProfiler.collectGarbage", {})
        told.append(f"    once garbage is collected: {private_bytes(driver) / 1e6:.0f} MB")
        highest.append(now)

    tell("begun")
    rows = page.js("rhas.main.rows.height")
    for share in np.linspace(0, 1, 9):
        page.js("(document.getElementById('scroll').scrollTop = arguments[0])", float(rows * share))
        page.settle()
    tell("scrolled through all persons")
    for hour in range(HOURS):
        page.seek(hour * 3600.0 + 600)
        page.js("rhas.main.timeline.show(arguments[0], arguments[0] + 60)", hour * 3600.0 + 570)
        page.js("document.getElementById('scroll').dispatchEvent(new Event('scroll'))")
        page.settle()
    tell("seen at every hour")
    first = page.time
    for _ in range(20):
        page.click("mistake")
        page.click("doubt")
    assert page.time > first
    tell("forty jumps")
    page.keys(" ")
    wait(lambda: page.time > first + 5, 60)
    page.keys(" ")
    tell("played")
    page.js("rhas.main.timeline.show(arguments[0] - 30, arguments[0] + 30)", page.time)
    page.js("(document.getElementById('scroll').scrollTop = 0)")
    page.settle()
    before = len(page.truth(0))
    row = page.js("rhas.main.rows.list[1]")
    at = page.time
    page.press(page.place(at, 0, row["action"], "scores"))
    page.keys("a")
    assert len(page.truth(0)) >= before - 1
    saved = page.save(downloads)
    tell("edited and saved")
    assert len(saved.read_text().splitlines()) > 100_000
    page.keys("z", Keys.CONTROL)
    print("\n".join(told))
    assert max(highest) < MOST
    assert page.problems() == []
