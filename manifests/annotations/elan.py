"""ELAN's files (.eaf, format 3.0): a tier for each person, with the actions as a controlled vocabulary.

A tier can't hold two things at once, so who does several has several tiers, all with the same PARTICIPANT, which says
who it is; a tier without one is its name's. Times are whole milliseconds of the player's clock. How far movie time is
behind that is a property of the file, and held against what the movie's clock says when the file is read.

Read are the tiers of the linguistic type `action`, or, where there is none, all that hold times and belong to persons
of the movie. Facts: the schema EAFv3.0.xsd of the Max Planck Institute for Psycholinguistics.
"""

from __future__ import annotations

import mimetypes
import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import count
from pathlib import Path, PurePosixPath
from xml.etree.ElementTree import Element

from rhas.manifests.annotations.clocks import PlayerClock
from rhas.manifests.annotations.drawn import Drawn, lanes
from rhas.manifests.annotations.names import choices, person_of, shown
from rhas.manifests.annotations.xml_file import XmlWriter, elements
from rhas.manifests.common.atomic import written_atomically
from rhas.manifests.common.locations import Place, Remote
from rhas.manifests.tables.labels import Interval
from rhas.manifests.tables.manifest import Movie, Person
from rhas.manifests.tables.vocabulary import Vocabulary

SUFFIXES = (".eaf",)
TYPE = "action"
OFFSET = "rhas:movie time begins at, in s"
_SCHEMA = "http://www.mpi.nl/tools/elan/EAFv3.0.xsd"
_NO_LANGUAGE = "http://cdb.iso.org/lg/CDB-00130975-001"
_SAME_S = 5e-4  # offsets that differ by less are the same to ELAN

_Tier = list[tuple[int, int, str]]  # of each annotation: from and to, in ms, and the action


def write_elan(
    path: Path,
    movie: Movie,
    labels: Mapping[str, Sequence[Interval]],
    vocabulary: Vocabulary,
    clock: PlayerClock,
) -> list[str]:
    """Writes a movie's file; `labels` by person_id. Returns lines on what it can't hold."""
    tiers: list[tuple[Person, int, _Tier]] = []
    lost: list[str] = []
    for person in movie.persons:
        for number, lane in enumerate(lanes(labels.get(person.person_id, ())) or [[]], start=1):
            tier = [(clock.played_ms(i.start_s), clock.played_ms(i.end_s), i.action) for i in lane]
            lost += [f"{movie.movie_id}: {i.action} of {person.person_id} at {i.start_s:g} s is less than a millisecond"
                     for i, (start, stop, _) in zip(lane, tier, strict=True) if start >= stop]  # fmt: skip
            tiers.append((person, number, [row for row in tier if row[0] < row[1]]))
    times = sorted({ms for *_, tier in tiers for start, stop, _ in tier for ms in (start, stop)})
    slots = {ms: f"ts{number}" for number, ms in enumerate(times, start=1)}
    entries = {action: f"cveid{number}" for number, action in enumerate(choices(vocabulary))}
    with written_atomically(path) as file:
        xml = XmlWriter(file)
        head = {
            "AUTHOR": "rhas", "DATE": datetime.now().astimezone().isoformat(timespec="seconds"),
            "FORMAT": "3.0", "VERSION": "3.0", "xmlns:xsi": "http://www.w3.org/2001/XMLSchema-instance",
            "xsi:noNamespaceSchemaLocation": _SCHEMA,
        }  # fmt: skip
        with xml.inside("ANNOTATION_DOCUMENT", head):
            with xml.inside("HEADER", {"MEDIA_FILE": "", "TIME_UNITS": "milliseconds"}):
                xml.leaf("MEDIA_DESCRIPTOR", _media(movie.video, path))
                xml.leaf("PROPERTY", {"NAME": OFFSET}, f"{clock.offset_s:.6f}")
            with xml.inside("TIME_ORDER"):
                for ms, slot in slots.items():
                    xml.leaf("TIME_SLOT", {"TIME_SLOT_ID": slot, "TIME_VALUE": str(ms)})
            annotation = count(1)
            for person, lane_number, tier in tiers:
                name = shown(person) if lane_number == 1 else f"{shown(person)} ({lane_number})"
                tier_head = {"TIER_ID": name, "PARTICIPANT": person.person_id, "LINGUISTIC_TYPE_REF": TYPE}
                with xml.inside("TIER", tier_head):
                    for start, stop, action in tier:
                        own = {
                            "ANNOTATION_ID": f"a{next(annotation)}", "CVE_REF": entries[action],
                            "TIME_SLOT_REF1": slots[start], "TIME_SLOT_REF2": slots[stop],
                        }  # fmt: skip
                        with xml.inside("ANNOTATION"), xml.inside("ALIGNABLE_ANNOTATION", own):
                            xml.leaf("ANNOTATION_VALUE", text=action)
            type_head = {"LINGUISTIC_TYPE_ID": TYPE, "TIME_ALIGNABLE": "true", "GRAPHIC_REFERENCES": "false"}
            xml.leaf("LINGUISTIC_TYPE", {**type_head, "CONTROLLED_VOCABULARY_REF": "actions"})
            xml.leaf(
                "LANGUAGE", {"LANG_ID": "und", "LANG_DEF": _NO_LANGUAGE, "LANG_LABEL": "undetermined (und)"}
            )
            with xml.inside("CONTROLLED_VOCABULARY", {"CV_ID": "actions"}):
                xml.leaf("DESCRIPTION", {"LANG_REF": "und"})
                for action, entry in entries.items():
                    with xml.inside("CV_ENTRY_ML", {"CVE_ID": entry}):
                        xml.leaf("CVE_VALUE", {"LANG_REF": "und"}, action)
    return lost


