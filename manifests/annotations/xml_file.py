"""XML: files of others, read without following anything out of them; and ours, written as they come.

In: a path, of a file or of a ZIP archive with the file in it. Out: elements. A file with a document type is refused
before anything else of it is read: nothing that tools write has one, and it is what entities, and so references to
other files and texts that grow without end, come from.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, BinaryIO
from xml.parsers import expat
from xml.sax.saxutils import XMLGenerator
from xml.sax.xmlreader import AttributesImpl

from rhas.manifests.common.errors import InputError, Problem

IN_ARCHIVE = "annotations.xml"  # as CVAT calls it
_PIECE = 1 << 14
# The last three are of encodings that nobody knows, and of archives that are damaged or locked.
_ERRORS = (
    OSError, ET.ParseError, expat.ExpatError, zipfile.BadZipFile, zlib.error, ValueError, LookupError, RuntimeError,
)  # fmt: skip
# What XML 1.0 has no way to write, not even escaped.
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class _RootReached(Exception):
    """Behind it there can be no document type."""


def elements(path: Path, root: str) -> Iterator[ET.Element]:
    """The children of the root, each when it is whole; it may be cleared. Raises InputError.

    `root` is the name that the root has to have.
    """
    try:
        _refuse_document_type(path)
        with _opened(path) as file:
            depth = 0
            for event, element in ET.iterparse(file, ("start", "end")):
                depth += 1 if event == "start" else -1
                if event == "start" and depth == 1 and element.tag != root:
                    raise InputError(Problem(path, f"XML whose root is {root}", value=element.tag))
                if event == "end" and depth == 1:
                    yield element
    except _ERRORS as error:
        raise InputError(Problem(path, f"well-formed XML ({error})")) from error


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    if path.suffix.lower() != ".zip":
        with path.open("rb") as file:
            yield file
        return
    with zipfile.ZipFile(path) as archive, archive.open(IN_ARCHIVE) as member:
        yield member


def _refuse_document_type(path: Path) -> None:
    def refuse(*_: object) -> None:
        raise InputError(
            Problem(path, "XML without a document type (<!DOCTYPE …>), which could name other files")
        )

    def reached(*_: object) -> None:
        raise _RootReached

    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = reached
    with _opened(path) as file:
        try:
            while piece := file.read(_PIECE):
                parser.Parse(piece)
        except _RootReached:
            pass


class XmlWriter:
    """Elements, one after another, into a file; names and texts are escaped."""

    def __init__(self, file: BinaryIO):
        self._sax = XMLGenerator(file, "UTF-8", short_empty_elements=True)
        self._depth = 0
        self._sax.startDocument()

    @contextmanager
    def inside(self, tag: str, attributes: Mapping[str, str] | None = None) -> Iterator[None]:
        """What is written in the block stands in this element."""
        self._indent()
        self._start(tag, attributes)
        self._depth += 1
        yield
        self._depth -= 1
        self._indent()
        self._sax.endElement(tag)

    def leaf(self, tag: str, attributes: Mapping[str, str] | None = None, text: str = "") -> None:
        """An element with nothing but a text, or nothing at all."""
        self._indent()
        self._start(tag, attributes)
        if text:
            self._sax.characters(_writable(text))
        self._sax.endElement(tag)

    def _start(self, tag: str, attributes: Mapping[str, str] | None) -> None:
        written = {name: _writable(value) for name, value in (attributes or {}).items()}
        self._sax.startElement(tag, AttributesImpl(written))

    def _indent(self) -> None:
        if self._depth:
            self._sax.ignorableWhitespace("\n" + "  " * self._depth)


def _writable(text: str) -> str:
    if found := _NO_XML.search(text):
        raise InputError(Problem("annotations", f"characters that XML knows, not {found[0]!a}", value=text))
    return text
