"""Ids of any text as names: of files, of folders, of groups in HDF5.

In: a text. Out: a name of ASCII letters, digits, `.`, `_` and `-`, which begins and ends as no hidden or special file
does; everything else is escaped as in URLs. So plain ids are their own names, and every name is that of one text.
"""

from __future__ import annotations

import re
from urllib.parse import quote_from_bytes, unquote

MAX_BYTES = 200  # of a name: file systems allow 255, of which suffixes and those of temporary files are some
_ENDS = re.compile(r"^[.-]|\.$")


def file_name(text: str) -> str:
    """The name that stands for a text."""
    name = quote_from_bytes(text.encode(), safe="").replace("~", "%7E")
    return _ENDS.sub(lambda end: f"%{ord(end[0]):02X}", name)


def text_of(name: str) -> str:
    """The text that a name stands for. Raises ValueError for what is no name of ours."""
    text = unquote(name, errors="strict")
    if file_name(text) != name:
        raise ValueError(f"{name!r} is not how {text!r} is named")
    return text