def read_elan(path: Path, movie: Movie, vocabulary: Vocabulary, clock: PlayerClock) -> Drawn:
    """What a file says of the movie's persons. Raises InputError with all that can't be used."""
    drawn = Drawn(path, movie, vocabulary)
    parts: dict[str, list[Element]] = {}
    for element in elements(path, "ANNOTATION_DOCUMENT"):
        parts.setdefault(element.tag, []).append(element)
    started_ms = _check_header(drawn, parts.get("HEADER", []), clock)
    slots = {
        slot.get("TIME_SLOT_ID", ""): slot.get("TIME_VALUE")
        for order in parts.get("TIME_ORDER", [])
        for slot in order.iter("TIME_SLOT")
    }
    typed = any(kind.get("LINGUISTIC_TYPE_ID") == TYPE for kind in parts.get("LINGUISTIC_TYPE", []))
    for tier in parts.get("TIER", []):
        name = tier.get("TIER_ID", "")
        person_id = person_of(tier.get("PARTICIPANT") or name, movie)
        annotations = list(tier.iter("ALIGNABLE_ANNOTATION"))
        if tier.get("LINGUISTIC_TYPE_REF") == TYPE:
            if person_id is None and annotations:
                whom = f"the id of one of {', '.join(p.person_id for p in movie.persons)} as participant"
                drawn.refuse(f"tier {name}", whom, tier.get("PARTICIPANT"))
        elif typed or person_id is None or not annotations:
            drawn.aside[f"tier {name!r}"] += 1
            continue
        for annotation in annotations if person_id is not None else ():
            _read_annotation(drawn, annotation, person_id or "", f"tier {name}", slots, started_ms, clock)
    return drawn.end()


def _media(video: Place, file: Path) -> dict[str, str]:
    """Paths as ELAN writes them, that is without escapes; one in a store by its address."""
    if isinstance(video, Remote):
        kind = mimetypes.guess_type(video.name)[0] or "video/*"
        return {"MEDIA_URL": str(video), "MIME_TYPE": kind}
    relative = PurePosixPath(os.path.relpath(video, file.absolute().parent))
    return {
        "MEDIA_URL": f"file://{video.absolute().as_posix()}",
        "MIME_TYPE": mimetypes.guess_type(video.name)[0] or "video/*",
        "RELATIVE_MEDIA_URL": f"./{relative}",
    }


def _check_header(drawn: Drawn, headers: Sequence[Element], clock: PlayerClock) -> int:
    """Where in the movie's file the annotations' time begins, in ms: ELAN lets people shift media."""
    starts: dict[str, int] = {}
    for header in headers:
        units = header.get("TIME_UNITS", "milliseconds")
        if units != "milliseconds":
            drawn.refuse("TIME_UNITS", "milliseconds", units)
        for media in header.iter("MEDIA_DESCRIPTOR"):
            origin = media.get("TIME_ORIGIN", "0")
            if _whole(origin) is None:
                drawn.refuse("TIME_ORIGIN", "whole milliseconds", origin)
            starts[PurePosixPath(media.get("MEDIA_URL", "")).name] = _whole(origin) or 0
        for said in header.iter("PROPERTY"):
            if said.get("NAME") == OFFSET and not _same(said.text or "", clock):
                expected = (
                    f"{clock.offset_s:.6f}, as the movie's clock and the setting decode.time_origin say now: the file "
                    "was written for features with another beginning"
                )
                drawn.refuse(f"property {OFFSET!r}", expected, said.text)
    name = drawn.movie.video.name
    own = {starts[name]} if name in starts else set(starts.values())
    if len(own) > 1:
        drawn.refuse(
            "MEDIA_DESCRIPTOR", f"the movie, {name}, among files that begin at different times", list(starts)
        )
    return own.pop() if own else 0


def _read_annotation(
    drawn: Drawn, annotation: Element, person_id: str, tier: str, slots: Mapping[str, str | None], started_ms: int,
    clock: PlayerClock,
) -> None:  # fmt: skip
    value = annotation.findtext("ANNOTATION_VALUE", "")
    times = [_whole(slots.get(annotation.get(f"TIME_SLOT_REF{end}", "")) or "") for end in (1, 2)]
    if times[0] is None or times[1] is None:
        place = f"{tier}, annotation {annotation.get('ANNOTATION_ID')}"
        drawn.refuse(place, "a time for its beginning and its end", value)
        return
    start, stop = (ms + started_ms for ms in times if ms is not None)
    drawn.label(
        person_id, value, clock.ours_of_ms(start), clock.ours_of_ms(stop), f"{tier}, {start / 1000:.3f} s"
    )


def _same(text: str, clock: PlayerClock) -> bool:
    try:
        return abs(float(text) - clock.offset_s) < _SAME_S
    except ValueError:
        return False


def _whole(text: str) -> int | None:
    digits = text.removeprefix("-")
    return int(text) if digits.isascii() and digits.isdigit() and len(digits) <= 18 else None
