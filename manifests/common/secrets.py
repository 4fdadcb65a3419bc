"""What must not be told: passwords, signatures and keys in addresses and in what stores answer.

In: a text that somebody will read, such as an error, a line of a log or an attribute of a shard. Out: the same without
them. Addresses keep host and path, so that people know what is meant: `https://…@host/movies/a.mp4?…`.
"""

from __future__ import annotations

import os
import re

HIDDEN = "…"
# With one slash too: that is what a path makes of an address.
_ADDRESS = re.compile(r"\b(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*):(?P<slashes>/{1,2})(?P<rest>\S+)")
_WHOLE = re.compile(_ADDRESS.pattern.replace(r"\S+", ".+"), re.DOTALL)
_QUERIES = ("http", "https")  # elsewhere a question mark is a part of a name
_NAMES = re.compile("SECRET|TOKEN|PASSWORD|ACCESS_KEY|CREDENTIAL")
_SHORTEST = 8  # what is shorter than a password may be any word


def redacted(text: str) -> str:
    """The text with every address in it as it may be told: no user, no password, no query of http, no fragment."""
    return _ADDRESS.sub(_shown, text)


def redacted_value(value: object) -> object:
    """What somebody gave: one address with all that is in it, spaces too; anything else stays as it is."""
    return _WHOLE.sub(_shown, value) if isinstance(value, str) and _WHOLE.match(value) else value


def scrubbed(text: str) -> str:
    """The same for what a store or its client says, which may hold what the environment has of secrets."""
    for name, value in os.environ.items():
        if _NAMES.search(name.upper()) and len(value) >= _SHORTEST:
            text = text.replace(value, HIDDEN)
    return redacted(text)


def _shown(found: re.Match[str]) -> str:
    scheme, rest = found["scheme"], found["rest"]
    if scheme.lower() in _QUERIES:
        end = re.search(r"[?#]", rest)
        rest = rest if end is None else rest[: end.start()] + (f"?{HIDDEN}" if end[0] == "?" else "")
    host, slash, path = rest.partition("/")
    user, at, host = host.rpartition("@")
    return f"{scheme}:{found['slashes']}{HIDDEN if at and user else ''}{at}{host}{slash}{path}"
