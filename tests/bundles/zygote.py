"""`python -m tests.bundles.zygote`: a server process that is killed and there again within milliseconds.

It imports everything once, listens, and forks a child that serves, whenever it is told `start` on standard input;
`kill` ends the child with SIGKILL. Each command is answered by one line. The environment says which store, as for
`fhirstore serve`. The socket stays open in between, so a client's connection waits for the next child.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from types import TracebackType
from typing import Self

import uvicorn

import server.process.deployment  # imported here, once, so that no child has to
from server.process.http_server import http_config


class Zygote:
    """The process, as its parent sees it. Use as a context; at its end all are dead."""

    def __init__(self, env: Mapping[str, str]) -> None:
        command = [sys.executable, "-m", "tests.bundles.zygote"]
        self._process = subprocess.Popen(
            command, env={**os.environ, **env}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.base_url = f"http://127.0.0.1:{self._line()}/fhir"

    def start(self) -> None:
        """A new child serves from now on."""
        self._tell("start")

    def kill(self) -> None:
        """kill -9 for the child."""
        self._tell("kill")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate("kill\n")

    def _tell(self, command: str) -> None:
        assert self._process.stdin
        self._process.stdin.write(f"{command}\n")
        self._process.stdin.flush()
        self._line()

    def _line(self) -> str:
        assert self._process.stdout
        line = self._process.stdout.readline()
        assert line, "the zygote ended"
        return line.strip()


def main() -> None:
    """Serve until standard input ends."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(1024)
    _say(str(listener.getsockname()[1]))
    child = 0
    for line in sys.stdin:
        if line.strip() == "start":
            child = os.fork()
            if not child:
                _serve(listener)
        elif child:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            child = 0
        _say("done")
    if child:
        os.kill(child, signal.SIGKILL)


def _serve(listener: socket.socket) -> None:
    """What a child does, until it is killed."""
    os.close(0)
    os.dup2(2, 1)
    uvicorn.Server(http_config("server.process.deployment:from_env", factory=True, workers=1)).run(sockets=[listener])
    os._exit(0)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    assert server.process.deployment
    main()
