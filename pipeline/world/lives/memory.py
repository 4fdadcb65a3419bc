"""Lives in which what somebody does depends on what was long ago, so that a picture alone doesn't tell it.

In: ordinary lives, without their drinking and reading. Out: the same, with these between and instead of what hands did:

- A person raises a cup or lifts a sheet, large and red, blue or yellow, for a second and a half, and puts it away. 8
  seconds to minutes later they drink or read, and the picture is the same whatever it was: the action is that of the
  cup, or sheet, that they took last.
- A person works. Each step takes 2.4 seconds of work, after the third comes the first again, and work is interrupted
  after 1.2 to 3.6 seconds and taken up where it was left. It always looks the same: the step follows from how long
  this person has worked since the movie began.
- A person waves a large purple, orange or white flag to ask something; 3 to 8 seconds later another one answers, which
  always looks the same: it is the answer to what was asked last in this movie, by somebody else.

What is taken and asked and how long bouts of work are is drawn independently of all else, and happens in clear view. So
who sees no further than 2 seconds back and ahead has to guess among the actions of `ALIKE`, and who remembers knows.

What guessing costs, for one who knows all else (20 movies of 30 to 60 seconds, seed 1): macro F1@50 is 73 for the most
frequent of each group, 76 by chance, 82 for all of a group at once, where remembering gives 100; over the 12 actions of
`ALIKE` alone 22, 30 and 49.
"""

from __future__ import annotations

import numpy as np

from rhas.pipeline.world.lives.layers import (
    FPS,
    GESTURES,
    HANDS,
    MEETINGS,
    POSTURES,
    THINGS,
    Lives,
    spells,
    with_hands,
)

# What is done by colour: what is seen, and what follows from it.
CUPS = {
    "red": ("taking tea", "drinking tea"),
    "blue": ("taking water", "drinking water"),
    "yellow": ("taking juice", "drinking juice"),
}
SHEETS = {
    "red": ("taking a letter", "reading a letter"),
    "blue": ("taking a map", "reading a map"),
    "yellow": ("taking a score", "reading a score"),
}
QUESTIONS = {
    "purple": ("asking the way", "telling the way"),
    "orange": ("asking the time", "telling the time"),
    "white": ("asking for help", "promising help"),
}
STEPS = ("first step", "second step", "third step")
HALF_STEP = 18  # frames: work is interrupted after one to three of these

_INSTEAD = ("drinking", "reading")  # done only as above
_KEPT = tuple(gesture for gesture in HANDS if gesture not in _INSTEAD)
_CUES = [cue for kinds in (CUPS, SHEETS, QUESTIONS) for cue, _ in kinds.values()]
ALIKE = (*(tuple(use for _, use in kinds.values()) for kinds in (CUPS, SHEETS, QUESTIONS)), STEPS)
ACTIONS = (*POSTURES, *_KEPT, *_CUES, *(action for group in ALIKE for action in group))

_CUE_S, _PAUSE_S = 1.5, 0.4  # a pause is around whatever is done here
_CALM = [POSTURES.index(posture) for posture in ("standing", "walking", "sitting", "crouching")]


def remember(rng: np.random.Generator, lives: Lives, inside_TP: np.ndarray, clear_TP: np.ndarray) -> Lives:
    """The same lives, with cues and what follows from them, work, and questions and answers."""
    diary = _Diary(rng, lives, inside_TP, clear_TP)
    _talk(rng, diary)
    for person in range(lives.x.shape[1]):
        if rng.random() < 0.5:  # nobody has the time for everything in a short movie
            _work(rng, diary, person)
        taken = [(CUPS, "raising", "drinking"), (SHEETS, "lifting", "reading")]
        for number in rng.permutation(2):
            _take(rng, diary, person, *taken[number])
    return with_hands(lives, diary.hands, diary.thing, diary.deed, len(ACTIONS))


