"""The report's HTML: a single page that holds its pictures and its movie itself and needs no script and no network."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from rhas.train.evaluation.annotator import SPREAD_S

METRICS = {
    "macro F1@50": "segments found: F1 of those that overlap a true one by half or more, mean over actions",
    "macro F1@25": "the same from an overlap of a quarter",
    "macro F1@10": "the same from an overlap of a tenth",
    "micro F1@50": "F1@50 counted over the segments of all actions together",
    "frame mAP": "how well scores rank the frames of each action: mean average precision",
    "example-based F1": "per frame, F1 of the predicted set of actions",
    "ACC": "per frame, how many of the actions that are true or predicted are both",
    "edit": "how alike the order of segments is, whatever their lengths",
}
NAMES = {"constant": "always the most frequent action", "prior": "actions drawn by their frequency",
         "person_mode": "each person's own most frequent set (knows the truth)",
         "second_annotator": f"a second annotator, boundaries ± {SPREAD_S:g} s (knows the truth)"}  # fmt: skip
_STYLE = """
:root { color-scheme: light dark; --ink: #1e2026; --paper: #faf9f6; --quiet: #6b6a66; --line: #d6d4cd;
  --best: #0072b2; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #ece9e2; --paper: #17181b; --quiet: #a3a19a; --line: #3a3b40; --best: #6cb8ea; }
  img { background: #fff; }
}
body { margin: 0 auto; padding: 2rem 1.2rem 4rem; max-width: 62rem; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .4rem; } h2 { font-size: 1.2rem; margin: 2.4rem 0 .6rem; }
p { max-width: 46rem; } .quiet, figcaption, dd { color: var(--quiet); font-size: .9rem; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .45rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; padding-left: 0; white-space: normal; min-width: 10rem; }
th { font-weight: 600; font-size: .85rem; } td.best { color: var(--best); font-weight: 700; }
figure { margin: 1rem 0 1.6rem; } img, video { width: 100%; height: auto; border-radius: 4px; display: block; }
video { max-width: 40rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; font-size: .9rem; }
dt { font-weight: 600; } dd { margin: 0; overflow-wrap: anywhere; }
@media (max-width: 36rem) { dl { grid-template-columns: 1fr; } dd { margin-bottom: .5rem; } }
"""


@dataclass(frozen=True)
class Page:
    """What the page says; texts are plain, pictures and movie are files."""

    title: str
    about: str  # a paragraph under the title
    results: Sequence[Mapping[str, str]]  # rows of results.csv: the model first, then the baselines
    movie: Path | None
    movie_text: str  # what the movie shows, or why there is none
    timelines: Sequence[tuple[str, Path]]  # caption, picture
    facts: Mapping[str, str]  # how it was made


def render(page: Page) -> str:
    """The page as HTML."""
    text = escape(page.movie_text)
    movie = f"<p>{text}</p>"
    if page.movie:
        movie = f"<figure>{_video(page.movie)}<figcaption>{text}</figcaption></figure>"
    pictures = "".join(
        f'<figure><img src="{_data(png, "image/png")}" alt="timeline: {escape(text)}">'
        f"<figcaption>{escape(text)}</figcaption></figure>"
        for text, png in page.timelines
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(page.title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>{escape(page.title)}</h1>
<p>{escape(page.about)}</p>
<h2>Results</h2>
<div class="scroll">{_table(page.results)}</div>
<p class="quiet">Percent; the best of each column is marked.</p>
{_list(METRICS)}
<h2>The movie</h2>
{movie}
<h2>Timelines</h2>
<p>Blue is true, orange is predicted; where it is grey, nothing counts: the person isn't there, or isn't labelled.</p>
{pictures}
<h2>How it was made</h2>
{_list(page.facts)}
</body>
</html>
"""


def _table(rows: Sequence[Mapping[str, str]]) -> str:
    # A second annotator is a ceiling, not a contestant.
    ranked = [row for row in rows if row["system"] != "second_annotator"]
    best = {name: max((float(row[name]) for row in ranked if row[name]), default=None) for name in METRICS}
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in ("", *METRICS))
    body = ""
    for row in rows:
        cells = f"<td>{escape(NAMES.get(row['system'], row['system']))}</td>"
        for name in METRICS:
            value = float(row[name]) if row[name] else None
            marked = ' class="best"' if value is not None and value == best[name] else ""
            cells += f"<td{marked}>{'–' if value is None else f'{value:.1f}'}</td>"
        body += f"<tr>{cells}</tr>"
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _list(entries: Mapping[str, str]) -> str:
    return "<dl>" + "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in entries.items()) + "</dl>"


def _video(movie: Path) -> str:
    return f'<video controls loop muted autoplay playsinline src="{_data(movie, "video/mp4")}"></video>'


def _data(file: Path, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(file.read_bytes()).decode()}"
