"""ELAN: files as ELAN writes them are read, ours follow its schema, and what goes out comes back."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rhas.manifests.annotations.clocks import PlayerClock
from rhas.manifests.annotations.elan import read_elan, write_elan
from rhas.manifests.common.errors import InputError
from rhas.manifests.tables.labels import Interval
from rhas.manifests.tables.manifest import Movie, Person
from rhas.manifests.tables.vocabulary import ABSENT, Vocabulary
from rhas.train.data.rasterise import rasterise

VOCABULARY = Vocabulary(("walk", 'say "a < b & c"', "søve 眠る"))
MOVIE = Movie(
    "night",
    Path("/movies/night 1.mp4"),
    (Person("night", "p1", 'the <man> & "dog"'), Person("night", "p2", "she")),
)
WALK, SAY, SLEEP = VOCABULARY.actions

# A file of ELAN 6.4, with what people have in theirs: a tier of another type and one that depends on it.
OF_ELAN = """<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT AUTHOR="" DATE="2024-05-02T11:03:11+01:00" FORMAT="3.0" VERSION="3.0"
    xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
    xsi:noNamespaceSchemaLocation="http://www.mpi.nl/tools/elan/EAFv3.0.xsd">
    <HEADER MEDIA_FILE="" TIME_UNITS="milliseconds">
        <MEDIA_DESCRIPTOR MEDIA_URL="file:///movies/night 1.mp4" MIME_TYPE="video/mp4"
            RELATIVE_MEDIA_URL="../movies/night 1.mp4" TIME_ORIGIN="1500"/>
        <MEDIA_DESCRIPTOR MEDIA_URL="file:///movies/night.wav" MIME_TYPE="audio/x-wav"/>
        <PROPERTY NAME="URN">urn:nl-mpi-tools-elan-eaf:0e2a</PROPERTY>
        <PROPERTY NAME="lastUsedAnnotationId">5</PROPERTY>
    </HEADER>
    <TIME_ORDER>
        <TIME_SLOT TIME_SLOT_ID="ts1" TIME_VALUE="0"/>
        <TIME_SLOT TIME_SLOT_ID="ts2" TIME_VALUE="740"/>
        <TIME_SLOT TIME_SLOT_ID="ts3" TIME_VALUE="740"/>
        <TIME_SLOT TIME_SLOT_ID="ts4" TIME_VALUE="2000"/>
        <TIME_SLOT TIME_SLOT_ID="ts5"/>
    </TIME_ORDER>
    <TIER LINGUISTIC_TYPE_REF="default-lt" TIER_ID="notes">
        <ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a1" TIME_SLOT_REF1="ts1" TIME_SLOT_REF2="ts5">
            <ANNOTATION_VALUE>hard to see</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>
    </TIER>
    <TIER LINGUISTIC_TYPE_REF="default-lt" PARTICIPANT="p1" TIER_ID="he">
        <ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a2" TIME_SLOT_REF1="ts1" TIME_SLOT_REF2="ts2">
            <ANNOTATION_VALUE>walk</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>
        <ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a3" TIME_SLOT_REF1="ts3" TIME_SLOT_REF2="ts4">
            <ANNOTATION_VALUE>N/A</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>
    </TIER>
    <TIER LINGUISTIC_TYPE_REF="default-lt" TIER_ID="p2">
        <ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a4" CVE_REF="cveid1" TIME_SLOT_REF1="ts2" TIME_SLOT_REF2="ts4">
            <ANNOTATION_VALUE>say "a &lt; b &amp; c" </ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>
    </TIER>
    <TIER LINGUISTIC_TYPE_REF="gloss" PARENT_REF="p2" PARTICIPANT="p2" TIER_ID="p2-gloss">
        <ANNOTATION><REF_ANNOTATION ANNOTATION_ID="a5" ANNOTATION_REF="a4">
            <ANNOTATION_VALUE>unsure</ANNOTATION_VALUE></REF_ANNOTATION></ANNOTATION>
    </TIER>
    <LINGUISTIC_TYPE GRAPHIC_REFERENCES="false" LINGUISTIC_TYPE_ID="default-lt" TIME_ALIGNABLE="true"/>
    <LINGUISTIC_TYPE CONSTRAINTS="Symbolic_Association" GRAPHIC_REFERENCES="false" LINGUISTIC_TYPE_ID="gloss"
        TIME_ALIGNABLE="false"/>
    <CONSTRAINT DESCRIPTION="1-1" STEREOTYPE="Symbolic_Association"/>
