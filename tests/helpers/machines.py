"""Machines for tests of clusters: namespaces of this one, each with a network address, processes and a name of its own.

They share this machine's files, as a cluster's nodes share a disk, but not /dev/shm, /tmp/ray and the home folder. A
switch, which is a namespace too, lies between them; no other network is reached. It needs root, util-linux and
iproute2; `impossible()` says what is missing.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BIN = Path(sys.executable).parent
NEEDED = ("unshare", "nsenter", "ip", "hostname", "mount")
# Process 1: it does nothing but bury those whose parents have ended, as any init does. "up" is its name.
INIT = "exec sh -c 'sleep infinity & wait' up"
# Of one machine: loopback, its name, and folders of its own. It lives as long as its process 1.
BOOT = f"""
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs /dev/shm
mkdir -p /tmp/ray
mount -t tmpfs tmpfs /tmp/ray
mount --bind "$HOSTS" /etc/hosts
mount --bind /dev/null /etc/resolv.conf
hostname "$NAME"
ip link set lo up
{INIT}
"""
SWITCH = (
    "set -e; ip link set lo up; ip link add name bridge type bridge; ip addr add 10.77.0.254/24 dev bridge; "
    f"ip link set bridge up; {INIT}"
)


@functools.cache
def impossible() -> str:
    """Why there can be none here; empty if there can."""
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if missing:
        return f"no {', '.join(missing)}"
    order = ["unshare", "--net", "--pid", "--mount", "--uts", "--fork", "sh", "-c"]
    done = subprocess.run(
        [*order, "ip link add name tried type veth peer name other"], capture_output=True, text=True
    )
    return "" if done.returncode == 0 else f"no namespaces: {done.stderr.strip()}"


@dataclass
class Machine:
    """One of them. `inside` is its process 1, as this machine numbers it."""

    name: str
    address: str
    home: Path
    outside: subprocess.Popen[bytes]
    inside: int
    variables: dict[str, str] = field(default_factory=dict)  # of all its commands

    def order(self, *command: str | Path, cwd: Path | None = None) -> list[str]:
        """The command line that runs a command on it, in its home folder or another one."""
        spaces = ("--mount", "--uts", "--net", "--pid")
        folder = f"--wd={cwd or self.home}"
        return ["nsenter", f"--target={self.inside}", *spaces, folder, "--", *map(str, command)]

    def environment(self, **more: str) -> dict[str, str]:
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("RAY_A", "RAY_DASHBOARD"))
        }
        return kept | {"HOME": str(self.home), "PATH": f"{BIN}:{os.environ['PATH']}"} | self.variables | more

    def start(self, log: Path, *command: str | Path, **more: str) -> subprocess.Popen[bytes]:
        """Begins a command that says all to `log`; `more`: environment variables."""
        with log.open("ab") as file:
            return subprocess.Popen(
                self.order(*command), stdout=file, stderr=subprocess.STDOUT, env=self.environment(**more)
            )  # fmt: skip

    def run(self, *command: str | Path, timeout: float = 300, **more: str) -> str:
        """What a command says that must end well."""
        done = subprocess.run(
            self.order(*command), capture_output=True, text=True, env=self.environment(**more),
            timeout=timeout,
        )  # fmt: skip
        said = done.stdout + done.stderr
        assert done.returncode == 0, f"{self.name}: {command} ended with {done.returncode}\n{said}"
        return said

    def pull_the_plug(self) -> None:
        """All its processes end at once, and its network with them."""
        self.outside.kill()  # which takes process 1 along, and that all others
        self.outside.wait(30)


@contextmanager
def machines(folder: Path, *names: str) -> Iterator[list[Machine]]:
    """Machines with these names, which know each other by them. `folder`: for their home folders."""
    hosts = folder / "hosts"
    addresses = {name: f"10.77.0.{number}" for number, name in enumerate(names, start=1)}
    hosts.write_text("127.0.0.1 localhost\n" + "".join(f"{a} {n}\n" for n, a in addresses.items()))
    switch = _boot(SWITCH, {})
    made: list[Machine] = []
    try:
        switch_net = _child(switch)
        for number, (name, address) in enumerate(addresses.items()):
            home = folder / f"home-{name}"
            home.mkdir(exist_ok=True)
            outside = _boot(BOOT, {"HOSTS": str(hosts), "NAME": name})
            machine = Machine(name, address, home, outside, _child(outside))
            made.append(machine)
            _cable(machine, switch_net, f"port{number}")
        yield made
    finally:
        for process in (*(machine.outside for machine in made), switch):
            process.kill()
            process.wait(30)


def _boot(script: str, variables: dict[str, str]) -> subprocess.Popen[bytes]:
    spaces = ("--net", "--pid", "--mount", "--uts", "--fork", "--kill-child", "--mount-proc")
    return subprocess.Popen(["unshare", *spaces, "sh", "-c", script], env=os.environ | variables)


def _child(process: subprocess.Popen[Any]) -> int:
    """Process 1 of the namespaces, once it has made everything ready."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        if children and b"up" in Path(f"/proc/{children[0]}/cmdline").read_bytes().split(b"\0"):
            return int(children[0])
        assert process.poll() is None, "a machine could not be made"
        time.sleep(0.02)
    raise AssertionError("a machine did not come up")


def _cable(machine: Machine, switch: int, port: str) -> None:
    """From a machine to the switch, with a default route, which Ray asks for its own address."""
    at_switch: Sequence[str] = ("nsenter", f"--target={switch}", "--net", "--")
    inside = machine.order()
    for order in (
        [
            *at_switch,
            "ip",
            "link",
            "add",
            port,
            "type",
            "veth",
            "peer",
            "name",
            "eth0",
            "netns",
            str(machine.inside),
        ],
        [*at_switch, "ip", "link", "set", port, "master", "bridge", "up"],
        [*inside, "ip", "addr", "add", f"{machine.address}/24", "dev", "eth0"],
        [*inside, "ip", "link", "set", "eth0", "up"],
        [*inside, "ip", "route", "add", "default", "via", "10.77.0.254"],
    ):
        subprocess.run(order, check=True, capture_output=True, text=True)
