"""The kinds of worlds: what has to be remembered can be, and was to be seen; the tail is as long as stated."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from rhas.manifests.common.errors import InputError
from rhas.manifests.tables.inputs import load_inputs
from rhas.pipeline.cli import app
from rhas.pipeline.world import MOVIES
from rhas.pipeline.world.lives.kinds import KINDS
from rhas.pipeline.world.lives.layers import FPS, GESTURES, HANDS, POSTURES, Lives
from rhas.pipeline.world.lives.long_tail import LAW
from rhas.pipeline.world.lives.memory import CUPS, HALF_STEP, QUESTIONS, SHEETS, STEPS
from rhas.pipeline.world.movie import MadeMovie
from rhas.pipeline.world.writing import Truth, World, movie_id, truth_path, write_world

MEMORY, LONG_TAIL = KINDS["memory"], KINDS["long-tail"]
WORLD = World(movies=2, seed=2, shortest_s=25.0, longest_s=30.0, kind="memory")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A world of kind memory, as the command makes it."""
    out = tmp_path_factory.mktemp("memory")
    asked = ("--kind", "memory", "--movies", "2", "--seed", "2", "--seconds", "25", "30")
    called = CliRunner().invoke(app, ["world", str(out), *asked])
    assert called.exit_code == 0, called.output
    return out


@pytest.fixture(scope="module")
def remembered() -> list[MadeMovie]:
    return [MadeMovie.made(MOVIES, 1, number, (30, 60), "memory") for number in range(30)]


@pytest.fixture(scope="module")
def varied() -> list[MadeMovie]:
    return [MadeMovie.made(MOVIES, 1, number, (30, 60), "long-tail") for number in range(80)]


def test_the_ordinary_world_is_what_it_was_before_there_were_others(tmp_path: Path) -> None:
    write_world(tmp_path, World(movies=1, seed=5, shortest_s=20, longest_s=24))
    labels = (tmp_path / "labels.csv").read_bytes()
    assert hashlib.sha256(labels).hexdigest() == (
        "f81355b6c24ac28b5ba753c556f19ca0b06c39c1765297e020d516ee1cbcc2d6"
    )
    record = json.loads((tmp_path / "world.json").read_text())
    assert record.pop("kind") == "ordinary"
    (tmp_path / "world.json").write_text(json.dumps(record))  # as a folder of that time has it
    write_world(tmp_path, World(movies=1, seed=5, shortest_s=20, longest_s=24))
    with pytest.raises(InputError, match=r"world\.json"):
        write_world(tmp_path, World(movies=1, seed=5, shortest_s=20, longest_s=24, kind="memory"))


def test_a_kind_that_isn_t_known_is_refused_with_those_that_are() -> None:
    with pytest.raises(InputError, match=r"--kind.*ordinary, memory, long-tail"):
        World(kind="forgetful")


def test_the_same_seed_gives_the_same_to_the_bit(folder: Path, tmp_path: Path) -> None:
    write_world(tmp_path, WORLD)
    for path in (path for path in folder.rglob("*") if path.is_file()):
        assert (tmp_path / path.relative_to(folder)).read_bytes() == path.read_bytes(), path


def test_lives_are_those_of_seed_and_number_alone(
    remembered: list[MadeMovie], varied: list[MadeMovie]
) -> None:
    for movies, kind in ((remembered, "memory"), (varied, "long-tail")):
        again = MadeMovie.made(MOVIES, 1, 7, (30, 60), kind).lives
        for name, layer in vars(again).items():
            np.testing.assert_array_equal(layer, getattr(movies[7].lives, name))
        other = MadeMovie.made(MOVIES, 2, 7, (30, 60), kind).lives
        assert other.hands.shape != again.hands.shape or (other.hands != again.hands).any()


def test_other_kinds_have_the_same_persons_in_the_same_places(remembered: list[MadeMovie]) -> None:
    ordinary = MadeMovie.made(MOVIES, 1, 0, (30, 60))
    assert ordinary.cast == remembered[0].cast and ordinary.shots == remembered[0].shots
    for layer in ("x", "facing", "gait", "posture"):
        np.testing.assert_array_equal(getattr(ordinary.lives, layer), getattr(remembered[0].lives, layer))


@pytest.mark.parametrize("kind", KINDS)
def test_every_frame_has_a_posture_and_a_deed_for_busy_hands(kind: str) -> None:
    movie = MadeMovie.made(MOVIES, 4, 0, (30, 40), kind)
    actions, lives = movie.lives.actions, movie.lives
    assert actions.shape == (movie.frames, len(movie.cast), len(KINDS[kind].actions))
    np.testing.assert_array_equal(actions[..., : len(POSTURES)].argmax(-1), lives.posture)
    assert (actions[..., : len(POSTURES)].sum(-1) == 1).all()
    np.testing.assert_array_equal(actions[..., len(POSTURES) :].sum(-1), lives.hands >= 0)


