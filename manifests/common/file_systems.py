"""What lies under a path: a file system of this machine alone, or one that others may write to."""

from __future__ import annotations

import re
from pathlib import Path

_MOUNTS = Path("/proc/self/mountinfo")
LOCAL = {
    "bcachefs", "btrfs", "exfat", "ext2", "ext3", "ext4", "f2fs", "fuseblk", "jfs", "ntfs3", "overlay", "ramfs",
    "reiserfs", "tmpfs", "vfat", "xfs", "zfs",
}  # fmt: skip


def kind_of(path: Path) -> str:
    """The type of the file system, such as ext4 or nfs4; empty where it isn't known, as outside Linux."""
    try:
        lines, place = _MOUNTS.read_text(errors="replace").splitlines(), path.resolve()
    except OSError:
        return ""
    longest, found = -1, ""
    for line in lines:
        before, _, after = line.partition(" - ")
        mount = Path(re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), before.split()[4]))
        depth = len(mount.parts)
        if depth >= longest and (
            mount == place or mount in place.parents
        ):  # of two in one place, the last is seen
            longest, found = depth, after.split()[0]
    return found


def is_local(path: Path) -> bool:
    """Whether only this machine's kernel writes there, so that its locks hold for everyone."""
    return kind_of(path) in LOCAL
