"""`rhas import`: data of others to a manifest and labels, or to a whole features folder; weights to a run's folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from rhas.extract.decode.container import claimed_length_s
from rhas.manifests.common.lock import locked
from rhas.manifests.imports.arrays import Layout
from rhas.manifests.imports.ava import AvaImport, import_ava
from rhas.manifests.imports.dataset import ImportedSet, write_dataset
from rhas.manifests.imports.label_map import load_action_list
from rhas.manifests.imports.mstcn import read_mstcn
from rhas.manifests.imports.multilabel import MultilabelOptions, read_multilabel
from rhas.manifests.imports.refava import read_refava
from rhas.manifests.imports.rhas133 import read_rhas133
from rhas.manifests.imports.rhas133_options import Rhas133Options
from rhas.manifests.shards.layout import FeaturesFolder
from rhas.manifests.tables import boxes as known_boxes
from rhas.manifests.tables.clips import write_clips
from rhas.manifests.tables.csvfile import write_rows
from rhas.manifests.tables.labels import write_labels
from rhas.manifests.tables.manifest import SPLITS, write_manifest
from rhas.manifests.tables.vocabulary import load_vocabulary, write_vocabulary

# A line that says what was written, and warnings.
Said = tuple[str, list[str]]

AVA_CUT_S = 900.0  # AVA annotates minutes 15 to 30; many keep only those


def import_ava_files(
    annotations: Path, references: Path, videos: Path, out: Path, actions: Path | None, offset_s: float = 0.0
) -> Said:
    """Writes manifest.csv, labels.csv, actions.csv and boxes.csv into OUT. `actions` None: AVA's own 80."""
    listed = load_action_list(actions)
    found = import_ava(annotations, references, videos, listed, offset_s)
    out.mkdir(parents=True, exist_ok=True)
    write_manifest(found.manifest, out / "manifest.csv")
    write_labels(found.labels, out / "labels.csv")
    write_vocabulary(listed.vocabulary, out / "actions.csv")
    write_rows(out / "boxes.csv", known_boxes.COLUMNS, found.boxes.rows)
    skipped = (
        f"; {len(found.skipped)} annotated persons have no sentence and were left out"
        if found.skipped
        else ""
    )
    movies, persons = len(found.manifest.movies), len(found.manifest.persons)
    said = (
        f"{out}: {movies} movies, {persons} persons, {found.labels.count} intervals of "
        f"{len(listed.names)} actions (actions.csv), {len(found.boxes.rows)} boxes{skipped}"
    )
    return said, [*_left_out(found), *_behind_the_end(found, offset_s)]


def _left_out(found: AvaImport) -> Iterator[str]:
    """What is in the annotations and not in what was written."""
    if found.unlisted:
        ids = ", ".join(map(str, found.unlisted))
        yield f"{sum(found.unlisted.values())} rows are of actions that the list has not (ids {ids}): no labels"
    for count, what in (
        (found.boxes.without_area, "boxes have no area"),
        (found.boxes.contradictory, "key frames give a person two different boxes"),
    ):
        if count:
            yield f"{count} {what}: left out of boxes.csv"


def _behind_the_end(found: AvaImport, offset_s: float) -> Iterator[str]:
    """Movies that end before somebody is annotated, as far as their containers say."""
    for movie in found.manifest.movies:
        length_s = claimed_length_s(movie.video)
        late = [person.start_s for person in movie.persons if length_s and person.start_s > length_s]
        if length_s and late:
            cut = min(late) >= AVA_CUT_S and not offset_s
            yield (
                f"{movie.video}: ends at {length_s:.1f} s, and annotations of {len(late)} of "
                f"{len(movie.persons)} persons begin behind it, from {min(late) + offset_s:g} s on"
                + (": is it a movie of AVA cut at 900 s? Then --offset 900" if cut else "")
            )


