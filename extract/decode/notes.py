"""What is unusual about a movie, in a sentence each: recorded with its features, shown by the plan and by the run."""

from __future__ import annotations

from rhas.extract.decode.index import MovieIndex
from rhas.extract.decode.picture import HDR

NOTABLE_OFFSET_S = 0.1
FAR_ENTRIES_S = 60.0  # further apart, reading from somewhere else takes long


def notes_on(index: MovieIndex) -> list[str]:
    """Sentences about a movie that is fine and yet may not be what its owner takes it for."""
    facts, notes = index.facts, []
    if abs(facts.offset_s) > NOTABLE_OFFSET_S:
        notes.append(
            f"its picture begins {facts.offset_s:.3f} s after the container's clock: times that were taken from a "
            "player may count from there (--time-origin container)"
        )
    if facts.joined_at_s:
        places = ", ".join(f"{time_s:.3f}" for time_s in facts.joined_at_s[:5])
        more = f" and {len(facts.joined_at_s) - 5} more" if len(facts.joined_at_s) > 5 else ""
        notes.append(f"its clock starts again or jumps at {places} s{more}: what follows goes on from there")
    if facts.order == "decoding":
        notes.append("it has no stamps: frames are shown in the order of decoding, at the container's rate")
    if facts.interlaced:
        notes.append("it is interlaced: of each frame the first field is shown")
    if (name := HDR.get(facts.transfer)) is not None:
        notes.append(f"its brightness is coded as {name}, which is not mapped to that of ordinary movies")
    if lost := int((index.row < 0).sum()):
        notes.append(f"its last {lost} frames are promised by the container and not there")
    apart_s = max([*(index.entry_s[1:] - index.entry_s[:-1]), index.end_s - index.entry_s[-1]])
    if apart_s > FAR_ENTRIES_S:
        notes.append(
            f"decoding can't begin anywhere in {apart_s:.0f} s of it, so reading parts of it takes long"
        )
    return notes
