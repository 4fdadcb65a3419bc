"""Names and sentences of others are text: shown as they are, never markup, and saved as they are."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from selenium.webdriver import Chrome

from rhas.manifests.tables.labels import Interval
from rhas.manifests.tables.vocabulary import Vocabulary
from rhas.pipeline.viewer.folder import Played, ViewFolder
from rhas.pipeline.viewer.sources import MovieSource, PersonSource
from tests.browser.driving import Page

NAMES = [
    "<script>window.hit = 1</script>",
    "<img src=x onerror='window.hit = 1'>",
    "</script><script>window.hit = 1</script>",
    "\"><b>bold</b> & 'quoted' &lt;so&gt; `x` ${window.hit = 1}",
    "two\nlines\r\nand a third\u2028and \u2029more",
    "الرجل ذو القبعة الزرقاء",
    "איש \u202e reversed",
    "👩‍👩‍👧‍👦 🇺🇳 e\u0301",
    ';,\t""=1+1',
    "rhas.give('index', 0); //",
]


def test_names_are_text(driver: Chrome, tmp_path: Path, downloads: Path) -> None:
    folder = ViewFolder(tmp_path / "view", Vocabulary(tuple(NAMES)))
    folder.begin()
    time_s = np.arange(30) / 10
    persons = tuple(
        PersonSource(name, name, None, np.ones(30, bool), np.full((30, 4), 0.25, np.float32), None, None)
        for name in NAMES
    )
    labels = {name: (Interval(name, 0.5, 2.0),) for name in NAMES}
    folder.add(MovieSource(NAMES[0], time_s, 3.0, persons), (), labels, Played(None, note=NAMES[1]))
    others = [(NAMES[3], NAMES[4], NAMES[0], 0.1, 0.25)]
    folder.finish(others, NAMES)
    page = Page(driver, tmp_path / "view")
    page.seek(1.0)
    assert page.js("window.hit") is None
    assert page.js("[...document.querySelectorAll('#now .person b')].map((e) => e.textContent)") == NAMES
    spans = page.js("[...document.querySelectorAll('#now .person span')].map((e) => e.textContent)")
    assert spans == [name for name in NAMES for _ in range(2)]  # the sentence, and what they do
    assert page.js("[...document.querySelectorAll('#actions span')].map((e) => e.textContent)") == [
        *NAMES,
        "N/A",
    ]
    assert page.js("document.querySelector('#movie option').textContent") == NAMES[0]
    assert page.js("document.getElementById('note').textContent") == NAMES[1]
    for place in range(len(NAMES)):  # the editor
        page.js("rhas.main.timeline.revealRow(rhas.main.rows.find(arguments[0], arguments[0]))", place)
        page.frame()
        page.press(page.place(1.0, place, place))
        assert page.js("document.querySelector('#selected b').textContent") == NAMES[place]
        assert (
            page.js("document.getElementById('edit-action').selectedOptions[0].textContent") == NAMES[place]
        )
    assert page.js("document.querySelectorAll('img, b b, main script').length") == 0
    assert page.js("window.hit") is None and page.problems() == []
    with page.save(downloads).open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file, strict=True))
    assert rows[0] == ["movie_id", "person_id", "action", "start_s", "end_s"]
    expected = [[NAMES[0], name, name, "0.5", "2"] for name in NAMES]
    assert rows[1:] == [*expected, [NAMES[3], NAMES[4], NAMES[0], "0.1", "0.25"]]


def test_a_script_in_the_page_would_not_run(driver: Chrome, tmp_path: Path) -> None:
    """Were a name ever to become markup, the page's policy lets no script of it run."""
    folder = ViewFolder(tmp_path / "view", Vocabulary(("walk",)))
    folder.begin()
    person = PersonSource("p", "p", None, np.ones(3, bool), np.full((3, 4), np.nan, np.float32), None, None)
    folder.add(MovieSource("m", np.arange(3) / 10, 0.3, (person,)), (), {}, Played(None))
    folder.finish([], [])
    page = Page(driver, tmp_path / "view")
    page.js("(document.getElementById('note').innerHTML = '<img src=x onerror=\"window.hit = 1\">')")
    page.js("new Promise((r) => setTimeout(r, 300))")
    assert page.js("window.hit") is None
    assert any("Content Security Policy" in problem for problem in page.problems())
