"""`rhas export --features`: a features folder as files that hubs and other programs read, with a data card.

out/
  README.md         the card: what is in it, made how, with which weights and settings; how to read it
  data/SPLIT/…      the features: MOVIE_ID.parquet, or 000000.tar …; SPLIT is the manifest's, or `all`
  manifest.csv, labels.csv, actions.csv, splits.csv   as in the folder, movies by their names alone

In: a features folder. Out: the above, in a folder that is new or empty. Files are written by `feature_files`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from rhas.manifests.common.atomic import write_bytes_atomically, write_text_atomically
from rhas.manifests.common.errors import InputError, Problem
from rhas.manifests.common.interruption import check
from rhas.manifests.shards.reader import FeaturesReader, end_s
from rhas.manifests.shards.status import FrameStatus, streams_of
from rhas.manifests.shards.verify import read_config
from rhas.manifests.tables.csvfile import write_rows
from rhas.manifests.tables.inputs import Inputs, load_inputs
from rhas.manifests.tables.manifest import OPTIONAL_COLUMNS, REQUIRED_COLUMNS
from rhas.manifests.tables.vocabulary import write_vocabulary
from rhas.pipeline.programs.feature_files import ParquetFiles, PersonRecord, TarFiles

Form = Literal["parquet", "webdataset"]
NO_SPLIT = "all"


@dataclass
class _Counts:
    """What is in the files, for the card."""

    movies: dict[str, float] = field(default_factory=dict)  # seconds of each
    persons: Counter[str] = field(default_factory=Counter)  # by split
    statuses: Counter[str] = field(default_factory=Counter)
    shape: tuple[int, ...] = ()
    lost: list[str] = field(default_factory=list)


def export_features(features: Path, out: Path, form: Form) -> Iterator[str]:
    """Writes the folder; yields lines on it. Raises InputError for what is no features folder, and an `out` in use."""
    reader = FeaturesReader(features)
    folder, record = reader.folder, read_config(reader.folder)
    inputs = load_inputs(
        folder.manifest, folder.labels if folder.labels.is_file() else None,
        folder.actions if folder.actions.is_file() else None,
    )  # fmt: skip
    if out.exists() and any(out.iterdir()):
        raise InputError(Problem("--out", "a folder that is new or empty", value=str(out)))
    (out / "data").mkdir(parents=True, exist_ok=True)
    counts = _Counts()
    files = ParquetFiles(out / "data") if form == "parquet" else TarFiles(out / "data")
    with files:
        for person in _persons(reader, inputs, counts):
            check()
            files.add(person)
    _write_tables(reader, inputs, out)
    card = _card(out.resolve().name, form, reader, record, inputs, counts)
    write_text_atomically(out / "README.md", "\n".join(card) + "\n")
    frames = sum(count for name, count in counts.statuses.items() if name != "outside")
    yield f"{out}: {len(counts.movies)} movies, {sum(counts.persons.values())} persons, {frames} frames as {form}"
    if counts.lost:
        yield f"{len(counts.lost)} movies have no features: {', '.join(counts.lost[:10])}"


def _persons(reader: FeaturesReader, inputs: Inputs, counts: _Counts) -> Iterator[PersonRecord]:
    for movie in inputs.manifest.movies:
        if not reader.folder.shard(movie.movie_id).is_file():
            counts.lost.append(movie.movie_id)
            continue
        with reader.shard(movie.movie_id) as shard:
            for person in movie.persons:
                series = shard.person(person.person_id)
                split = person.split or NO_SPLIT
                counts.movies[movie.movie_id] = end_s(series.time_s)
                counts.persons[split] += 1
                names = (FrameStatus(int(status)).name.lower() for status in series.status)
                counts.statuses.update(names)
                counts.shape = series.holistic.shape[1:]
                own = None if inputs.labels is None else inputs.labels.intervals.get(person.key, ())
                yield PersonRecord(person, split, shard.path, series, own, inputs.vocabulary)


def _write_tables(reader: FeaturesReader, inputs: Inputs, out: Path) -> None:
    """What lies beside the features. Where movies lay here is nobody else's business."""
    rows = (
        (p.movie_id, movie.video.name, p.person_id, p.reference, p.start_s, "" if p.end_s == float("inf") else p.end_s,
         p.split or "", *p.others)
        for movie in inputs.manifest.movies
        for p in movie.persons
    )  # fmt: skip
    write_rows(out / "manifest.csv", REQUIRED_COLUMNS + OPTIONAL_COLUMNS + inputs.manifest.others, rows)
    write_vocabulary(inputs.vocabulary, out / "actions.csv")
    for path in (reader.folder.labels, reader.folder.folds):
        if path.is_file():
            write_bytes_atomically(out / path.name, path.read_bytes())


