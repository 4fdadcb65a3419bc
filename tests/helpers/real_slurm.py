"""Slurm itself over made machines: munged on each, slurmctld on the first, slurmd on the others.

Debian's packages slurmctld, slurmd, slurm-client and munge are needed (`make slurm`); `absent()` says what is missing.
The daemons live in their machines' namespaces and end with them. Their state, configuration and logs are in the folder
that they are given. Nodes have one CPU and pretend GPUs, which Slurm counts and nothing uses.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from machines import Machine

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scancel", "scontrol", "squeue")
DAEMONS = "/usr/sbin"
NO_GPUS = ("/dev/zero", "/dev/full")  # what stands in for them: it wants a device file for each
# What differs from Slurm's own defaults and why: machines share one kernel, so neither its control groups nor the
# number of its cores say what belongs to whom; a lost node is noticed, and a lost one's job is over, within seconds.
CONFIGURATION = """
ClusterName=made
SlurmctldHost={control}
SlurmUser=root
AuthType=auth/munge
AuthInfo=cred_expire=5
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
PropagateResourceLimits=NONE
ReturnToService=2
SlurmdTimeout=20
MessageTimeout=60
TCPTimeout=30
KillWait={kill_wait_s}
MinJobAge=3600
SchedulerParameters=batch_sched_delay=0,sched_interval=2
GresTypes=gpu
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
NodeName={nodes} CPUs=1 RealMemory=2000 Gres=gpu:{gpus} State=UNKNOWN
PartitionName=all Nodes={nodes} Default=YES MaxTime=INFINITE State=UP
"""


def absent() -> str:
    """Why it can't run here; empty if it can."""
    path = f"{os.environ['PATH']}:{DAEMONS}"
    missing = [name for name in PROGRAMS if shutil.which(name, path=path) is None]
    return f"no {', '.join(missing)}: make slurm installs them" if missing else ""


class Slurm:
    """A cluster of `nodes`, told what to do from `control`. `gpus`: that each node pretends to have."""

    def __init__(
        self, control: Machine, nodes: Sequence[Machine], folder: Path, gpus: int = 2, kill_wait_s: int = 30
    ):
        self.control, self.nodes, self.folder = control, nodes, folder
        (folder / "state").mkdir(parents=True)
        (folder / "munge.key").write_bytes(os.urandom(64))
        (folder / "munge.key").chmod(0o600)
        values = {
            "control": control.name, "nodes": ",".join(node.name for node in nodes), "gpus": gpus,
            "folder": folder, "kill_wait_s": kill_wait_s,
        }  # fmt: skip
        (folder / "slurm.conf").write_text(CONFIGURATION.format(**values))
        (folder / "gres.conf").write_text("".join(f"Name=gpu File={file}\n" for file in NO_GPUS[:gpus]))
        for machine in (control, *nodes):
            machine.variables["SLURM_CONF"] = str(folder / "slurm.conf")
            self._start_munged(machine)
        control.start(folder / "daemons.log", f"{DAEMONS}/slurmctld", "-D")
        for node in nodes:
            self.boot(node)
        idle = f" {len(nodes)} idle"
        self.until(
            lambda: idle in self.say("sinfo", "--noheader", "--format= %D %t"), "the nodes are idle", 60
        )

    def _start_munged(self, machine: Machine) -> None:
        """With the cluster's key; its socket is where Slurm looks for it, in a folder that only this machine has."""
        machine.run("sh", "-c", "mkdir -p /run/munge && mount -t tmpfs -o mode=755 tmpfs /run/munge")
        own = [f"--{name}-file=/run/munge/munged.{name}" for name in ("pid", "seed", "log")]
        machine.run(f"{DAEMONS}/munged", "--force", f"--key-file={self.folder / 'munge.key'}", *own)

    def boot(self, node: Machine) -> None:
        """slurmd starts there. What it starts finds this environment unless a job brings its own."""
        node.start(self.folder / "daemons.log", f"{DAEMONS}/slurmd", "-D", "-N", node.name)

    def say(self, *command: str | Path, cwd: Path | None = None, **variables: str) -> str:
        """What a command of Slurm says on the control machine. PATH is the bare system's, not this Python's."""
        order = ["sh", "-c", 'cd "$0" && exec "$@"', str(cwd or self.folder), *map(str, command)]
        return self.control.run(*order, PATH="/usr/sbin:/usr/bin:/sbin:/bin", **variables)

    def sbatch(self, *words: str | Path, cwd: Path, **variables: str) -> str:
        """Submits a script and returns the job's id. `variables` are in the environment of who submits."""
        return self.say("sbatch", "--parsable", *words, cwd=cwd, **variables).strip()

    def state(self, job: str) -> str:
        """Of a job or of an array's task: PENDING, RUNNING, COMPLETED, CANCELLED …"""
        (found,) = re.findall(r"JobState=(\S+)", self.say("scontrol", "show", "job", job))
        return found

    def shown(self, job: str, what: str) -> str:
        """A field of `scontrol show job`, such as ExitCode."""
        (found,) = re.findall(rf"\b{what}=(\S*)", self.say("scontrol", "show", "job", job))
        return found

    def until(self, reached: Callable[[], object], what: str, seconds: float) -> None:
        """Waits, and says what Slurm knows if it is in vain."""
        until = time.monotonic() + seconds
        while not reached():
            if time.monotonic() > until:
                raise AssertionError(f"not in {seconds} s: {what}\n{self.account()}")
            time.sleep(0.2)

    def account(self) -> str:
        """Queue, nodes, and the ends of the daemons' logs."""
        told = [self.say("squeue", "--long"), self.say("sinfo", "--long", "--Node")]
        for log in sorted(self.folder.glob("*.log")):
            told.append(f"--- {log.name}\n" + "\n".join(log.read_text(errors="replace").splitlines()[-30:]))
        return "\n".join(told)
