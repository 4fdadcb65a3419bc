"""Persons and actions as they stand in annotation tools.

A person is shown as `p1: the woman in the red coat`, so that annotators see who is meant; the id before the colon says
who it is. Ids may have colons themselves: then the whole text has to be as it was shown.
"""

from __future__ import annotations

from collections.abc import Sequence

from rhas.manifests.common.errors import did_you_mean, shorten
from rhas.manifests.tables.manifest import Movie, Person
from rhas.manifests.tables.vocabulary import ABSENT, Vocabulary


def shown(person: Person) -> str:
    """A person's id and the beginning of the sentence."""
    return f"{person.person_id}: {shorten(person.reference)}"


def person_of(text: str, movie: Movie) -> str | None:
    """Who is meant by a text that a tool shows; None for nobody of this movie, or somebody who can't be told."""
    text = text.strip()
    exact = [p.person_id for p in movie.persons if text in (p.person_id, shown(p))]
    fitting = exact or [p.person_id for p in movie.persons if text.startswith(f"{p.person_id}:")]
    return fitting[0] if len(fitting) == 1 else None


def choices(vocabulary: Vocabulary) -> tuple[str, ...]:
    """What can be said of a person: the actions, and that they are absent."""
    return (*vocabulary.actions, ABSENT)


def action_expected(text: str, vocabulary: Vocabulary) -> str | None:
    """What was expected instead of a text that is none of these."""
    known: Sequence[str] = choices(vocabulary)
    if text == ABSENT or text in vocabulary:
        return None
    return f"one of the {len(vocabulary)} actions, or {ABSENT}{did_you_mean(text, known)}"
