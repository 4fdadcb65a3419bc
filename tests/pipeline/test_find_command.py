"""`rhas find` on a made movie of which one person was asked for: the others are found by words and by pictures.

The detector of the extraction knows the truth; the encoder is the shipped one. Truth of tracks is the made world's.
"""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import av
import cv2
import numpy as np
import pytest
from extractions import assert_same, problems, series
from seen_world import SeenWorld, TrueDetector, extract_seen, true_pool
from typer.testing import CliRunner, Result

from rhas.extract.config import RunOptions
from rhas.extract.run.accounts import EXIT_DONE, EXIT_SOME_FAILED
from rhas.extract.run.adding import add
from rhas.manifests.common.errors import InputError
from rhas.manifests.shards.layout import FeaturesFolder
from rhas.manifests.shards.people import BYTES_A_SECOND, KEPT, People, read_people
from rhas.manifests.shards.reader import FeaturesReader
from rhas.manifests.shards.status import FrameStatus
from rhas.manifests.tables.manifest import load_manifest
from rhas.pipeline.cli import app
from rhas.pipeline.programs.finding import find
from rhas.pipeline.world.lives.layers import FPS

MOVIE = "world_0000"
# Whom nobody asked for, by what is theirs alone in this movie.
WORDS = {1: "the woman in a red shirt", 2: "the woman with the yellow shirt", 3: "the man with a white hat"}


@dataclass(frozen=True)
class Extracted:
    world: SeenWorld
    manifest: Path
    out: Path

    @property
    def people(self) -> People:
        people = read_people(FeaturesFolder(self.out).people(MOVIE))
        assert people is not None
        return people

    def whose(self) -> dict[int, int]:
        """By track: of which person of the truth all of its boxes are. Fails where they are of two."""
        arrays, truth, found = self.people.arrays, self.world.truth[MOVIE], {}
        for track in range(self.people.tracks):
            own = np.flatnonzero(arrays["track"] == track)
            frames = np.rint(arrays["time_s"][own] * FPS).astype(int)
            away = np.abs(truth.boxes[frames] - arrays["box"][own, None]).max(axis=-1)
            persons = set(np.where(np.isnan(away), np.inf, away).argmin(axis=1).tolist())
            assert len(persons) == 1, "a track of two persons"
            found[track] = persons.pop()
        return found


@pytest.fixture(scope="module")
def extracted(tmp_path_factory: pytest.TempPathFactory) -> Extracted:
    """p1's features, and everybody's tracks; another movie of the manifest isn't there. Afterwards no movie is."""
    folder = tmp_path_factory.mktemp("find")
    world = SeenWorld.made(folder / "world", 1, 3, (12, 14))
    manifest = world.manifest_of(folder / "manifest.csv")
    with manifest.open("a") as file:
        file.write(f"gone,{folder}/gone.mp4,p1,somebody\n")
    summary = extract_seen(world, manifest, folder / "features")
    assert summary.exit_code == EXIT_SOME_FAILED and [f.movie_id for f in summary.failures] == ["gone"]
    return Extracted(world, manifest, folder / "features")


def test_everybody_has_tracks_though_one_was_asked_for(extracted: Extracted) -> None:
    whose, truth = extracted.whose(), extracted.world.truth[MOVIE]
    people = extracted.people
    cut_s = people.arrays["cut_s"]
    assert set(whose.values()) == set(range(truth.boxes.shape[1])) == {0, 1, 2, 3}
    for person in range(4):
        own = [track for track, of in whose.items() if of == person]
        time_s = people.arrays["time_s"][np.isin(people.arrays["track"], own)]
        looked = np.unique(people.arrays["time_s"])
        visible = truth.visible[np.rint(looked * FPS).astype(int), person] >= 0.5
        assert len(time_s) >= 0.8 * visible.sum() > 5  # whom others cover is one with them
    for track in whose:  # no track goes over a cut
        time_s = people.arrays["time_s"][people.arrays["track"] == track]
        assert len(np.unique(np.searchsorted(cut_s, time_s, side="right"))) == 1


