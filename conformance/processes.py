"""Server processes that a run starts by itself: on 127.0.0.1, on free ports, each ended by its own pid."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

READY_SECONDS = 60.0  # a server on a busy machine may need many; a dead one is noticed at once
_GRACE_SECONDS = 10.0


class ServerFailed(Exception):
    """A server ended or never became ready; the message ends with its log's last lines."""


class NotInstalled(ServerFailed):
    """The server's program is not on this machine."""


@dataclass(slots=True)
class ServerProcess:
    """One child process that can be killed and started again with the same arguments."""

    command: list[str]
    folder: Path
    env: Mapping[str, str]
    litter: tuple[Path, ...] = ()  # what it leaves outside `folder` when killed
    child: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        return self.folder / "server.log"

    @property
    def pid(self) -> int:
        return self.child.pid if self.child else 0

    def start(self) -> None:
        env = {"PATH": os.environ.get("PATH", ""), "HOME": str(self.folder), "TMPDIR": str(self.folder), **self.env}
        with self.log.open("ab") as log:
            self.child = subprocess.Popen(
                self.command, cwd=self.folder, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def alive(self) -> bool:
        return self.child is not None and self.child.poll() is None

    def end(self, how: signal.Signals) -> None:
        """Send `how` and wait; a server that ignores it for ten seconds is killed."""
        if self.child is None:
            return
        if self.alive():
            self.child.send_signal(how)
            try:
                self.child.wait(_GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                self.child.kill()
        self.child.wait()
        for path in self.litter:
            path.unlink(missing_ok=True)

    def log_tail(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join(lines[-25:])


def wait_until(ready: Callable[[], str], *, name: str, process: ServerProcess | None = None) -> None:
    """Return once `ready()` is "", not a problem; raise ServerFailed when the process ends or a minute has passed."""
    deadline = time.monotonic() + READY_SECONDS
    while problem := ready():
        if process and not process.alive():
            problem = "it ended"
        elif time.monotonic() < deadline:
            time.sleep(0.05)
            continue
        tail = process.log_tail() if process else ""
        raise ServerFailed(f"{name} is not ready ({problem}); its log ends:\n{tail}")


def free_ports(count: int, *, twin: int = 0) -> list[int]:
    """Ports that are free now; with `twin`, port + twin is free too. Below the range the system hands out itself."""
    found: list[int] = []
    while len(found) < count:
        port = random.randrange(20_000, 32_000)
        with suppress(OSError), socket.socket() as one, socket.socket() as two:
            one.bind(("127.0.0.1", port))
            two.bind(("127.0.0.1", port + twin if twin else 0))
            if port not in found:
                found.append(port)
    return found


def executable(name: str) -> str:
    """The program beside the running Python, else on PATH. Raises NotInstalled."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if not found:
        raise NotInstalled(f"{name} is not installed beside {sys.executable} nor on PATH")
    return found