def import_refava_folder(directory: Path, videos: Path, out: Path, offset_s: float = 0.0) -> str:
    """Writes OUT/clips.csv and OUT/actions.csv; returns lines that say what is in them, and what isn't."""
    found = read_refava(directory, videos, offset_s)
    out.mkdir(parents=True, exist_ok=True)
    write_vocabulary(found.vocabulary, out / "actions.csv")
    write_clips(found.clips, out / "clips.csv")
    splits = ", ".join(f"{sum(c.split == split for c in found.clips)} {split}" for split in SPLITS)
    movies = {clip.movie_id: clip.video for clip in found.clips}
    lines = [f"{out}: {found.release}, {len(found.clips)} clips of {len(movies)} movies ({splits})"]
    lines += [f"left out: {count} clips with {reason}" for reason, count in sorted(found.left_out.items())]
    if lost := sum(not video.is_file() for video in movies.values()):
        lines.append(f"{lost} of {len(movies)} movies are not in {videos}")
    return "\n".join(lines)


def import_mstcn_folder(
    directory: Path, out: Path, fps: float, tolerance: int, layout: Literal["FxT", "TxF"] | None = None
) -> Said:
    """Writes the features folder OUT."""
    axes: dict[str, Layout] = {"FxT": "F×T", "TxF": "T×F"}  # a command line should need no ×
    imported = read_mstcn(directory, fps, tolerance, axes[layout] if layout else None)
    turned = " (features T×F)" if imported.settings.get("features") == "T×F" else ""
    said, warnings = _write(imported, out)
    return said + turned, warnings


def import_multilabel_files(annotations: Path, features: Path, out: Path, options: MultilabelOptions) -> Said:
    """Writes the features folder OUT."""
    return _write(read_multilabel(annotations, features, options), out)


def import_rhas133_folder(
    directory: Path, out: Path, split_names: Sequence[str], actions: Path | None, **options: object
) -> Said:
    """Writes the features folder OUT. `options`: `Rhas133Options`."""
    splits = {name: side or name for name, _, side in (text.partition("=") for text in split_names)}
    chosen = Rhas133Options(splits=splits, **options)  # type: ignore[arg-type]
    return _write(read_rhas133(directory, chosen, load_vocabulary(actions)), out)


def import_released_weights(
    checkpoint: Path, out: Path, preset: str, overrides: Sequence[str], features: Path | None,
    actions: Path | None, feature_size: int | None, device: str | None,
) -> str:  # fmt: skip
    """Makes the run folder OUT; returns one line that says what was made of the checkpoint."""
    from rhas.train.evaluation.results import tau_text
    from rhas.train.fitting.importing import import_weights
    from rhas.train.runs.run import RunFolder, read_json
    from rhas.train.runs.settings import load_whole_config

    vocabulary = None if actions is None else load_vocabulary(actions)
    config = load_whole_config(preset, overrides)
    found = import_weights(checkpoint, out, config, features, vocabulary, feature_size, device)
    measured = "not measured" if features is None else f"validation macro F1@50 {found.f1_macro_50:.1f}"
    left_out = len(read_json(RunFolder(out).data)["imported"]["left_out"])
    unused = (
        f"; {left_out} tensors of it that nothing uses were left out (data.json names them)"
        if left_out
        else ""
    )
    return f"{out}: {config.model} with the weights of {checkpoint}; τ: {tau_text(found.tau)}, {measured}{unused}"


def _write(imported: ImportedSet, out: Path) -> Said:
    from rich.progress import Progress

    from rhas.pipeline.views.display import make_console

    console = make_console()
    bar = Progress(console=console, transient=True, disable=not console.is_terminal)
    with locked(FeaturesFolder(out).lock), bar as progress:
        task = progress.add_task(f"writing {out}", total=len(imported.movies))
        written = write_dataset(
            FeaturesFolder(out), imported, lambda n, _: progress.update(task, completed=n)
        )
    parts = [
        f"{written.movies} movies ({written.skipped} were there already)",
        f"{written.intervals} intervals",
        *([f"{len(imported.folds)} folds"] if imported.folds else []),
        *(
            [f"{written.cut} movies cut to the shorter of their files, by {written.cut_frames} frames in all"]
            if written.cut
            else []
        ),
        *([f"{written.without_partial} without partial features"] if written.without_partial else []),
    ]
    return f"{out}: {', '.join(parts)}", list(imported.told())
