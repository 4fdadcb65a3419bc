"""Containers of the image, each on the network of a made machine: what engines and pods run, without either's daemons.

podman starts them, with runc: crun asks for rights that a machine without CAP_SYS_RESOURCE or with both versions of
control groups doesn't give. Limits are the machine's own, since podman's default is above some of them.
`make images` builds the image and installs podman; `absent()` says what is missing.
"""

from __future__ import annotations

import itertools
import os
import resource
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from machines import Machine

IMAGE = "localhost/rhas:cpu"
PODMAN_PROCESSES = 32768  # the hard limit that podman gives itself, which its containers can't exceed
_numbers = itertools.count()


def absent() -> str:
    """Why there can be none here; empty if there can."""
    missing = [name for name in ("podman", "runc") if shutil.which(name) is None]
    if missing:
        return f"no {', '.join(missing)}: make images installs them"
    there = subprocess.run(["podman", "image", "exists", IMAGE], capture_output=True)
    return "" if there.returncode == 0 else f"no image {IMAGE}: make images builds it"


class Container:
    """One on `machine`'s network, or on none; `data` is mounted as /data. It runs from `start` on."""

    def __init__(self, machine: Machine | None, data: Path, hosts: dict[str, str] | None = None):
        self.name = f"rhas-{os.getpid()}-{next(_numbers)}"
        network = "none" if machine is None else f"ns:/proc/{machine.inside}/ns/net"
        files, processes = (resource.getrlimit(r)[1] for r in (resource.RLIMIT_NOFILE, resource.RLIMIT_NPROC))
        # -1 is infinity.
        processes = min(PODMAN_PROCESSES if processes < 0 else processes, PODMAN_PROCESSES)
        limits = {"nofile": files if files >= 0 else 1 << 20, "nproc": processes}
        self._options = ["--rm", f"--network={network}", f"--volume={data}:/data", "--shm-size=1g"]
        self._options += [f"--ulimit={limit}={count}:{count}" for limit, count in limits.items()]
        if network != "none":
            self._options += [f"--add-host={name}:{address}" for name, address in (hosts or {}).items()]
            # No server of names is reached from there: gRPC would wait for an answer, though the name is in hosts.
            self._options.append("--volume=/dev/null:/etc/resolv.conf")
        # For two cores that others use as well.
        self._variables = {"OMP_NUM_THREADS": "1", "RAY_worker_niceness": "0"}
        self._started = False

    def _run_order(self, *command: str | Path, named: Sequence[str] = (), **more: str) -> list[str]:
        return [*_PODMAN, "run", *named, *self._options, *self._environment(more), IMAGE, *map(str, command)]

    def _environment(self, more: dict[str, str]) -> list[str]:
        return [f"--env={name}={value}" for name, value in (self._variables | more).items()]

    def start(self, log: Path, *command: str | Path, **more: str) -> subprocess.Popen[bytes]:
        """Begins a command that says all to `log` and is its process 1; `more`: environment variables."""
        self._started = True
        named = (f"--name={self.name}", f"--hostname={self.name}")
        with log.open("ab") as file:
            return subprocess.Popen(
                self._run_order(*command, named=named, **more), stdout=file, stderr=subprocess.STDOUT
            )

    def order(self, *command: str | Path, **more: str) -> list[str]:
        """The command line that runs a command in it, or, before it is started, in one of its own like it."""
        if not self._started:
            return self._run_order(*command, **more)
        return [*_PODMAN, "exec", *self._environment(more), self.name, *map(str, command)]

    def run(self, *command: str | Path, timeout: float = 600, **more: str) -> str:
        """What a command says that must end well."""
        order = self.order(*command, **more)
        done = subprocess.run(order, capture_output=True, text=True, timeout=timeout)
        said = done.stdout + done.stderr
        assert done.returncode == 0, f"{self.name}: {command} ended with {done.returncode}\n{said}"
        return said

    def environment(self) -> Any:
        return os.environ

    def remove(self) -> None:
        if self._started:
            subprocess.run(
                [*_PODMAN, "rm", "--force", "--time=5", self.name], capture_output=True, timeout=60
            )


_PODMAN = ("podman", "--runtime=runc")


@contextmanager
def containers(machines: Sequence[Machine], data: Path) -> Iterator[list[Container]]:
    """One on each machine's network; they know each other by the machines' names. `data` becomes user 1000's."""
    for path in (data, *data.rglob("*")):
        os.chown(path, 1000, 1000)
    hosts = {machine.name: machine.address for machine in machines}
    made = [Container(machine, data, hosts) for machine in machines]
    try:
        yield made
    finally:
        for container in made:
            container.remove()
