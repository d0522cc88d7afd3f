"""Real server processes: `fhirstore serve` on a free port, killed and started again as a test likes."""

from __future__ import annotations

import os
import re
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx

_READY_SECONDS = 60


class ServeProcess:
    """One `fhirstore serve`, in a process group of its own. Its base URL changes with every start."""

    def __init__(self, env: Mapping[str, str], *arguments: str) -> None:
        self._env = {**os.environ, **env, "HOST": "127.0.0.1", "PORT": "0"}
        self._arguments = arguments
        self._child: subprocess.Popen[str] | None = None
        self.greeting = ""

    @property
    def base_url(self) -> str:
        match = re.search(r"base URL +(\S+)", self.greeting)
        assert match, f"no base URL in {self.greeting!r}"
        return match[1]

    @property
    def pid(self) -> int:
        """The id of the process, which is also that of its group."""
        assert self._child
        return self._child.pid

    def trust(self) -> ssl.SSLContext:
        """A client's context that trusts the server's certificate, as its file is now, where it has one."""
        return ssl.create_default_context(cafile=self._env.get("FHIRSTORE_TLS_CERT"))

    def start(self) -> None:
        """Start and wait until it answers."""
        command = [str(Path(sys.executable).with_name("fhirstore")), "serve", *self._arguments]
        self._child = subprocess.Popen(
            command, env=self._env, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        assert self._child.stdout
        self.greeting = ""
        for line in self._child.stdout:
            self.greeting += line
            if line.strip().startswith("data "):
                break
        live = self.base_url.split("/fhir")[0] + "/health/live"
        trust = self.trust() if live.startswith("https:") else True
        deadline = time.monotonic() + _READY_SECONDS
        while time.monotonic() < deadline:
            try:
                if httpx.get(live, verify=trust).status_code == 200:
                    return
            except httpx.TransportError:
                assert self._child.poll() is None, "the server ended"
            time.sleep(0.05)
        raise AssertionError("the server never answered")

    def kill(self) -> None:
        """kill -9, workers included."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """SIGSTOP: it stays where it is, holding whatever it holds, until `resume`."""
        self._send(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT: it goes on as if no time had passed."""
        self._send(signal.SIGCONT)

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        self._end(signal.SIGTERM)
        assert self._child
        return self._child.returncode

    def _send(self, how: signal.Signals) -> None:
        assert self._child and self._child.poll() is None, "the server is not running"
        os.killpg(self._child.pid, how)

    def _end(self, how: signal.Signals) -> None:
        if self._child is None or self._child.poll() is not None:
            return
        self._send(how)
        self._child.wait(_READY_SECONDS)
        if self._child.stdout:
            self._child.stdout.close()


@contextmanager
def served(env: Mapping[str, str], *arguments: str) -> Iterator[ServeProcess]:
    """A running server; ended at the end."""
    server = ServeProcess(env, *arguments)
    try:
        server.start()
        yield server
    finally:
        server.kill()


def run_command(env: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """`fhirstore …` to its end."""
    command = [str(Path(sys.executable).with_name("fhirstore")), *arguments]
    return subprocess.run(command, env={**os.environ, **env}, capture_output=True, text=True, check=False, timeout=120)
