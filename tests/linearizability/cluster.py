"""Several `fhirstore serve` processes on one store, and the trouble that befalls them."""

from __future__ import annotations

import asyncio
import os
import random
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from tests.server.processes import ServeProcess

LONG_STOP = (5.5, 8.0)
"""Seconds. Longer than the write window of 5: what the process sends when it goes on comes too late."""
SHORT_STOP = (1.5, 4.5)
"""Seconds. Others have fenced the process out by then, but its window is still open: only If-Match holds it back."""


class Member:
    """One server process. `url` is None while it is dead or starting."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._process = ServeProcess(env)
        self.url: str | None = None

    async def start(self) -> None:
        """Start, and wait until it answers."""
        await asyncio.to_thread(self._process.start)
        self.url = self._process.base_url

    async def kill(self) -> None:
        """kill -9."""
        self.url = None
        await asyncio.to_thread(self._process.kill)

    def pause(self) -> None:
        """SIGSTOP. It keeps its `url`: clients go on talking to it, and wait."""
        self._process.pause()

    def resume(self) -> None:
        """SIGCONT."""
        self._process.resume()


class Cluster:
    """`size` members on the store that `env` names. Use as a context; at its end all are dead. `calm` ends trouble."""

    def __init__(self, env: Mapping[str, str], size: int = 3) -> None:
        self.members = [Member(env) for _ in range(size)]
        self.faults: Counter[str] = Counter()
        self.surprises: list[str] = []
        self._env = {**os.environ, **env}
        self.calm = asyncio.Event()

    async def __aenter__(self) -> Cluster:
        try:
            await asyncio.gather(*[member.start() for member in self.members])
        except BaseException:
            await self.kill_all()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.kill_all()

    async def kill_all(self) -> None:
        """kill -9 for everyone, dead or stopped ones included."""
        await asyncio.gather(*[member.kill() for member in self.members])

    async def trouble(self, chance: random.Random) -> None:
        """Kill and stop members at random until `calm`; then all run. One is first stopped, the others killed."""
        async with asyncio.TaskGroup() as group:
            for number, member in enumerate(self.members):
                group.create_task(self._befall(member, chance, stop_first=number == 0))

    async def sweep(self, chance: random.Random) -> None:
        """Run the sweeper again and again until `calm`; now and then it is killed half way."""
        command = [str(Path(sys.executable).with_name("fhirstore")), "sweep", "--json"]
        while not await self._calm_within(chance.uniform(1.0, 5.0)):
            self.faults["sweeps"] += 1
            pipe = asyncio.subprocess.PIPE
            sweeper = await asyncio.create_subprocess_exec(*command, env=self._env, stdout=pipe, stderr=pipe)
            said = asyncio.create_task(sweeper.communicate())
            try:
                deadly = chance.random() < 0.2
                await asyncio.wait([said], timeout=chance.uniform(0.5, 1.5) if deadly else None)
            finally:
                if sweeper.returncode is None:
                    sweeper.kill()
                _, complaint = await said
            if b"Traceback" in complaint:
                self.surprises.append(f"the sweeper failed: {complaint.decode()[-500:]}")

    async def _befall(self, member: Member, chance: random.Random, *, stop_first: bool) -> None:
        stop = LONG_STOP if stop_first else None
        while not await self._calm_within(chance.uniform(0.3, 4.0)):
            if stop:
                self.faults["long stops" if stop is LONG_STOP else "short stops"] += 1
                member.pause()
                await self._calm_within(chance.uniform(*stop))
                member.resume()
            else:
                self.faults["kills"] += 1
                await member.kill()
                await self._calm_within(chance.uniform(0.0, 0.5))
                await member.start()
            stop = chance.choice((LONG_STOP, SHORT_STOP, SHORT_STOP, None, None))

    async def _calm_within(self, seconds: float) -> bool:
        try:
            await asyncio.wait_for(self.calm.wait(), seconds)
        except TimeoutError:
            return False
        return True
