"""The report of a run: a page that holds everything itself, and a movie in which boxes are where they are."""

from __future__ import annotations

import base64
import csv
import io
import json
import shutil
from html.parser import HTMLParser
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from rhas.manifests.common.errors import InputError
from rhas.manifests.shards.reader import FeaturesReader
from rhas.pipeline.report.making import write_report
from rhas.pipeline.report.movie import _TITLE, _WIDTH
from rhas.pipeline.report.page import METRICS, Page, render

YELLOW = np.array([255, 221, 64])


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.sources: list[tuple[str, str]] = []
        self.cells: list[str] = []
        self.open: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.sources += [
            (tag, value or "") for name, value in attrs if name in ("src", "href", "srcset", "data")
        ]
        if tag not in ("meta", "img"):
            self.open.append(tag)
        if tag == "td":
            self.cells.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "td":
            self.cells[-1] += data
        if "style" not in self.open:
            self.text += data


def read(html: str) -> _Reader:
    reader = _Reader()
    reader.feed(html)
    reader.close()
    assert not reader.open, "a tag is left open"
    return reader


@pytest.fixture(scope="module")
def report(made_demo: Path) -> Path:
    return made_demo / "report"


def test_the_page_holds_its_pictures_and_its_movie_itself(report: Path) -> None:
    page = read((report / "index.html").read_text())
    kinds = [tag for tag, _ in page.sources]
    assert kinds.count("video") == 1 and kinds.count("img") >= 1 and "script" not in kinds
    for tag, source in page.sources:
        head, _, data = source.partition(",")
        content = base64.b64decode(data, validate=True)
        if tag == "video":
            assert head == "data:video/mp4;base64" and content == (report / "movie.mp4").read_bytes()
        else:
            assert head == "data:image/png;base64" and Image.open(io.BytesIO(content)).width > 500
    assert "http" not in (report / "index.html").read_text().split("base64,")[0]


def test_the_page_has_the_numbers_of_the_run(report: Path, made_demo: Path) -> None:
    cells = read((report / "index.html").read_text()).cells
    metrics = json.loads((made_demo / "run" / "metrics.json").read_text())["test"]
    row = cells[: len(METRICS) + 1]
    assert row[0] == "model" and len(cells) == 5 * (len(METRICS) + 1)
    assert float(row[1]) == pytest.approx(metrics["model"]["chosen"]["f1_macro@50"], abs=0.06)
    rows = csv.DictReader((made_demo / "run" / "results.csv").open())
    table = [row for row in rows if row["split"] == "test"]
    for name, shown in zip(METRICS, row[1:], strict=True):
        assert shown == "–" or float(shown) == pytest.approx(float(table[0][name]), abs=0.051)


def test_the_movie_shows_boxes_where_they_are_in_real_time(report: Path, made_demo: Path) -> None:
    page = (report / "index.html").read_text()
    with av.open(report / "movie.mp4") as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert stream.average_rate == 15 and 7 < float(stream.duration * stream.time_base) < 11
        pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
    shown = [
        series
        for series in FeaturesReader(made_demo / "features").persons()
        if f"{series.movie_id}: “{series.reference}”" in page
    ]
    assert len(shown) == 1
    checked, scale = 0, np.array([_WIDTH, _WIDTH * 96 / 160] * 2)
    for sample in range(0, len(shown[0]), 2):
        box, picture = shown[0].box[sample], pictures[min(3 * sample, len(pictures) - 1)]
        if shown[0].status[sample] != 1 or not np.isfinite(box).all():
            continue
        near = (np.abs(picture.astype(int) - YELLOW).sum(2) < 130)[_TITLE : _TITLE + 384]
        x1, y1, x2, y2 = np.clip(box * scale, 2, [_WIDTH - 3, 381] * 2).round().astype(int)
        edges = [near[y1:y2, max(0, x - 3) : x + 4].any(1).mean() for x in (x1, x2)]
        assert np.mean(edges) > 0.7
        checked += 1
    assert checked >= 3


def test_words_of_others_are_words_and_not_html() -> None:
    hostile = "<script>alert('x')</script> & \"quotes\""
    page = Page(
        title=hostile, about=hostile, results=[{"system": hostile} | dict.fromkeys(METRICS, "1.0")], movie=None,
        movie_text=hostile, timelines=[], facts={hostile: hostile},
    )  # fmt: skip
    html = render(page)
    assert "<script" not in html
    assert read(html).text.count(hostile) == 7


def test_a_movie_that_is_gone_is_said_to_be(made_demo: Path, tmp_path: Path) -> None:
    movies, hidden = made_demo / "movies" / "movies", made_demo / "movies" / "hidden"
    shutil.move(movies, hidden)
    try:
        page = write_report(made_demo / "run", tmp_path, say=lambda _: None)
    finally:
        shutil.move(hidden, movies)
    assert "There is no movie to show" in page.read_text() and not (tmp_path / "movie.mp4").exists()


def test_a_movie_that_never_was_is_an_error_that_names_those_there_are(
    made_demo: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"--movie.*world_0") as caught:
        write_report(made_demo / "run", tmp_path, movie="nowhere", say=lambda _: None)
    assert "nowhere" in str(caught.value)
