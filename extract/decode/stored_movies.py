"""Which files a manifest's movies are at the moment: on this machine as they are asked for, in stores all at once.

In: a manifest. Out: of each movie its key (`rhas.manifests.common.digest.file_key`), None where there is no file. A
store answers in tens of milliseconds, so many are asked at a time.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from rhas.manifests.common.digest import file_key
from rhas.manifests.common.errors import InputError
from rhas.manifests.common.locations import Place, Remote
from rhas.manifests.common.stores import check_scheme
from rhas.manifests.tables.manifest import Manifest

AT_ONCE = 16
FileKey = tuple[int, int]


def check_stores(manifest: Manifest) -> None:
    """Raises InputError where a package lacks for the stores in which movies are."""
    first: dict[str, Remote] = {}
    for movie in manifest.movies:
        if isinstance(movie.video, Remote):
            first.setdefault(movie.video.scheme, movie.video)
    errors = []
    for remote in first.values():
        try:
            check_scheme(remote)
        except InputError as error:
            errors.append(error)
    if errors:
        raise InputError.of(errors)


class VideoKeys:
    """Keys of files. Raises InputError where a package lacks."""

    def __init__(self, videos: Iterable[Place]):
        remote = list(dict.fromkeys(video for video in videos if isinstance(video, Remote)))
        with ThreadPoolExecutor(AT_ONCE) as threads:
            self._found = dict(zip(remote, threads.map(_asked, remote), strict=True))

    def of(self, video: Place) -> FileKey | None:
        """None where there is no file. Raises OSError for a store that doesn't say."""
        if isinstance(video, Remote):
            found = self._found[video]
            if isinstance(found, OSError):
                raise found
            return found
        return file_key(video) if video.is_file() else None


def _asked(remote: Remote) -> FileKey | OSError | None:
    try:
        return file_key(remote)
    except FileNotFoundError:
        return None
    except OSError as error:
        return error
