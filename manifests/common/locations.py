"""Where files are: on this machine, or at an address of an object store or a web server.

In: a text, as in a manifest or on the command line: `movies/a.mp4`, `~/a.mp4`, `file:///data/a.mp4`, `s3://bucket/a.mp4`,
`gs://bucket/a.mp4`, `https://host/a.mp4`. Out: a `Path`, or a `Remote`. Nothing is asked of the network here:
`rhas.manifests.common.stores` does that, and `rhas.manifests.common.cache` keeps what was fetched.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TypeAlias
from urllib.parse import unquote, urlsplit

from rhas.manifests.common.errors import InputError, Problem
from rhas.manifests.common.secrets import HIDDEN, redacted

STORES = ("s3", "gs")  # that have listings, and can be written to
SCHEMES = (*STORES, "https", "http")
EXPECTED = "a path, or an address that begins with s3://, gs://, https://, http:// or file:///"
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


@dataclass(frozen=True)
class Remote:
    """A file, or a folder, at an address. As a text it is the address without credentials."""

    url: str = field(repr=False)

    def __str__(self) -> str:
        return redacted(self.url)

    def __repr__(self) -> str:
        return f"Remote({str(self)!r})"

    def __truediv__(self, name: str) -> Remote:
        return Remote(f"{self.url.rstrip('/')}/{name}")

    @property
    def scheme(self) -> str:
        return self.url.partition(":")[0].lower()

    @property
    def name(self) -> str:
        """The last part of its path, as of a file."""
        if self.scheme in STORES:
            return PurePosixPath(self.url.partition("://")[2]).name
        return PurePosixPath(unquote(urlsplit(self.url).path)).name

    @property
    def suffix(self) -> str:
        return PurePosixPath(self.name).suffix

    @property
    def is_whole(self) -> bool:
        """False for an address that was read where it stands without its credentials, in a shard say."""
        return HIDDEN not in self.url

    def absolute(self) -> Remote:
        """As of a path."""
        return self

    def as_posix(self) -> str:
        return str(self)


Place: TypeAlias = Path | Remote


def place(text: str | Path, folder: Path | None = None) -> Place:
    """Where a text says that something is; relative paths are below `folder`. Raises ValueError, see `EXPECTED`."""
    if isinstance(text, Path):
        return text
    found = _SCHEME.match(text)
    if found is None:
        path = _home(text)
        return path if folder is None else folder / path
    scheme, rest = found[1].lower(), text[found.end() :]
    if scheme == "file" and rest.startswith(("/", "localhost/")):
        return Path(unquote(rest.removeprefix("localhost")))
    if scheme not in SCHEMES or not rest.strip("/"):
        raise ValueError(EXPECTED)
    if scheme in STORES and "@" in rest.partition("/")[0]:
        raise ValueError(f"{scheme}://BUCKET/NAME without credentials, which come from the environment")
    return Remote(f"{scheme}://{rest}")


def is_told_whole(place: Place) -> bool:
    """Whether its text says which file it is: an address without its query may be that of another, too."""
    return isinstance(place, Path) or f"?{HIDDEN}" not in str(place)


def place_faults(text: str) -> list[str]:
    """What a text should be instead, if it says no place."""
    try:
        place(text)
    except ValueError as error:
        return [str(error)]
    return []


def path_faults(text: str) -> list[str]:
    """What a text should be instead, where only files of this machine are read."""
    return ["a path on this machine; addresses are not read here"] if _SCHEME.match(text) else []


def named_place(text: str) -> Place:
    """The same of an argument of a command. Raises InputError."""
    try:
        return place(text)
    except ValueError as error:
        raise InputError(Problem("the command line", str(error), value=text)) from error


def _home(text: str) -> Path:
    if text.startswith("~"):
        try:
            return Path(text).expanduser()
        except RuntimeError:  # nobody of that name: a file that begins so
            pass
    return Path(text)
