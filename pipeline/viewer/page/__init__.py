"""The page of `rhas view`: hand-written HTML, CSS and JavaScript, used as they stand.

index.html     what there is before any data is
view.css       how it looks
data.js        loads files of data, keeps the latest
labels.js      intervals of persons, and edits of them with undo
table.js       checks labels and writes labels.csv
find.js        the next mistake, the next uncertain stretch
clock.js       movie time: of a playing movie, or of none
stage.js       the movie with boxes
rows.js        which persons and actions are shown, and where
timeline.js    draws what is visible of them
gestures.js    mouse on the timeline: seek, select, drag
panel.js       lists, filters and what is told beside the movie
main.js        begins, keys, buttons
"""

from __future__ import annotations

from pathlib import Path

HTML = "index.html"
_FOLDER = Path(__file__).parent


def page_files() -> dict[str, bytes]:
    """Contents by name."""
    return {
        path.name: path.read_bytes()
        for path in sorted(_FOLDER.iterdir())
        if path.suffix in (".html", ".css", ".js")
    }
