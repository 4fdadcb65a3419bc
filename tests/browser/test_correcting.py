"""Looking, searching and correcting in a browser, and what `rhas labels` makes of the labels that were saved."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.keys import Keys
from typer.testing import CliRunner
from viewed import numbered_movie, write_viewed

from rhas.manifests.tables.labels import Interval, load_labels
from rhas.pipeline.cli import app
from tests.browser.driving import Page, wait

RUNNING, WALKING, ABSENT = 0, 1, 2
A_LABELS = (Interval("walking", 1.0, 2.0), Interval("running", 2.0, 3.0), Interval("N/A", 3.0, 3.5))
B_LABELS = (Interval("running", 1 / 3, 2.1),)  # no sample's time: it has to come back to the bit
OTHER = Interval("walking", 0.1 + 0.2, 0.7)


def a_scores() -> np.ndarray:
    """Walking from 1.5 on instead of 1, running right, and uncertain about running from 0.2 to 0.8."""
    scores = np.full((40, 2), 0.05)
    scores[15:20, WALKING] = 0.9
    scores[20:30, RUNNING] = 0.95
    scores[2:8, RUNNING] = 0.45
    return scores


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    movies = [numbered_movie("m1"), numbered_movie("m2", "fragmented.mp4")]
    labels = {("m1", "a"): A_LABELS, ("m1", "b"): B_LABELS, ("m2", "a"): (OTHER,)}
    features, predictions = write_viewed(tmp_path, movies, labels, {("m1", "a"): a_scores()})
    rhas("view", "--shards", features, "--predictions", predictions, "--out", tmp_path / "view")
    return tmp_path


def rhas(*arguments: object) -> str:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert done.exit_code == 0, (done.output, done.exception)
    return done.output


def as_labels(saved: Path, folder: Path) -> dict:
    """What `rhas labels` takes over from a saved file."""
    rhas("labels", folder / "features", "--labels", saved)
    return {
        key: list(own)
        for key, own in load_labels(folder / "features" / "labels.csv", None, None).intervals.items()
    }


def test_what_nobody_edits_comes_back_to_the_bit(driver: Chrome, folder: Path, downloads: Path) -> None:
    page = Page(driver, folder / "view")
    before = load_labels(folder / "features" / "labels.csv", None, None).intervals
    assert as_labels(page.save(downloads), folder) == {key: list(own) for key, own in before.items()}
    assert page.problems() == []


def test_labels_of_movies_that_are_not_shown_are_saved_too(
    driver: Chrome, folder: Path, downloads: Path
) -> None:
    rhas("view", "--shards", folder / "features", "--movie", "m2", "--out", folder / "one")
    page = Page(driver, folder / "one")
    assert page.js("rhas.main.state.index.movies.length") == 1
    found = as_labels(page.save(downloads), folder)
    assert found == {("m1", "a"): list(A_LABELS), ("m1", "b"): list(B_LABELS), ("m2", "a"): [OTHER]}


def test_edits_by_mouse_and_keys(driver: Chrome, folder: Path, downloads: Path) -> None:
    page = Page(driver, folder / "view")
    page.settle()
    # An end is dragged from 2 s to 2.5 s, to a sample.
    page.drag(page.place(1.999, 0, WALKING), page.place(2.52, 0, WALKING))
    assert ("walking", 1.0, 2.5) in page.truth()
    # The whole segment is moved by half a second.
    page.drag(page.place(1.7, 0, WALKING), page.place(2.2, 0, WALKING))
    assert ("walking", 1.5, 3.0) in page.truth()
    page.keys("z", Keys.CONTROL)
    assert ("walking", 1.0, 2.5) in page.truth()
    # Split at the playhead, which a click has brought there; then the first half is deleted.
    page.press(page.place(1.6, 0, WALKING))
    assert page.time == pytest.approx(1.6, abs=0.02)
    page.keys("s")
    assert [row[1:] for row in page.truth() if row[0] == "walking"] == [(1.0, 1.6), (1.6, 2.5)]
    page.press(page.place(1.2, 0, WALKING))
    page.keys(Keys.DELETE)
    assert [row[1:] for row in page.truth() if row[0] == "walking"] == [(1.6, 2.5)]
    # A new one is drawn; then the selected one begins at the playhead.
    page.drag(page.place(0.2, 0, RUNNING), page.place(0.81, 0, RUNNING), Keys.SHIFT)
    assert ("running", 0.2, 0.8) in page.truth()
    page.seek(0.4)
    page.keys("[")
    assert ("running", 0.4, 0.8) in page.truth()
    found = as_labels(page.save(downloads), folder)
    assert found[("m1", "a")] == [
        Interval("running", 0.4, 0.8),
        Interval("walking", 1.6, 2.5),
        Interval("running", 2.0, 3.0),
        Interval("N/A", 3.0, 3.5),
    ]
    assert found[("m1", "b")] == list(B_LABELS) and found[("m2", "a")] == [OTHER]
    assert "Saved" in page.said and page.problems() == []


def test_an_edit_that_rhas_labels_would_refuse_is_not_saved(
    driver: Chrome, folder: Path, downloads: Path
) -> None:
    page = Page(driver, folder / "view")
    page.settle()
    page.drag(page.place(2.99, 0, RUNNING), page.place(3.3, 0, RUNNING))  # into N/A
    assert "overlaps N/A" in page.said
    for old in downloads.glob("*"):
        old.unlink()
    page.open(1)  # another movie is open, and the mistake is in this one
    page.click("save")
    wait(lambda: "Not saved. In m1" in page.said)
    assert not list(downloads.glob("*")) and page.js("rhas.main.state.scene.number") == 0
    page.settle()
    page.keys("z", Keys.CONTROL)
    assert as_labels(page.save(downloads), folder)["m1", "a"] == list(A_LABELS)


def test_predictions_become_labels(driver: Chrome, folder: Path, downloads: Path) -> None:
    page = Page(driver, folder / "view")
    page.settle()
    page.double(page.place(1.7, 0, WALKING, "predicted"))  # 1.5 to 2, within what is labelled: nothing more
    assert [row for row in page.truth() if row[0] == "walking"] == [("walking", 1.0, 2.0)]
    page.press(page.place(1.5, 0, WALKING))
    page.keys(Keys.DELETE)
    page.press(page.place(1.7, 0, WALKING, "predicted"))
    page.keys("a")
    assert [row for row in page.truth() if row[0] == "walking"] == [("walking", 1.5, 2.0)]
    page.js("rhas.timeline && document.getElementById('scroll').focus()")
    box = page.place(0.5, 0, RUNNING)
    page.press((30, box[1] - 35))  # the person's own row
    driver.find_element("xpath", "//button[text()='Take all predictions as labels']").click()
    assert as_labels(page.save(downloads), folder)["m1", "a"] == [
        Interval("walking", 1.5, 2.0),
        Interval("running", 2.0, 3.0),
    ]


def test_the_next_mistake_and_the_next_uncertain_stretch(driver: Chrome, folder: Path) -> None:
    page = Page(driver, folder / "view")
    page.settle()
    driver.find_element("id", "least").clear()
    driver.find_element("id", "least").send_keys("0.3", Keys.ESCAPE)
    page.click("mistake")
    assert page.said == "mistake: a, walking, 0:01.000 to 0:01.500" and page.time == 1.0
    page.click("mistake")
    assert page.said == "mistake: a, N/A, 0:03.000 to 0:03.500"  # nobody said that they would be away
    page.click("mistake")
    assert page.said == "No mistake there."
    page.seek(0)
    page.click("doubt")
    assert "a, running, 0:00.200 to 0:00.800" in page.said and page.time == pytest.approx(0.2)
    page.seek(4)
    page.keys("n", Keys.SHIFT)
    page.keys("n", Keys.SHIFT)
    assert page.time == 1.0
    # Once it is corrected it is no mistake any more.
    page.drag(page.place(1.001, 0, WALKING), page.place(1.5, 0, WALKING))
    page.seek(0)
    page.click("mistake")
    assert "a, N/A" in page.said


def test_mistakes_are_where_just_one_of_two_is_and_nobody_is_absent(driver: Chrome, folder: Path) -> None:
    """Drawn lanes with overlaps, against a look at every moment."""
    page = Page(driver, folder / "view")
    rng = np.random.default_rng(0)
    lanes = []
    for _ in range(300):
        starts = [np.sort(rng.integers(0, 20, rng.integers(0, 5))) for _ in range(3)]
        lanes.append([[[int(s), int(s + rng.integers(1, 6))] for s in own] for own in starts])
    found = page.js(
        "arguments[0].map((three) => { const [a, b, gone] = three.map((rows) => { rows.sort((x, y) => x[0] - y[0] ||"
        " x[1] - y[1]); return new rhas.labels.Lane(rows.map((r) => r[0]), rows.map((r) => r[1])); });"
        " return rhas.find.without(rhas.find.differences(a, b), gone, 3, 22); })",
        lanes,
    )
    for three, flat in zip(lanes, found, strict=True):
        for t in np.arange(0.5, 30):
            one, other, gone = (any(s <= t < e for s, e in own) for own in three)
            inside = any(s <= t < e for s, e in zip(flat[::2], flat[1::2], strict=True))
            assert inside == (one != other and not gone and 3 < t < 22)


def test_filters_and_search(driver: Chrome, folder: Path) -> None:
    page = Page(driver, folder / "view")
    page.settle()
    rows = "rhas.main.rows.list.map(({person, action}) => [person, action])"
    assert page.js(rows) == [[0, None], [0, RUNNING], [0, WALKING], [0, ABSENT], [1, None], [1, RUNNING]]
    find = driver.find_element("id", "find")
    find.send_keys("wömán")
    assert page.js(rows) == [[1, None], [1, RUNNING]]
    find.clear()
    find.send_keys("walk")
    assert page.js(rows) == [[0, None], [0, WALKING]]
    find.clear()
    find.send_keys(" ")
    driver.find_elements("css selector", "#persons input")[0].click()
    driver.find_elements("css selector", "#actions input")[RUNNING].click()
    assert page.js(rows) == [[1, None]]
    driver.find_element("id", "every").click()
    assert page.js(rows) == [[1, None], [1, WALKING], [1, ABSENT]]


def test_it_plays_in_step(driver: Chrome, folder: Path) -> None:
    page = Page(driver, folder / "view")
    page.settle()
    page.seek(0.5)
    page.keys(" ")
    wait(lambda: page.time > 1.0)
    page.keys(" ")
    page.settle()
    paused = page.time
    assert abs(page.js("document.getElementById('video').currentTime") - paused) < 0.1
    page.keys(".")
    assert page.time == pytest.approx(np.floor(paused * 10 + 1e-3) / 10 + 0.1)
    page.keys(Keys.ARROW_LEFT)
    assert page.time == pytest.approx(np.floor(paused * 10 + 1e-3) / 10 - 0.9)


def test_boxes_are_drawn_where_they_are(driver: Chrome, folder: Path) -> None:
    from rhas.manifests.shards.reader import FeaturesReader

    page = Page(driver, folder / "view")
    page.settle()
    series = FeaturesReader(folder / "features").person("m1", "a")
    sample = int(np.flatnonzero(np.isfinite(series.box[:, 0]))[3])
    page.seek(float(series.time_s[sample]))
    seen = page.js("rhas.stage.seen(rhas.main.state.scene, 0, arguments[0])", sample)
    assert seen["box"] == pytest.approx(series.box[sample].tolist(), abs=1e-4)
    assert seen["sure"] == pytest.approx(float(series.sure[sample]), abs=1 / 250)
    assert seen["status"] == series.status[sample]
    x1, y1, x2, _ = np.sort(series.box[sample].reshape(2, 2), axis=0).reshape(-1)
    # Its upper edge, in the person's colour.
    colour = page.js(
        "((x, y) => { const c = document.getElementById('boxes');"
        " const p = rhas.stage.picture(document.getElementById('video'), c.width, c.height);"
        " const near = c.getContext('2d').getImageData(p.x + x * p.w - 8, p.y + y * p.h - 4, 16, 8).data;"
        " return Array.from({length: 128}, (_, i) => [...near.slice(4 * i, 4 * i + 3)]); })(...arguments)",
        float((x1 + x2) / 2), float(y1),
    )  # fmt: skip
    assert [255, 221, 64] in colour


def test_nothing_is_fetched_from_anywhere(driver: Chrome, folder: Path) -> None:
    moved = folder / "moved <folder> & 'so' ü"
    shutil.copytree(folder / "view", moved)
    driver.get_log("performance")
    page = Page(driver, moved)
    page.settle()
    asked = [
        message["params"]["request"]["url"]
        for entry in driver.get_log("performance")
        if (message := json.loads(entry["message"])["message"])["method"] == "Network.requestWillBeSent"
    ]
    assert len(asked) > 10 and all(url.startswith(("file:", "about:", "data:")) for url in asked)
    assert page.problems() == []
