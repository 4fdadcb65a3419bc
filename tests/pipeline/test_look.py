"""`rhas look`: what the picture of a shard says can be read, and who is absent is shown to be."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pytest
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from viewed import numbered_movie, write_viewed

from rhas.manifests.common.errors import InputError
from rhas.manifests.tables.labels import Interval
from rhas.pipeline.views.picture import draw_movie


@pytest.fixture
def drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Figure:
    """The figure of a movie: a does fourteen things and is then away, b is away from beginning to end."""
    names = [f"action {n} of a long $name_{n}" for n in range(14)]
    own = (*(Interval(name, n / 5, n / 5 + 0.5) for n, name in enumerate(names)), Interval("N/A", 3.1, 4.0))
    labels = {("m1", "a"): own, ("m1", "b"): (Interval("N/A", 0.0, 4.0),)}
    features, _ = write_viewed(tmp_path, [numbered_movie("m1")], labels, {})
    monkeypatch.setattr(plt, "close", lambda _: None)
    draw_movie(features, "m1", tmp_path / "m1.png")
    assert (tmp_path / "m1.png").stat().st_size > 10_000
    figure = plt.gcf()
    monkeypatch.undo()
    yield figure
    plt.close(figure)


def test_no_two_texts_overlap(drawn: Figure) -> None:
    renderer = drawn.canvas.get_renderer()  # type: ignore[attr-defined]
    texts = [text for axis in drawn.axes for text in axis.get_yticklabels() if text.get_text()]
    assert len(texts) >= 14 + 6
    texts += [axis.title for axis in drawn.axes if axis.title.get_text()]
    texts += [figure._suptitle for figure in (drawn, *drawn.subfigs)]
    texts += drawn.legends[0].get_texts()
    boxes = [(text.get_text(), text.get_window_extent(renderer)) for text in texts]
    clashes = [(a, b) for (a, one), (b, other) in combinations(boxes, 2) if one.overlaps(other)]
    assert clashes == []


def test_who_is_absent_is_shown_so(drawn: Figure) -> None:
    one, other = (figure.axes for figure in drawn.subfigs)
    titles = [axis.get_title() for axis in one[4:]]
    assert titles[-1] == "3.9 s: absent" and not any("absent" in title for title in titles[:4])
    assert all(axis.get_title().endswith(": absent") for axis in other[4:])
    labels = other[1]  # below the status
    assert labels.get_ylabel() == "absent" and not labels.get_yticklabels()
    (hatched,) = [patch for patch in labels.patches if patch.get_hatch()]
    assert hatched.get_extents().width == pytest.approx(labels.bbox.width * 4.0 / 3.9, rel=0.01)


@pytest.mark.parametrize("name", ["m1.txt", "m1"])
def test_a_name_that_is_no_pictures_is_refused(tmp_path: Path, name: str) -> None:
    features, _ = write_viewed(tmp_path, [numbered_movie("m1")], {}, {})
    with pytest.raises(InputError, match=rf"--out: got '.*{name}': expected a picture's name"):
        draw_movie(features, "m1", tmp_path / name)
    assert not list(tmp_path.glob("m1.*"))