</ANNOTATION_DOCUMENT>
"""

# The schema EAFv3.0.xsd, as far as our files use it: of each element its children in their order, + for those that have
# to be there, and its attributes, + for the required ones.
SCHEMA = {
    "ANNOTATION_DOCUMENT": (
        "LICENSE +HEADER +TIME_ORDER TIER LINGUISTIC_TYPE LOCALE LANGUAGE CONSTRAINT CONTROLLED_VOCABULARY LEXICON_REF "
        "REF_LINK_SET EXTERNAL_REF", "+DATE +AUTHOR +VERSION FORMAT"),
    "HEADER": ("MEDIA_DESCRIPTOR LINKED_FILE_DESCRIPTOR PROPERTY", "MEDIA_FILE TIME_UNITS"),
    "MEDIA_DESCRIPTOR": ("", "+MEDIA_URL +MIME_TYPE RELATIVE_MEDIA_URL TIME_ORIGIN EXTRACTED_FROM"),
    "PROPERTY": ("", "NAME"),
    "TIME_ORDER": ("TIME_SLOT", ""),
    "TIME_SLOT": ("", "+TIME_SLOT_ID TIME_VALUE"),
    "TIER": (
        "ANNOTATION", "+TIER_ID PARTICIPANT ANNOTATOR +LINGUISTIC_TYPE_REF DEFAULT_LOCALE PARENT_REF EXT_REF LANG_REF"),
    "ANNOTATION": ("+ALIGNABLE_ANNOTATION", ""),
    "ALIGNABLE_ANNOTATION": (
        "+ANNOTATION_VALUE", "+ANNOTATION_ID +TIME_SLOT_REF1 +TIME_SLOT_REF2 SVG_REF EXT_REF LANG_REF CVE_REF"),
    "ANNOTATION_VALUE": ("", ""),
    "LINGUISTIC_TYPE": (
        "", "+LINGUISTIC_TYPE_ID TIME_ALIGNABLE CONSTRAINTS GRAPHIC_REFERENCES CONTROLLED_VOCABULARY_REF EXT_REF "
        "LEXICON_REF"),
    "LANGUAGE": ("", "+LANG_ID LANG_DEF LANG_LABEL"),
    "CONTROLLED_VOCABULARY": ("DESCRIPTION CV_ENTRY_ML", "+CV_ID EXT_REF"),
    "DESCRIPTION": ("", "+LANG_REF"),
    "CV_ENTRY_ML": ("+CVE_VALUE", "+CVE_ID EXT_REF"),
    "CVE_VALUE": ("", "+LANG_REF DESCRIPTION"),
}  # fmt: skip
KEYS = {  # attributes that name another element's
    "LINGUISTIC_TYPE_REF": ("LINGUISTIC_TYPE", "LINGUISTIC_TYPE_ID"), "LANG_REF": ("LANGUAGE", "LANG_ID"),
    "CONTROLLED_VOCABULARY_REF": ("CONTROLLED_VOCABULARY", "CV_ID"), "CVE_REF": ("CV_ENTRY_ML", "CVE_ID"),
    "TIME_SLOT_REF1": ("TIME_SLOT", "TIME_SLOT_ID"), "TIME_SLOT_REF2": ("TIME_SLOT", "TIME_SLOT_ID"),
}  # fmt: skip


def check_schema(root: ET.Element) -> None:
    """Raises AssertionError unless the file is as `SCHEMA` and `KEYS` say."""
    assert root.tag == "ANNOTATION_DOCUMENT"
    for element in root.iter():
        children, attributes = (names.split() for names in SCHEMA[element.tag])
        order = [name.strip("+") for name in children]
        places = [order.index(child.tag) for child in element]
        assert places == sorted(places)
        assert {name[1:] for name in children if name[0] == "+"} <= {child.tag for child in element}
        own = {name for name in element.attrib if not name.startswith("{")}
        assert (
            {name[1:] for name in attributes if name[0] == "+"}
            <= own
            <= {name.strip("+") for name in attributes}
        )
        for name in own & KEYS.keys():
            tag, key = KEYS[name]
            assert element.attrib[name] in {other.attrib[key] for other in root.iter(tag)}
    for tag, key in {*KEYS.values(), ("TIER", "TIER_ID"), ("ALIGNABLE_ANNOTATION", "ANNOTATION_ID")}:
        names = [element.attrib[key] for element in root.iter(tag)]
        assert len(names) == len(set(names))


def read(path: Path, clock: PlayerClock = PlayerClock(), vocabulary: Vocabulary = VOCABULARY):  # noqa: B008
    return read_elan(path, MOVIE, vocabulary, clock)


def test_a_file_of_elan(tmp_path: Path) -> None:
    path = tmp_path / "night.eaf"
    path.write_text(OF_ELAN, encoding="utf-8")
    drawn = read(path, PlayerClock(0.25))
    # ELAN's time begins at 1.5 s of the movie's file, in which the picture begins at 0.25 s.
    assert drawn.intervals() == {
        ("night", "p1"): [Interval("walk", 1.25, 1.99), Interval(ABSENT, 1.99, 3.25)],
        ("night", "p2"): [Interval(SAY, 1.99, 3.25)],
    }
    assert dict(drawn.aside) == {"tier 'notes'": 1, "tier 'p2-gloss'": 1}


def test_what_goes_out_follows_the_schema_and_comes_back(tmp_path: Path) -> None:
    labels = {
        "p1": (
            Interval(WALK, 0.0, 1.001),
            Interval(SAY, 0.5, 0.9),
            Interval(SLEEP, 0.0, 0.5),
            Interval(ABSENT, 1.001, 7.3),
        ),
        "p2": (),
    }
    for clock in (PlayerClock(), PlayerClock(0.023)):
        path = tmp_path / "night.eaf"
        assert write_elan(path, MOVIE, labels, VOCABULARY, clock) == []
        root = ET.parse(path).getroot()
        check_schema(root)
        tiers = [(t.get("TIER_ID"), t.get("PARTICIPANT"), len(t)) for t in root.iter("TIER")]
        he = 'p1: the <man> & "dog"'
        assert tiers == [(he, "p1", 3), (f"{he} (2)", "p1", 1), ("p2: she", "p2", 0)]
        assert [v.text for v in root.iter("CVE_VALUE")] == [*VOCABULARY.actions, ABSENT]
        ids = {e.get("CVE_ID"): e.findtext("CVE_VALUE") for e in root.iter("CV_ENTRY_ML")}
        assert all(
            ids[a.get("CVE_REF")] == a.findtext("ANNOTATION_VALUE") for a in root.iter("ALIGNABLE_ANNOTATION")
        )
        assert read(path, clock).labels == {"p1": set(labels["p1"])}  # milliseconds come back to the bit
    with pytest.raises(InputError, match=r"got '0\.023000': expected 0\.000000"):
        read(path)


@given(
    fps=st.sampled_from([5.0, 12.5, 15.0, 24000 / 1001, 29.97, 60.0]),
    offset_s=st.one_of(st.just(0.0), st.floats(0, 2)),
    bounds=st.tuples(st.integers(0, 400), st.integers(1, 400)),
)
def test_intervals_of_samples_keep_their_samples(
    fps: float, offset_s: float, bounds: tuple[int, int]
) -> None:
    """What was predicted for samples comes back for the same ones, and is off by less than ELAN's millisecond."""
    clock, time_s = PlayerClock(offset_s), np.arange(900) / fps
    start, stop = bounds[0], sum(bounds)
    back = [clock.ours_of_ms(clock.played_ms(float(time_s[at]))) for at in (start, stop)]
    one = Vocabulary(("a",))
    before, _ = rasterise([Interval("a", float(time_s[start]), float(time_s[stop]))], time_s, one)
    after, _ = rasterise([Interval("a", *back)], time_s, one)
    np.testing.assert_array_equal(after, before)
    assert (np.abs(np.array(back) - time_s[[start, stop]]) < 2e-3).all()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("<ANNOTATION_VALUE>walk<", "<ANNOTATION_VALUE>wolk<"), "tier he, 1.500 s: got 'wolk': .*did you mean 'walk'"),
        (("<ANNOTATION_VALUE>walk<", "<ANNOTATION_VALUE><"), "tier he, 1.500 s: got ''"),
        (('"ts3" TIME_VALUE="740"', '"ts3"'), "tier he, annotation a3: got 'N/A': expected a time for its beginning"),
        (('"ts4" TIME_VALUE="2000"', '"ts4" TIME_VALUE="700"'), "2.240 s: got '2.24 to 2.2': .*an end after it"),
        (('"milliseconds"', '"PAL-frames"'), "TIME_UNITS: got 'PAL-frames': expected milliseconds"),
        (('TIME_ORIGIN="1500"', 'TIME_ORIGIN="1.5"'), "TIME_ORIGIN: got '1.5'"),
        (('"default-lt" PARTICIPANT="p1"', '"action" PARTICIPANT="p3"'), "got 'p3': expected the id of one of p1"),
        (("</HEADER>", ""), "well-formed XML"),
        (("ANNOTATION_DOCUMENT", "TRANSCRIPT"), "XML whose root is ANNOTATION_DOCUMENT"),
        (("<ANNOTATION_DOC", '<!DOCTYPE a [<!ENTITY b SYSTEM "/etc/hostname">]><ANNOTATION_DOC'), "document type"),
        (('encoding="UTF-8"', 'encoding="nobody"'), "well-formed XML"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(tmp_path: Path, change: tuple[str, str], said: str) -> None:
    path = tmp_path / "night.eaf"
    path.write_text(OF_ELAN.replace(*change), encoding="utf-8")
    with pytest.raises(InputError, match=said):
        read(path)


def test_what_elan_cannot_hold_is_told(tmp_path: Path) -> None:
    labels = {"p1": (Interval(WALK, 1.0001, 1.0004), Interval(WALK, 2, 3))}
    lost = write_elan(tmp_path / "night.eaf", MOVIE, labels, VOCABULARY, PlayerClock())
    assert lost == ["night: walk of p1 at 1.0001 s is less than a millisecond"]
    assert read(tmp_path / "night.eaf").labels == {"p1": {Interval(WALK, 2, 3)}}
    with pytest.raises(InputError, match="characters that XML knows"):
        write_elan(tmp_path / "x.eaf", MOVIE, {}, Vocabulary(("a\ufffe",)), PlayerClock())
    assert not (tmp_path / "x.eaf").exists()
