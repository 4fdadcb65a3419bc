"""Content addresses: what makes two windows, or two extractions, the same.

A window's id covers everything that its features depend on: the configuration and the weights' hashes, the movie's
bytes, the persons' sentences and intervals, which samples it holds, and what tracks say of these. So a rerun skips a
window exactly when computing it again would give the same.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from typing import Any

from rhas.manifests.tables.manifest import Person


def content_id(value: Any) -> str:
    """128-bit hex digest of a JSON-able value, independent of the order of keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def movie_identity(extraction_id: str, digest: str, persons: Sequence[Person]) -> dict[str, Any]:
    """What all features of a movie depend on, as it is stored in its shard."""
    return {
        "extraction": extraction_id,
        "video": digest,
        "persons": {
            p.person_id: [p.reference, p.start_s, None if math.isinf(p.end_s) else p.end_s] for p in persons
        },
    }


def window_id(movie: dict[str, Any], start: int, stop: int, tracks: str = "") -> str:
    """Id of the samples [start, stop) of the movie with identity `movie`; `tracks`: the digest of what they say."""
    return content_id([movie, start, stop, *([tracks] if tracks else [])])
