"""A Slurm cluster of one node, this machine, from Debian's packages (slurmctld, slurmd, slurm-client, munge).

Its three daemons run in the foreground, on free ports, with a key and folders of their own; `close` ends them by their
ids. It has no accounting database, as many clusters have none. Needs root: Slurm starts jobs as their user.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path

START_TIMEOUT_S = 60.0
COMMANDS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "scontrol", "srun")


def missing() -> str:
    """Why there can be no cluster here; '' where there can."""
    absent = [name for name in COMMANDS if shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") is None]
    if absent:
        return f"{', '.join(absent)} not installed: apt-get install slurmctld slurmd slurm-client munge"
    return "" if os.getuid() == 0 else "Slurm's daemons need root here"


class SlurmCluster:
    """The cluster; `env` is what a client needs."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))  # sockets need a short path
        self.env = {"SLURM_CONF": str(self.folder / "slurm.conf"), "PATH": f"{os.environ['PATH']}:/usr/sbin"}
        self._daemons: list[subprocess.Popen[bytes]] = []
        self._configure()
        munge = [
            f"--{name}={self.folder / f'munge.{name}'}"
            for name in ("socket", "key-file", "pid-file", "log-file", "seed-file")
        ]
        self._start("munged", "--foreground", "--force", *munge)
        self._until(lambda: (self.folder / "munge.socket").exists())
        self._start("slurmctld", "-D", "-c")
        self._start("slurmd", "-D", "-c")
        self._until(lambda: "idle" in self.ask("sinfo", "--noheader", "--format=%T"))

    def ask(self, *command: str) -> str:
        """What a command of Slurm prints."""
        done = subprocess.run(
            command, capture_output=True, text=True, env={**os.environ, **self.env}, timeout=30
        )
        return done.stdout

    def close(self) -> None:
        """End what runs in it, and then its daemons."""
        self.ask("scancel", "--me")
        with suppress(AssertionError):
            self._until(lambda: not self.ask("squeue", "--noheader").strip(), timeout_s=20)
        for daemon in reversed(self._daemons):
            daemon.send_signal(signal.SIGTERM)
            try:
                daemon.wait(15)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def said(self) -> str:
        """The daemons' logs."""
        return "\n".join(
            path.read_text(errors="replace")[-3000:] for path in sorted(self.folder.glob("*.out"))
        )

    def _configure(self) -> None:
        key = self.folder / "munge.key-file"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o600)
        for name in ("state", "spool"):
            (self.folder / name).mkdir()
        host, ports = socket.gethostname(), [_free_port() for _ in range(2)]
        (self.folder / "slurm.conf").write_text(
            f"""
ClusterName=lab
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={self.folder}/munge.socket,cred_expire=5
StateSaveLocation={self.folder}/state
SlurmdSpoolDir={self.folder}/spool
SlurmctldPidFile={self.folder}/slurmctld.pid
SlurmdPidFile={self.folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=1,bf_interval=1
ReturnToService=2
KillWait=5
MpiDefault=none
NodeName={host} NodeAddr=127.0.0.1 CPUs={os.cpu_count()} State=UNKNOWN
PartitionName=main Nodes={host} Default=YES State=UP
"""
        )
        (self.folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")

    def _start(self, *command: str) -> None:
        with (self.folder / f"{command[0]}.out").open("wb") as output:
            daemon = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **self.env},
            )
        self._daemons.append(daemon)

    def _until(self, condition, timeout_s: float = START_TIMEOUT_S) -> None:  # type: ignore[no-untyped-def]
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert all(daemon.poll() is None for daemon in self._daemons), self.said()
            assert time.monotonic() < deadline, self.said()
            time.sleep(0.2)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