def test_pictures_show_who_is_there(extracted: Extracted) -> None:
    people = extracted.people
    assert (people.arrays["state"] == KEPT).all()
    for crop in (0, len(people.arrays["crop"]) - 1):
        jpeg = cv2.imdecode(np.frombuffer(people.jpeg(crop), np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
        sight = people.arrays["crop"][crop]
        frame = round(people.arrays["time_s"][sight] * FPS)
        x1, y1, x2, y2 = people.arrays["box"][sight] * np.array([160, 96, 160, 96])
        grow = 0.1 * max(x2 - x1, y2 - y1)
        left, top = max(0, round(x1 - grow)), max(0, round(y1 - grow))
        true = picture(extracted, frame)[top:, left:][: jpeg.shape[0], : jpeg.shape[1]]
        assert np.abs(true.astype(int) - jpeg).mean() < 6


def picture(extracted: Extracted, frame: int) -> np.ndarray:
    with av.open(str(extracted.world.root / "movies" / f"{MOVIE}.mp4")) as container:
        return next(f for i, f in enumerate(container.decode(video=0)) if i == frame).to_ndarray(
            format="rgb24"
        )


def test_a_second_of_film_takes_no_more_than_it_may(extracted: Extracted) -> None:
    folder = FeaturesFolder(extracted.out)
    size = folder.people(MOVIE).stat().st_size + folder.tracks(MOVIE).stat().st_size
    assert size <= BYTES_A_SECOND * len(extracted.world.pictures[MOVIE]) / FPS


def test_verification_finds_nothing(extracted: Extracted) -> None:
    assert problems(extracted.out) == []


@pytest.fixture
def nothing_else(extracted: Extracted, tmp_path: Path) -> Path:
    """The features, where there is no movie, and no detector can be loaded."""
    shutil.copytree(extracted.out, tmp_path / "features")
    movies = extracted.world.root / "movies"
    movies.rename(tmp_path / "hidden")
    with patch("rhas.extract.ground.load_detector", side_effect=AssertionError("the detector was loaded")):
        yield tmp_path / "features"
    (tmp_path / "hidden").rename(movies)


def test_words_find_whom_nobody_asked_for(extracted: Extracted, nothing_else: Path) -> None:
    whose = extracted.whose()
    for person, sentence in WORDS.items():
        finding = find(nothing_else, [MOVIE], sentence, None)
        own = [track for track, of in whose.items() if of == person]
        assert [found.track for found in finding.found[: len(own)]] != []
        assert {found.track for found in finding.found[: len(own)]} == set(own)
        assert all(found.sure > 0.5 for found in finding.found[: len(own)])
        assert all(found.sure <= found.words for found in finding.found)
        assert all(found.sure < 0.5 for found in finding.found[len(own) :])
    nobody = find(nothing_else, [MOVIE], "the woman in the green shirt", None)  # a man has it
    assert max(found.words for found in nobody.found) < 0.5


def test_a_picture_finds_the_same_person_in_another_shot(extracted: Extracted, nothing_else: Path) -> None:
    """By colours, as the shipped encoder has no vectors: three of four people, mostly, where chance is one of four."""
    whose, people, right = extracted.whose(), extracted.people, []
    cut_s, tracks = people.arrays["cut_s"][0], people.crops_of_tracks()
    example = nothing_else / "example.jpg"
    for crop in np.flatnonzero(people.arrays["time_s"][people.arrays["crop"]] > cut_s):
        example.write_bytes(people.jpeg(int(crop)))
        finding = find(nothing_else, [MOVIE], None, example)
        assert finding.measures["likeness"].startswith("colours")
        before = [found for found in finding.found if found.end_s < cut_s]
        right.append(whose[before[0].track] == whose[int(tracks[crop])])
    assert len(right) == 12 and sum(right) >= 8


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["find", *map(str, arguments)], catch_exceptions=True)


def test_the_command_says_and_writes_what_it_found(
    extracted: Extracted, nothing_else: Path, tmp_path: Path
) -> None:
    out, sheet = tmp_path / "found.json", tmp_path / "found.png"
    asked = [nothing_else, "--movies", "all", "--person", WORDS[1], "--sheet", sheet]
    told = run(*asked, "--out", out, "--top", 3)
    assert told.exit_code == 0, told.output
    said = json.loads(out.read_text())
    assert said["person"] == WORDS[1] and list(said["left_out"]) == ["gone"]
    assert len(said["tracks"]) == extracted.people.tracks
    best = said["tracks"][0]
    assert extracted.whose()[best["track"]] == 1
    line = next(line for line in told.output.splitlines() if f"{best['start_s']:.2f}" in line)
    assert MOVIE in line and f"{best['sure']:.3f}" in line
    assert "left out" in told.output and "sure was measured nowhere" in told.output
    drawn = cv2.imread(str(sheet))
    # The best track's first picture, at its place: enlarged to 128 pixels, and as red as a red shirt.
    cell = drawn[26 : 26 + 128, 8 : 8 + 128].astype(int)
    assert ((cell[..., 2] > 130) & (cell[..., 1] < 90) & (cell[..., 0] < 90)).mean() > 0.015
    assert run(*asked, "--out", tmp_path / "found.csv").exit_code == 0
    rows = list(csv.DictReader((tmp_path / "found.csv").open()))
    assert [int(row["track"]) for row in rows] == [track["track"] for track in said["tracks"]]
    assert [float(row["sure"]) for row in rows] == [track["sure"] for track in said["tracks"]]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--movie", "nope", "--person", "the man"], "one of world_0000, gone"),
        (["--movie", "gone", "--person", "the man"], "no stored tracks yet"),
        (["--movie", MOVIE, "--person", "  "], "a sentence that says who is meant"),
        (["--movie", MOVIE], "--like"),
        (["--person", "the man"], "--movies all"),
        (["--movies", "some", "--person", "the man"], "all"),
        (["--movie", MOVIE, "--like", "nowhere.png"], "nowhere.png"),
        (["--movie", MOVIE, "--person", "the man", "--out", "found.txt"], ".json or .csv"),
        (["--movie", MOVIE, "--person", "the man " * 60], "tokens"),
    ],
)
def test_what_cant_be_asked_is_refused(
    extracted: Extracted, arguments: Sequence[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    refused = run(extracted.out, *arguments)
    assert refused.exception is not None and said in str(refused.exception)
    assert list(tmp_path.iterdir()) == []


def test_without_everybodys_tracks_it_says_how_to_get_them(extracted: Extracted, tmp_path: Path) -> None:
    """And looking for everybody has changed nobody's features."""
    shutil.copy(extracted.manifest, tmp_path / "all.csv")
    only = tmp_path / "manifest.csv"
    only.write_text("\n".join(extracted.manifest.read_text().splitlines()[:2]) + "\n")
    assert (
        extract_seen(extracted.world, only, tmp_path / "out", "tracks.everybody=null").exit_code == EXIT_DONE
    )
    assert_same(series(tmp_path / "out"), series(extracted.out), tolerance=0.0)
    assert not (tmp_path / "out" / "people").exists()
    refused = run(tmp_path / "out", "--movie", MOVIE, "--person", "the man")
    assert "tracks.everybody=the person" in str(refused.exception) and "rhas extract" in str(
        refused.exception
    )


def test_a_file_that_is_gone_is_told_and_made_again(extracted: Extracted, tmp_path: Path) -> None:
    out = tmp_path / "features"
    shutil.copytree(extracted.out, out)
    path = FeaturesFolder(out).people(MOVIE)
    before, features = path.read_bytes(), series(out)
    path.unlink()
    assert any("people" in problem and "rerun" in problem for problem in problems(out))
    extract_seen(extracted.world, extracted.manifest, out)
    assert path.read_bytes() == before
    assert_same(series(out), features, tolerance=0.0)
    assert problems(out) == []
    path.write_bytes(before[:-50])
    assert any("people" in problem for problem in problems(out))


def test_who_was_found_can_be_added_by_the_same_sentence(extracted: Extracted, tmp_path: Path) -> None:
    """Nothing is detected again; the other's features and everybody's tracks stay as they are."""
    out, folder = tmp_path / "features", FeaturesFolder(tmp_path / "features")
    shutil.copytree(extracted.out, out)
    before, people = series(out), folder.people(MOVIE).read_bytes()
    persons = tmp_path / "persons.csv"
    persons.write_text(f"movie_id,person_id,reference\n{MOVIE},x,the woman in the green shirt\n")
    with pytest.raises(InputError, match="rhas find"):  # nobody
        add(persons, out, RunOptions())
    persons.write_text(f"movie_id,person_id,reference\n{MOVIE},red,{WORDS[1]}\n")
    detector = TrueDetector(extracted.world)
    with true_pool(extracted.world), patch("rhas.extract.ground.load_detector", lambda config: detector):
        summary = add(persons, out, RunOptions(batch=16))
    assert summary.exit_code == EXIT_SOME_FAILED and [f.movie_id for f in summary.failures] == [
        "gone"
    ]  # as before
    assert detector.looked == 0 and folder.people(MOVIE).read_bytes() == people
    after = series(out)
    assert {key[1] for key in after} == {"p1", "red"} and problems(out) == []
    assert_same(before, {key: own for key, own in after.items() if key[1] == "p1"}, tolerance=0.0)
    # Where they are is where the truth has them, and nowhere else are they.
    own, truth = FeaturesReader(out).person(MOVIE, "red"), extracted.world.truth[MOVIE]
    frames = np.rint(own.time_s * FPS).astype(int)
    has_box = own.status == FrameStatus.TRACKED
    assert has_box.sum() >= 0.8 * (truth.visible[frames, 1] >= 0.5).sum() > 10
    exact = np.abs(own.box[...][has_box] - truth.boxes[frames[has_box], 1]).max(axis=1)
    assert (exact < 0.01).mean() > 0.9
    assert np.isfinite(own.partial[...][has_box].astype(float)).all()
    assert np.isfinite(own.holistic[...].astype(float)).all()
    assert [p.person_id for p in load_manifest(folder.manifest).persons] == ["p1", "red", "p1"]