def test_labels_are_the_truth_of_each_frame_in_the_kind_s_order(folder: Path) -> None:
    inputs = load_inputs(folder / "manifest.csv", folder / "labels.csv", folder / "actions.csv")
    assert inputs.vocabulary.actions == MEMORY.actions
    labels = pd.read_csv(folder / "labels.csv", keep_default_na=False)
    for number in range(2):
        truth = Truth.load(truth_path(folder, movie_id(number)))
        hot = np.zeros_like(truth.actions)
        for row in labels[labels.movie_id == movie_id(number)].itertuples():
            if row.action != "N/A":
                span = slice(round(row.start_s * FPS), round(row.end_s * FPS))
                hot[span, int(row.person_id[1:]) - 1, MEMORY.actions.index(row.action)] = True
        np.testing.assert_array_equal(hot, truth.actions)


def test_what_is_used_was_taken_before_in_plain_view_and_what_is_answered_was_asked(folder: Path) -> None:
    """From the tables and the truth alone: the last cue before a use says which it is."""
    labels, used = pd.read_csv(folder / "labels.csv", keep_default_na=False), 0
    for name, movie in labels.sort_values("start_s", kind="stable").groupby("movie_id"):
        truth = Truth.load(truth_path(folder, str(name)))
        for kinds, apart in ((CUPS, 8), (SHEETS, 8), (QUESTIONS, 3)):
            of = {use: cue for cue, use in kinds.values()}
            for row in movie[movie.action.isin(list(of))].itertuples():
                cues = movie[movie.action.isin(list(of.values())) & (movie.start_s < row.start_s)]
                own = cues.person_id == row.person_id
                cue = cues[~own if kinds is QUESTIONS else own].iloc[-1]
                assert cue.action == of[row.action]
                assert row.start_s - cue.end_s >= apart - 1 / FPS
                span = slice(round(cue.start_s * FPS), round(cue.end_s * FPS)), int(cue.person_id[1:]) - 1
                assert (truth.inside[span] * truth.visible[span]).min() > 0.5
                used += 1
    assert used >= 6


