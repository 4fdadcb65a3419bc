"""A stand-in for Slurm over made machines: sbatch, srun and its signals, as far as a job sees them.

`sbatch` reads the #SBATCH lines and runs the script on the first machine; `srun`, a command on the script's PATH, asks
this process to run tasks on the others. As with Slurm, a task is signalled alone, not what it has started, and a
signal marked `B:` goes to the script alone.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from machines import Machine

# Of the options that Slurm documents for both commands, those that jobs here may use.
OPTIONS = {
    "sbatch": {"job-name", "nodes", "ntasks-per-node", "exclusive", "no-kill", "requeue", "signal", "output",
               "gpus-per-node"},
    "srun": {"nodes", "ntasks", "nodelist", "cpu-bind", "kill-on-bad-exit", "no-kill", "overlap"},
}  # fmt: skip
# Sends its arguments, environment and outputs to this process, passes TERM on, and ends as the tasks did.
SRUN = """#!{python}
import json, os, signal, socket, sys
server = socket.socket(socket.AF_UNIX)
server.connect({socket!r})
asked = json.dumps([sys.argv[1:], dict(os.environ), os.getcwd()]).encode()
socket.send_fds(server, [len(asked).to_bytes(8, "big")], [1, 2])
server.sendall(asked)
signal.signal(signal.SIGTERM, lambda *_: server.sendall(b"T"))
sys.exit(server.recv(1)[0])
"""


class Slurm:
    """Runs one job at a time. `folder`: for its commands."""

    def __init__(self, nodes: Sequence[Machine], folder: Path):
        self.nodes, self.bin = nodes, folder / "slurm"
        self.bin.mkdir()
        self.tasks: dict[int, subprocess.Popen[bytes]] = {}  # of the last step, by node
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(self.bin / "socket"))
        self._server.listen()
        (self.bin / "srun").write_text(SRUN.format(python=sys.executable, socket=str(self.bin / "socket")))
        (self.bin / "srun").chmod(0o755)
        threading.Thread(target=self._serve, daemon=True).start()

    def sbatch(self, *words: str, cwd: Path, **variables: str) -> subprocess.Popen[bytes]:
        """Starts a job: options, script, arguments. Its output is where the script wants it, below `cwd`."""
        given, (script, *arguments) = _options("sbatch", words)
        lines = Path(script).read_text().splitlines()
        directives = [line.split()[1] for line in lines if line.startswith("#SBATCH ")]
        self.options = _options("sbatch", directives)[0] | given
        count = int(self.options["nodes"])
        assert count <= len(self.nodes)
        first, job = self.nodes[0], 4711
        slurm = {
            "SLURM_JOB_ID": str(job), "SLURM_JOB_NUM_NODES": str(count), "SLURM_SUBMIT_DIR": str(cwd),
            "SLURM_JOB_NODELIST": ",".join(node.name for node in self.nodes[:count]),
            "PATH": f"{self.bin}:/usr/sbin:/usr/bin:/sbin:/bin",  # not where this test's Python is
        }  # fmt: skip
        with (cwd / self.options["output"].replace("%j", str(job))).open("ab") as log:
            self._job = subprocess.Popen(
                first.order("bash", script, *arguments, cwd=cwd), stdout=log, stderr=subprocess.STDOUT,
                env=first.environment(**slurm | variables),
            )  # fmt: skip
        return self._job

    def warn(self) -> None:
        """Sends the job's signal, as when its time is nearly up."""
        name = self.options["signal"].partition("@")[0]
        number = signal.Signals[f"SIG{name.removeprefix('B:')}"]
        for process in [self._job] if name.startswith("B:") else list(self.tasks.values()):
            _signal(process, number)

    def _serve(self) -> None:
        while True:
            client, _ = self._server.accept()
            threading.Thread(target=self._step, args=[client], daemon=True).start()

    def _step(self, client: socket.socket) -> None:
        length, outputs, _, _ = socket.recv_fds(client, 8, 2)
        asked = b""
        while len(asked) < int.from_bytes(length, "big"):
            asked += client.recv(1 << 20)
        words, environment, cwd = json.loads(asked)
        options, order = _options("srun", words)
        for node in range(int(options["nodes"])):
            task = {"SLURM_NODEID": str(node), "SLURM_PROCID": str(node), "HOME": str(self.nodes[node].home)}
            self.tasks[node] = subprocess.Popen(
                self.nodes[node].order(*order, cwd=cwd), stdout=outputs[0], stderr=outputs[1], env=environment | task,
            )  # fmt: skip
        threading.Thread(target=self._pass_on, args=[client], daemon=True).start()
        codes = [process.wait() for process in self.tasks.values()]
        for output in outputs:
            os.close(output)
        client.sendall(bytes([max(code if code >= 0 else 128 - code for code in codes)]))
        client.close()

    def _pass_on(self, client: socket.socket) -> None:
        while client.recv(1):
            for process in self.tasks.values():
                _signal(process, signal.SIGTERM)


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    """To what nsenter has started, which it wouldn't pass on to."""
    try:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    except OSError:  # it has ended
        return
    for child in children:
        os.kill(int(child), number)


def _options(command: str, words: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """Options, which have the form --name or --name=value, and the rest."""
    found: dict[str, Any] = {}
    rest = list(words)
    while rest and rest[0].startswith("--"):
        name, _, value = rest.pop(0).removeprefix("--").partition("=")
        assert name in OPTIONS[command], f"{command}: no option --{name} in {shlex.join(words)}"
        found[name] = value
    return found, rest