def _card(
    name: str, form: Form, reader: FeaturesReader, record: dict[str, Any], inputs: Inputs, counts: _Counts
) -> Iterator[str]:
    pattern = "*.parquet" if form == "parquet" else "*.tar"
    files = [{"split": split, "path": f"data/{split}/{pattern}"} for split in sorted(counts.persons)]
    front = {
        "tags": ["action-segmentation", "video-features", "rhas"],
        "configs": [{"config_name": "default", "data_files": files}],
    }
    yield from ("---", yaml.safe_dump(front, sort_keys=False).strip(), "---", "", f"# {name}", "")
    yield (
        "Features of movies in which persons are referred to by a sentence, for referring human action segmentation; "
        "made with [rhas](https://pypi.org/project/rhas/)."
    )
    yield "\n## What is in it\n"
    hours = sum(counts.movies.values()) / 3600
    size = " × ".join(map(str, counts.shape))
    yield f"- {len(counts.movies)} movies of {hours:.2f} hours, {sum(counts.persons.values())} persons"
    yield f"- Splits: {', '.join(f'{split} ({count} persons)' for split, count in sorted(counts.persons.items()))}"
    kinds = {"holistic": "of the whole frame (`holistic`)", "partial": "of the person (`partial`)"}
    streams = streams_of(record["config"])
    yield f"- Features of {size} numbers, float16, {' and '.join(kinds[stream] for stream in streams)}"
    labelled = "none" if inputs.labels is None else f"{inputs.labels.count} intervals (labels.csv)"
    yield f"- Labels: {labelled}, of {len(inputs.vocabulary)} actions (actions.csv)"
    shares = ", ".join(f"{name} {count}" for name, count in counts.statuses.most_common())
    yield f"- Frames of persons by status: {shares}. A feature is there where the status says so, and nowhere else."
    if counts.lost:
        yield f"- Movies without features: {', '.join(counts.lost)}"
    yield f"- Digest of the features folder: `{reader.digest()}`"
    yield "\n## How to read it\n"
    yield from _READING[form]
    yield "\n## How it was made\n"
    models = record["models"] or {}
    yield from (
        f"- {part}: `{about.get('name')}`, weights `{about.get('hash')}`" for part, about in models.items()
    )
    yield from (
        "",
        "```yaml",
        yaml.safe_dump(json.loads(json.dumps(record["config"])), sort_keys=False).strip(),
        "```",
    )
    yield "\n## What its owner has to say\n"
    yield "Where the movies are from, who may use what was made of them, and under which licence: not known to rhas."


_READING: dict[Form, Sequence[str]] = {
    "parquet": (
        "A row is a frame of a person: `movie_id`, `person_id`, `reference`, `split`, `time_s`, `source_frame`,",
        "`status`, `holistic` and `partial` (null where there is none), `box` (x1 y1 x2 y2 as shares of the frame),",
        "`score`, `sure`, `actions` (null where nothing is known: nobody labelled the person, or the person is away,",
        "which `absent` says).",
        "",
        "```python",
        "from datasets import load_dataset  # or pyarrow.parquet, pandas, polars, duckdb",
        "",
        'frames = load_dataset("parquet", data_files="data/*/*.parquet")',
        "```",
    ),
    "webdataset": (
        "A sample is a person: `json` (movie_id, person_id, reference, split, labels as intervals in seconds, the",
        "statuses' names), and arrays over all frames of the movie: `time_s.npy`, `source_frame.npy`, `status.npy`,",
        "`holistic.npy` and `partial.npy` (NaN where there is none), `box.npy` (x1 y1 x2 y2 as shares of the frame),",
        "`score.npy`, `sure.npy`.",
        "",
        "```python",
        "import webdataset",
        "",
        'persons = webdataset.WebDataset("data/all/000000.tar", shardshuffle=False).decode()',
        "```",
    ),
}
