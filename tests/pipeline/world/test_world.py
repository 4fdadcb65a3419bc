"""The made world: the same from the same seed, consistent with itself, and readable as any data set."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from rhas.manifests.common.errors import InputError
from rhas.manifests.shards.reader import FeaturesReader
from rhas.manifests.shards.status import FrameStatus
from rhas.manifests.tables.inputs import load_inputs
from rhas.pipeline.cli import app
from rhas.pipeline.world import HELD_OUT, MOVIES, TRAINING
from rhas.pipeline.world.figure import JOINTS, joints
from rhas.pipeline.world.lives import ACTIONS, FPS, HANDS, POSTURES, live
from rhas.pipeline.world.lives.layers import GESTURES
from rhas.pipeline.world.looks import draw_looks
from rhas.pipeline.world.movie import MadeMovie
from rhas.pipeline.world.references import identifying, refer, traits
from rhas.pipeline.world.writing import OUTSIDE, Truth, World, absences, movie_id, truth_path, write_world

WORLD = World(movies=3, seed=5, shortest_s=20, longest_s=24)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("world")
    write_world(out, WORLD)
    return out


def test_a_seed_gives_the_same_files_to_the_bit_whatever_the_workers(folder: Path, tmp_path: Path) -> None:
    write_world(tmp_path, WORLD, workers=2)
    files = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    assert sum(path.suffix == ".mp4" for path in files) == 3
    for path in files:
        assert (tmp_path / path).read_bytes() == (folder / path).read_bytes(), path


def test_another_seed_gives_other_movies(folder: Path, tmp_path: Path) -> None:
    write_world(tmp_path, World(movies=1, seed=6, shortest_s=20, longest_s=24))
    movie = Path("movies") / f"{movie_id(0)}.mp4"
    assert (tmp_path / movie).read_bytes() != (folder / movie).read_bytes()


def test_a_rerun_makes_what_is_missing_and_refuses_another_world(folder: Path) -> None:
    movie = folder / "movies" / f"{movie_id(1)}.mp4"
    before, kept = movie.read_bytes(), (folder / "movies" / f"{movie_id(0)}.mp4").stat().st_mtime_ns
    movie.unlink()
    write_world(folder, WORLD)
    assert movie.read_bytes() == before
    assert (folder / "movies" / f"{movie_id(0)}.mp4").stat().st_mtime_ns == kept
    with pytest.raises(InputError, match=r"world\.json"):
        write_world(folder, World(movies=3, seed=6, shortest_s=20, longest_s=24))


def test_larger_movies_show_the_same_finer(folder: Path, tmp_path: Path) -> None:
    write_world(tmp_path, World(movies=1, seed=5, shortest_s=20, longest_s=24, scale=3))
    paths = [root / "movies" / f"{movie_id(0)}.mp4" for root in (folder, tmp_path)]
    frames = []
    for path in paths:
        with av.open(path) as container:
            frames.append(next(container.decode(video=0)).to_ndarray(format="rgb24"))
    small, large = frames
    assert large.shape == (288, 480, 3)
    shrunk = large.reshape(96, 3, 160, 3, 3).mean((1, 3))
    assert np.abs(shrunk - small).mean() < 8
    truths = [Truth.load(truth_path(root, movie_id(0))) for root in (folder, tmp_path)]
    np.testing.assert_allclose(truths[0].boxes, truths[1].boxes, atol=0.03)
    np.testing.assert_array_equal(truths[0].actions, truths[1].actions)
    with pytest.raises(InputError, match="--scale"):
        World(scale=0)


def test_its_tables_are_a_data_set_without_a_problem(folder: Path) -> None:
    inputs = load_inputs(folder / "manifest.csv", folder / "labels.csv", folder / "actions.csv")
    assert len(inputs.manifest.movies) == 3 and inputs.vocabulary.actions == ACTIONS
    assert inputs.labels is not None
    assert {person.key for person in inputs.manifest.persons} == set(inputs.labels.intervals)
    for movie in inputs.manifest.movies:
        with av.open(movie.video) as container:
            stream = container.streams.video[0]
            assert (stream.codec_context.name, stream.height, stream.width) == ("h264", 96, 160)
            assert stream.average_rate == FPS and 20 * FPS <= stream.frames <= 24 * FPS


def test_labels_are_the_truth_of_each_frame(folder: Path) -> None:
    labels = pd.read_csv(folder / "labels.csv", keep_default_na=False)
    for number in range(3):
        truth = Truth.load(truth_path(folder, movie_id(number)))
        frames, persons, _ = truth.actions.shape
        for person in range(persons):
            hot, absent = np.zeros((frames, len(ACTIONS)), bool), np.zeros(frames, bool)
            own = labels[(labels.movie_id == movie_id(number)) & (labels.person_id == f"p{person + 1}")]
            for row in own.itertuples():
                span = slice(round(row.start_s * FPS), round(row.end_s * FPS))
                if row.action == "N/A":
                    absent[span] = True
                else:
                    hot[span, ACTIONS.index(row.action)] = True
            np.testing.assert_array_equal(hot, truth.actions[:, person])
            np.testing.assert_array_equal(absent, truth.absent[:, person])
            # One posture for whoever is there, and at most one thing in their hands.
            np.testing.assert_array_equal(hot[:, : len(POSTURES)].sum(1), ~absent)
            assert hot[:, len(POSTURES) :].sum(1).max() <= 1


def test_boxes_hold_all_of_a_person() -> None:
    """Without a person, the picture differs inside of their box only, and there it does."""
    movie = MadeMovie.made(MOVIES, 3, 0)
    for frame in range(0, movie.frames, 37):
        with_everybody = movie.picture(frame)
        for person, box in enumerate(with_everybody.boxes):
            cast = list(movie.cast)
            cast.pop(person)
            others = [i for i in range(len(movie.cast)) if i != person]
            lives = type(movie.lives)(**{name: value[:, others] for name, value in vars(movie.lives).items()})
            without = MadeMovie(**{**vars(movie), "cast": tuple(cast), "lives": lives}).picture(frame)
            changed = np.argwhere((with_everybody.image != without.image).any(axis=2))
            if np.isnan(box[0]):
                assert not len(changed)
            elif with_everybody.visible[person] > 0.5 and with_everybody.inside[person] > 0.5:
                pixels = box * np.array([160, 96, 160, 96])
                low, high = changed[:, ::-1].min(0), changed[:, ::-1].max(0) + 1
                assert (low >= np.floor(pixels[:2])).all() and (high <= np.ceil(pixels[2:])).all()
                if with_everybody.visible[person] == 1:  # nothing hides an edge of the box
                    np.testing.assert_allclose([*low, *high], pixels, atol=1.01)


def test_who_is_hardly_in_the_frame_is_absent_and_a_step_over_the_edge_is_not() -> None:
    inside = np.ones((60, 1))
    inside[10:14] = OUTSIDE / 2
    inside[30:45] = 0
    assert np.flatnonzero(absences(inside)[:, 0]).tolist() == list(range(30, 45))


def test_references_mean_one_person_and_never_name_an_action() -> None:
    rng = np.random.default_rng(0)
    words = {word for action in ACTIONS for word in action.split()} | {"hug", "wave", "walk", "sit", "hands"}
    for _ in range(300):
        looks = draw_looks(rng, int(rng.integers(2, 5)))
        named = [traits(look) for look in looks]
        for person, own in enumerate(named):
            others = named[:person] + named[person + 1 :]
            sentences = refer(rng, own, others, 4)
            assert len(set(sentences)) == 4
            for sentence in sentences:
                assert not words & set(sentence.split()), sentence
                # Whatever is said is true of this person, and no other person has all of it.
                assert _fits(sentence, own) and not any(_fits(sentence, other) for other in others), sentence


_KINDS = {"short": "height", "tall": "height", "man": "gender", "woman": "gender"}


def _fits(sentence: str, person: dict[str, str]) -> bool:
    """Whether everything that a sentence says is true of a person, read from its words alone."""
    words = sentence.split()
    said = {
        noun: words[words.index(noun) - 1] for noun in ("shirt", "trousers", "hair", "hat") if noun in words
    }
    said |= {_KINDS[word]: word for word in words if word in _KINDS}
    return all(person.get(name) == value for name, value in said.items())


def test_two_people_of_a_movie_always_differ_in_what_sentences_can_name() -> None:
    rng = np.random.default_rng(1)
    for _ in range(300):
        looks = draw_looks(rng, 4)
        assert all(a.differences(b) >= 3 for a, b in itertools.combinations(looks, 2))
        named = [traits(look) for look in looks]
        assert all(identifying(own, [o for o in named if o is not own], 3) for own in named)


def test_actions_are_many_at_once_long_tailed_and_follow_one_another_as_their_chain_says() -> None:
    lives = [live(np.random.default_rng(seed), 3, 900) for seed in range(40)]
    hot = np.concatenate([life.actions.reshape(-1, len(ACTIONS)) for life in lives])
    share = hot.mean(axis=0)
    assert share.min() > 0.002 and share.max() / share.min() > 20
    assert 0.2 < (hot.sum(axis=1) > 1).mean() < 0.8
    for life in lives:
        for before, after in itertools.pairwise(life.posture[:, 0].tolist()):
            if POSTURES[before] == "sitting" and after != before:  # walking is also how one leaves or meets
                assert POSTURES[after] in ("standing", "lying", "walking")


def test_meetings_are_of_two_who_stand_beside_each_other() -> None:
    together = 0
    for seed in range(30):
        life = live(np.random.default_rng(seed), 4, 900)
        for deed in ("hugging", "shaking hands"):
            doing = life.hands == HANDS.index(deed)
            assert set(doing.sum(axis=1).tolist()) <= {0, 1, 2, 4}
            for frame in np.flatnonzero(doing.sum(axis=1) == 2):
                first, second = life.x[frame, doing[frame]]
                assert abs(first - second) < 0.25
                together += 1
    assert together > 500


def test_limbs_keep_their_length() -> None:
    at = {name: number for number, name in enumerate(JOINTS)}
    for posture, hands in itertools.product(range(len(POSTURES)), range(-1, len(GESTURES))):
        for time_s in np.linspace(0, 3, 7):
            points = joints(posture, hands, gait=time_s, time_s=time_s)
            for a, b, length in (("hip", "neck", 0.27), ("hip", "knee_a", 0.23), ("elbow_b", "hand_b", 0.15)):
                assert np.linalg.norm(points[at[a]] - points[at[b]]) == pytest.approx(length)


def test_movies_for_experiments_training_and_measuring_are_never_the_same() -> None:
    looks = {stream: MadeMovie.made(stream, 0, 0).cast for stream in (MOVIES, TRAINING, HELD_OUT)}
    assert looks[MOVIES] != looks[TRAINING] != looks[HELD_OUT] != looks[MOVIES]


def test_the_command_makes_a_world_and_names_what_it_can_t_make(tmp_path: Path) -> None:
    made = CliRunner().invoke(app, ["world", str(tmp_path / "w"), "--movies", "1", "--seconds", "2", "3"])
    assert made.exit_code == 0 and "1 movies" in made.output
    assert (tmp_path / "w" / "manifest.csv").is_file()
    command = [sys.executable, "-m", "rhas.pipeline.cli", "world", str(tmp_path / "v"), "--movies", "0"]
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert refused.returncode == 2 and "--movies" in refused.stderr


def test_its_true_boxes_stand_in_for_a_detector(folder: Path, tmp_path: Path) -> None:
    tiny = ("--preset", "tiny-random", "--fps", "5", "--detector", str(folder / "boxes.csv"))
    called = CliRunner().invoke(
        app, ["extract", "--movies", str(folder / "manifest.csv"), "--out", str(tmp_path), *tiny]
    )
    assert called.exit_code == 0, called.output
    reader, found = FeaturesReader(tmp_path), 0
    for movie in load_inputs(folder / "manifest.csv").manifest.movies:
        truth = Truth.load(truth_path(folder, movie.movie_id))
        for column, person in enumerate(movie.persons):
            series = reader.person(*person.key)
            at = (series.time_s * FPS).round().astype(int)
            detected = series.status[:] == FrameStatus.DETECTED
            found += detected.sum()
            np.testing.assert_array_equal(detected, ~truth.absent[at, column])
            np.testing.assert_allclose(series.box[:][detected], truth.boxes[at[detected], column], atol=1e-6)
    assert found > 500
    named = str(tmp_path / "others.csv")
    Path(named).write_text("movie_id,person_id,time_s,x1,y1,x2,y2\nworld_0000,p1,0,0.5,0,0.1,1\n")
    refused = CliRunner().invoke(
        app, ["extract", "--movies", str(folder / "manifest.csv"), "--out", str(tmp_path / "b"), *tiny[:-1], named]
    )  # fmt: skip
    assert isinstance(refused.exception, InputError)
    assert "others.csv, row 2, column x2" in str(refused.exception)
