"""The claim about tables that users hand in: a million rows are read in seconds, and are small in memory.

In: nothing. Out: rows for the table of `tests.bench`. Seconds are CPU seconds, MiB the peak of a process that does
nothing but import what it needs and read. Labels and boxes have 1 M rows, the manifest 100 000 persons in 25 000
movies.

    python -m tests.bench.tables NAME     # one of `READERS`, as JSON: what `tables` starts
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

FOLDER = Path("bench/tables")
MOVIES, PERSONS, LABELLED, ROWS = 25_000, 4, 2000, 1_000_000
MOST_S, MOST_MIB = 5, 400


def tables() -> list[dict]:
    """The worse of seconds over 5 and MiB over 400, for each table."""
    _write_tables()
    rows = []
    for name in READERS:
        command = [sys.executable, "-m", "tests.bench.tables", name]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        ratio = max(found["seconds"] / MOST_S, found["MiB"] / MOST_MIB)
        rows.append(
            {
                "what": f"{name}: the worse of s / {MOST_S} and MiB / {MOST_MIB}",
                "ratio": ratio,
                "aim": "<= 1",
                **found,
            }
        )
    return rows


def _read_labels(labels: str) -> Callable[[], object]:
    def read() -> object:
        from rhas.manifests.tables.inputs import load_inputs

        return load_inputs(FOLDER / "manifest.csv", FOLDER / labels)

    return read


def _read_manifest() -> object:
    from rhas.manifests.tables.manifest import load_manifest

    return load_manifest(FOLDER / "manifest.csv")


def _read_boxes() -> object:
    from rhas.manifests.tables.boxes import load_boxes

    return load_boxes(FOLDER / "boxes.csv")


READERS: dict[str, Callable[[], object]] = {
    "100 000 rows of a manifest": _read_manifest,
    "that and 1 M rows of labels": _read_labels("labels.csv"),
    "the same, every movie unknown": _read_labels("unknown.csv"),
    "200 rows of unknown movies": _read_labels("few_unknown.csv"),
    "1 M rows of boxes": _read_boxes,
}


def _write_tables() -> None:
    from rhas.manifests.tables.vocabulary import load_vocabulary

    FOLDER.mkdir(parents=True, exist_ok=True)
    draw = random.Random(0)
    actions = load_vocabulary().actions
    persons = [(f"movie_{movie:05}", f"p{number}") for movie in range(MOVIES) for number in range(PERSONS)]
    manifest = (
        f"{movie},{movie}.mp4,{person},the one called {person} in {movie}" for movie, person in persons
    )
    _write("manifest.csv", "movie_id,video,person_id,reference", manifest)
    keys = [persons[number % (LABELLED * PERSONS)] for number in range(ROWS)]
    draw.shuffle(keys)
    times_s = [
        (start := 9 * number % 7919 + draw.random(), start + 4 * draw.random() + 0.1)
        for number in range(ROWS)
    ]
    labels = [
        f"{person},{draw.choice(actions)},{start:.3f},{end:.3f}"
        for (_, person), (start, end) in zip(keys, times_s, strict=True)
    ]
    header = "movie_id,person_id,action,start_s,end_s"
    unknown = [f"flim_{number:07},{row}" for number, row in enumerate(labels)]
    _write("labels.csv", header, (f"{movie},{row}" for (movie, _), row in zip(keys, labels, strict=True)))
    _write("unknown.csv", header, unknown)
    _write("few_unknown.csv", header, unknown[:200])
    _write("boxes.csv", "movie_id,person_id,time_s,x1,y1,x2,y2",
           (f"{movie},{person},{number / 15},{draw.random() / 2:.6f},0.125,{0.5 + draw.random() / 2:.6f},0.75"
            for number, (movie, person) in enumerate(keys)))  # fmt: skip


def _write(name: str, header: str, rows: Iterable[str]) -> None:
    (FOLDER / name).write_text("\n".join((header, *rows)) + "\n")


def _measure(name: str) -> dict[str, float]:
    from rhas.manifests.common.errors import InputError

    began = time.process_time()
    try:
        READERS[name]()
        problems = 0
    except InputError as error:
        problems = len(error.problems) + error.more
    seconds = time.process_time() - began
    # Not `getrusage`, which tells the peak of the process that started this one if that was higher.
    lines = Path("/proc/self/status").read_text().splitlines()
    peak_KiB = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    return {"seconds": seconds, "MiB": peak_KiB / 1024, "problems": problems}


if __name__ == "__main__":
    print(json.dumps(_measure(sys.argv[1])))