class _Diary:
    """What hands do [T, P], and when they are free for more: of who is in view, calm, and not in a meeting."""

    def __init__(
        self, rng: np.random.Generator, lives: Lives, inside_TP: np.ndarray, clear_TP: np.ndarray
    ) -> None:
        self._rng, self._clear = rng, clear_TP
        dropped = np.isin(lives.hands, [HANDS.index(name) for name in _INSTEAD])
        self.hands = np.where(dropped, -1, lives.hands)
        self.thing = np.full(self.hands.shape, -1)
        kept = np.array([ACTIONS.index(name) if name in _KEPT else -1 for name in HANDS] + [-1])
        self.deed = kept[self.hands]
        meeting = np.isin(lives.hands, [HANDS.index(name) for name in MEETINGS])
        self._free = inside_TP & np.isin(lives.posture, _CALM) & ~meeting
        self.seconds = len(self.hands) / FPS

    def enter(
        self,
        person: int,
        between: tuple[float, float],
        gesture: str,
        actions: list[str],
        colour: str | None = None,
    ) -> float | None:
        """Has a person do this, an action for each frame, beginning at a free time between these seconds.

        What has a colour has to be seen by all: nobody may be before it. Tells when it ends; None if there is no such
        time.
        """
        frames, pause = len(actions), round(_PAUSE_S * FPS)
        free = self._free[:, person] & (self._clear[:, person] | (colour is None))
        taken = np.concatenate([[0], np.cumsum(~free)])
        starts = np.arange(
            round(between[0] * FPS), min(round(between[1] * FPS), len(self.hands) - frames) + 1
        )
        low, high = np.maximum(starts - pause, 0), np.minimum(starts + frames + pause, len(self.hands))
        starts = starts[taken[high] == taken[low]][: 3 * FPS]  # soon rather than late
        if not len(starts):
            return None
        start = int(self._rng.choice(starts))
        end, column = start + frames, self.hands[:, person]
        around = max(0, start - pause), end + pause
        for begin, finish, _ in list(spells(column)):
            if begin < around[1] and finish > around[0]:
                # What gives way goes on before and after, unless too little of it is left to be seen.
                first = around[0] if around[0] - begin >= FPS else begin
                last = around[1] if finish - around[1] >= FPS else finish
                column[first:last] = self.deed[first:last, person] = -1
        column[start:end] = GESTURES.index(gesture)
        self.thing[start:end, person] = THINGS.index(("large", colour)) if colour else -1
        self.deed[start:end, person] = [ACTIONS.index(action) for action in actions]
        self._free[around[0] : around[1], person] = False
        return end / FPS


def _take(
    rng: np.random.Generator,
    diary: _Diary,
    person: int,
    kinds: dict[str, tuple[str, str]],
    taking: str,
    using: str,
) -> None:
    """Cues of one sort, each with up to three uses before the next."""
    now = rng.uniform(0, 4)
    while now + 12 < diary.seconds:
        colour = str(rng.choice(list(kinds)))
        cue, use = kinds[colour]
        taken = diary.enter(person, (now, now + 8), taking, [cue] * round(_CUE_S * FPS), colour)
        if taken is None:
            now += 8
            continue
        now, furthest = taken, 30.0  # the first use is seldom further off
        for _ in range(int(rng.integers(2, 4))):
            left = min(furthest, diary.seconds - taken)
            if left > 8:
                due = taken + float(np.exp(rng.uniform(np.log(8), np.log(left))))
                doing = [use] * round(rng.uniform(1.6, 3.2) * FPS)
                # Where there is no time for it then, it is done as soon as may be.
                used = diary.enter(person, (due, due + 8), using, doing)
                used = used or diary.enter(person, (taken + 8, diary.seconds), using, doing)
                now, furthest = max(now, used or now), 150.0
        now += rng.uniform(1, 6)


def _work(rng: np.random.Generator, diary: _Diary, person: int) -> None:
    now, done = rng.uniform(0, 6), 0
    while now < diary.seconds:
        halves = int(rng.integers(1, 4))
        steps = [STEPS[half // 2 % 3] for half in range(done, done + halves) for _ in range(HALF_STEP)]
        ended = diary.enter(person, (now, now + 6), "working", steps, "green")
        if ended is None:
            now += 6
        else:
            now, done = ended + rng.uniform(2.5, 8), done + halves


def _talk(rng: np.random.Generator, diary: _Diary) -> None:
    """Questions and answers, one after the other in the whole movie: what was asked last is never in doubt."""
    now, persons = rng.uniform(1, 6), diary.hands.shape[1]
    while now < diary.seconds:
        colour = str(rng.choice(list(QUESTIONS)))
        question, answer = QUESTIONS[colour]
        asking, *others = (int(person) for person in rng.permutation(persons))
        asked = diary.enter(asking, (now, now + 6), "waving", [question] * round(_CUE_S * FPS), colour)
        if asked is None:
            now += 3
            continue
        now = asked
        for person in others:
            said = [answer] * round(rng.uniform(1.5, 3) * FPS)
            answered = diary.enter(person, (asked + 3, asked + 8), "answering", said)
            if answered is not None:
                now = answered
                break
        now += rng.uniform(4, 14)
