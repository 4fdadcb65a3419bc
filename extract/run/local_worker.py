"""A worker's process: makes the worker, then answers the driver's calls one after the other.

Started by `rhas.extract.run.local_pool` as `python -m rhas.extract.run.local_worker CLASS SOCKET_FD`. The first message
brings what the worker is made of, each further one a call; the answer says how it went: `told` with what was returned,
`raised`, or `unfit` where the worker couldn't be made. It dies with its driver, and leaves signals to it.
"""

from __future__ import annotations

import signal
import socket
import sys
import traceback
from typing import Any

from rhas.extract.run import workers
from rhas.extract.run.parcels import Parcel, receive, send
from rhas.manifests.common.processes import die_with_parent


def main(kind: str, file: str) -> None:
    die_with_parent()
    for number in (signal.SIGINT, signal.SIGTERM):  # which a terminal or `timeout` sends to the whole group
        signal.signal(number, signal.SIG_IGN)
    driver = socket.socket(fileno=int(file))
    made: Any = None
    while (message := receive(driver)) is not None:
        (number, method, pair), parcels = message
        returned: tuple[Any, ...]
        try:
            arguments = [parcel.open() for parcel in parcels]
            del message, parcels
            if made is None:
                made = getattr(workers, kind)(*arguments)
                answer, returned = "told", (None,)
            else:
                result = getattr(made, method)(*arguments)
                answer, returned = "told", result if pair else (result,)
        except Exception as error:  # noqa: BLE001  the driver decides
            answer, returned = ("unfit" if made is None else "raised"), (_portable(error),)
        arguments = []  # frames aren't kept until the next call
        send(driver, (number, answer), [Parcel.of(value) for value in returned])
        del returned


def _portable(error: Exception) -> Exception:
    """The error, with its traceback as a note, as another process can read it."""
    error.add_note(traceback.format_exc())
    try:
        return Parcel.of(error).open()
    except Exception:  # noqa: BLE001  it has an __init__ that its arguments don't fit, say
        plain = RuntimeError(f"{type(error).__name__}: {error}")
        plain.__notes__ = error.__notes__
        return plain


if __name__ == "__main__":
    main(*sys.argv[1:])