def test_lives_keep_to_what_was_taken_asked_and_done(remembered: list[MadeMovie]) -> None:
    """The same frame by frame, in more movies than are worth drawing; and steps follow from the work done before."""
    index, seconds = MEMORY.actions.index, []
    for movie in remembered:
        actions = movie.lives.actions
        last: list[dict[str, tuple[str, int, int]]] = [{} for _ in movie.cast]  # by person: cue, when, whose
        worked = np.zeros(len(movie.cast), dtype=int)
        for frame, person in np.ndindex(*actions.shape[:2]):
            doing = actions[frame, person]
            for family, kinds in (("cup", CUPS), ("sheet", SHEETS), ("question", QUESTIONS)):
                for cue, use in kinds.values():
                    if doing[index(cue)]:
                        for other in range(len(movie.cast)) if family == "question" else (person,):
                            last[other][family] = cue, frame, person
                    if doing[index(use)]:
                        seen, when, who = last[person][family]
                        assert seen == cue and (who != person) == (family == "question")
                        if not actions[frame - 1, person, index(use)]:
                            seconds.append((family, (frame - when) / FPS))
            steps = [step for step in STEPS if doing[index(step)]]
            if steps:
                assert steps == [STEPS[worked[person] // (2 * HALF_STEP) % 3]]
                worked[person] += 1
    apart = {family: np.array([s for f, s in seconds if f == family]) for family, _ in seconds}
    assert min(len(times) for times in apart.values()) > 20
    assert apart["cup"].min() > 8 and apart["sheet"].min() > 8 and apart["question"].min() > 3
    assert np.median(apart["cup"]) < 30 and apart["question"].max() < 9


def test_longer_movies_ask_for_memories_of_minutes() -> None:
    lives = MadeMovie.made(MOVIES, 1, 0, (300, 300), "memory").lives
    furthest = 0
    for person in range(lives.x.shape[1]):
        for kinds in (CUPS, SHEETS):
            cues, uses = (
                np.flatnonzero(
                    lives.actions[:, person, [MEMORY.actions.index(name) for name in names]].any(1)
                )
                for names in zip(*kinds.values(), strict=True)
            )
            furthest = max(furthest, *(use - cues[cues < use].max() for use in uses))
    assert furthest > 60 * FPS


def _looks(kind: str, movies: list[MadeMovie]) -> dict[str, set[tuple[int, int]]]:
    """Gestures and things with which each action other than postures was drawn."""
    found: dict[str, set[tuple[int, int]]] = {}
    for lives in (movie.lives for movie in movies):
        for frame, person in np.argwhere(lives.hands >= 0):
            action = lives.actions[frame, person, len(POSTURES) :].argmax() + len(POSTURES)
            look = int(lives.hands[frame, person]), int(lives.thing[frame, person])
            found.setdefault(KINDS[kind].actions[action], set()).add(look)
    return found


def _still(movie: MadeMovie, gesture: int, thing: int) -> np.ndarray:
    """The movie's frame 100, with this in the hands of the first person."""
    changed: dict[str, np.ndarray] = {name: layer.copy() for name, layer in vars(movie.lives).items()}
    changed["hands"][100, 0], changed["thing"][100, 0] = gesture, thing
    changed["hands_blend"][100, 0] = changed["posture_blend"][100, 0] = 1
    return replace(movie, lives=Lives(**changed)).picture(100).image


def test_pictures_of_alike_actions_are_the_same_and_all_others_differ(remembered: list[MadeMovie]) -> None:
    looks = _looks("memory", remembered)
    assert set(looks) == set(MEMORY.actions[len(POSTURES) :])
    assert all(len(look) == 1 for look in looks.values())
    movie = next(m for m in remembered if m.picture(100).inside[0] * m.picture(100).visible[0] > 0.95)
    pictures = {action: _still(movie, *next(iter(look))) for action, look in looks.items()}
    groups = MEMORY.same_picture()
    assert Counter(len(set(group)) for group in MEMORY.alike) == {3: 4}
    for first, second in combinations(pictures, 2):
        changed = (pictures[first] != pictures[second]).any(axis=2).sum()
        assert changed == 0 if second in groups[first] else changed > 8, (first, second)


def test_what_is_taken_and_asked_is_large_in_the_picture(remembered: list[MadeMovie]) -> None:
    """Colours make the cue: drawn in any two of them, many pixels of the smallest movie differ clearly."""
    looks = _looks("memory", remembered)
    movie = next(m for m in remembered if m.picture(100).inside[0] * m.picture(100).visible[0] > 0.95)
    for kinds in (CUPS, SHEETS, QUESTIONS):
        pictures = [_still(movie, *next(iter(looks[cue]))).astype(int) for cue, _ in kinds.values()]
        for first, second in combinations(pictures, 2):
            assert (np.abs(first - second).max(axis=2) > 60).sum() > 40


def test_every_rare_action_can_be_told_from_its_picture(varied: list[MadeMovie]) -> None:
    assert len(LONG_TAIL.actions) == len(set(LONG_TAIL.actions)) == 137 and not LONG_TAIL.alike
    looks = _looks("long-tail", varied)
    assert len(looks) > 90 and all(len(look) == 1 for look in looks.values())
    movie = next(m for m in varied if m.picture(100).inside[0] * m.picture(100).visible[0] > 0.95)
    pictures = [_still(movie, *next(iter(look))).tobytes() for look in looks.values()]
    assert len(set(pictures)) == len(pictures)


def test_the_tail_follows_its_law_and_is_as_long_as_refava_s(varied: list[MadeMovie]) -> None:
    counts = sum(movie.lives.actions.sum((0, 1)) for movie in varied)
    begun = sum((np.diff(movie.lives.actions.astype(int), axis=0) == 1).sum((0, 1)) for movie in varied)
    deeds, shares = counts[-len(LAW) :], np.arange(51.0, 180) ** -5
    expected = shares / shares.sum() * deeds.sum()
    ranks = [slice(0, 8), slice(8, 20), slice(20, 45), slice(45, 80), slice(80, 129)]
    for (
        part
    ) in ranks:  # deeds come in pieces of some 30 frames: what is expected of their number, within 4 sigma
        pieces = expected[part].sum() / 30
        assert abs(deeds[part].sum() - expected[part].sum()) < 4 * 35 * np.sqrt(pieces), part
    assert begun[-len(LAW) :][:8].min() > 20 and 10 < (deeds == 0).sum() < 45
    frames = np.sort(np.concatenate([counts[: -len(LAW)], expected]))[::-1]
    assert frames.sum() / sum(m.frames * len(m.cast) for m in varied) > 1.3  # several labels a frame
    assert frames[0] / frames.sum() == pytest.approx(12130 / 58953, abs=0.08)
    assert (frames / frames.sum() * 58953 < 10).mean() == pytest.approx(28 / 80, abs=0.04)
    assert frames[-1] > 1


def test_gestures_begin_with_what_ordinary_hands_do() -> None:
    assert GESTURES[: len(HANDS)] == HANDS
