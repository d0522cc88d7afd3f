"""The run: quiet alone, quiet beside the flood, then everything that was acknowledged is asked for."""

from __future__ import annotations

import asyncio
import json
import os
import re
import resource
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from conformance.overload.quiet import Quiet, ask_quietly
from conformance.processes import ServerProcess, executable, free_ports, wait_until
from conformance.rates.load import LoadFailed, Tally, Target, offer
from conformance.rates.servers import problem

FLOOD, QUIET = "flood", "quiet"
_SPARE_DESCRIPTORS = 200
_CHECKED_IN = 1_800.0  # seconds
_CHECKERS = 32
_WARM_UP = 2.0  # seconds


class NotPossible(Exception):
    """This machine does not allow so many connections."""


@dataclass(frozen=True, slots=True)
class Plan:
    """`connections`: of both tenants. `rate`: the flood's limit in requests a second and process; None: none."""

    store: str
    environment: Mapping[str, str]
    workers: int
    connections: int
    clients: int
    seconds: float
    rate: float | None


@dataclass(frozen=True, slots=True)
class Overload:
    """What came of it. `memory`: most bytes of each server process; `resting`: of each before the flood.

    `statuses`: of the flood. `lost`: acknowledged writes that are not there. `ended`: exit code of the server, stopped
    after the flood.
    """

    alone: Quiet
    beside: Quiet
    statuses: Mapping[int, int]
    rate: float
    acknowledged: int
    lost: int
    resting: tuple[int, ...]
    memory: tuple[int, ...]
    restarted: int
    ended: int


async def run(plan: Plan, folder: Path, *, say: Callable[[str], None]) -> Overload:
    """Raises ServerFailed, LoadFailed, NotPossible."""
    _allow_descriptors(plan.connections + _SPARE_DESCRIPTORS)
    settings = {"FHIRSTORE_TENANT_SOURCE": "header", "FHIRSTORE_TENANTS": f"{FLOOD},{QUIET}"}
    environment = {**os.environ, **plan.environment, **settings}
    limited = dict(environment)
    if plan.rate is not None:
        (folder / "tenants.toml").write_text(f"[{FLOOD}]\nrequests_per_second = {plan.rate}\n")
        limited["FHIRSTORE_TENANT_SETTINGS"] = str(folder / "tenants.toml")
    with _serving(plan, folder / "flooded", limited) as (server, target):
        say("the quiet tenant alone")
        await ask_quietly(target, QUIET, clients=plan.clients, seconds=_WARM_UP)
        alone = await ask_quietly(target, QUIET, clients=plan.clients, seconds=plan.seconds / 2)
        pids = _processes(server.pid)
        resting = tuple(_memory(pid, "VmRSS") for pid in pids)
        say(f"{plan.connections} connections")
        told, beside = await asyncio.gather(_flood(target, plan), _beside(target, plan))
        memory = tuple(_memory(pid, "VmHWM") for pid in pids)
        restarted = len(set(pids) - set(_processes(server.pid)))
        server.end(signal.SIGTERM)
        ended = server.child.returncode if server.child else -1
    acknowledged = {FLOOD: told.locations, QUIET: (*alone.locations, *beside.locations)}
    lost = 0
    with _serving(plan, folder / "checked", environment) as (_, target):
        for tenant, paths in acknowledged.items():
            say(f"asking for {len(paths)} acknowledged creates of {tenant}")
            lost += len(paths) - await _there(target, tenant, paths)
    writes = sum(map(len, acknowledged.values()))
    return Overload(alone, beside, told.statuses, told.rate, writes, lost, resting, memory, restarted, ended)


async def _flood(target: Target, plan: Plan) -> Tally:
    arguments = [_url(target), FLOOD, str(plan.connections - plan.clients), str(plan.seconds)]
    command = [sys.executable, "-m", "conformance.overload.flood", *arguments]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise LoadFailed("the flooding process failed; the lines above say why")
    told = json.loads(said)
    statuses = {int(status): count for status, count in told["statuses"].items()}
    return Tally(told["seconds"], statuses, tuple(told["locations"]))


async def _beside(target: Target, plan: Plan) -> Quiet:
    await asyncio.sleep(_WARM_UP)
    return await ask_quietly(target, QUIET, clients=plan.clients, seconds=plan.seconds - _WARM_UP)


async def _there(target: Target, tenant: str, locations: Iterable[str]) -> int:
    """Returns how many of the versions are answered with 200."""
    headers = {"X-Tenant-ID": tenant}
    paths = (urlsplit(location).path.removeprefix(target.path) for location in locations)
    requests = (target.request("GET", path, headers=headers) for path in paths)
    tally = await offer(target, requests, connections=_CHECKERS, seconds=_CHECKED_IN)
    return tally.statuses.get(200, 0)


@contextmanager
def _serving(plan: Plan, folder: Path, environment: Mapping[str, str]) -> Iterator[tuple[ServerProcess, Target]]:
    (port,) = free_ports(1)
    folder.mkdir()
    command = [executable("fhirstore"), "serve", "--store", plan.store, "--host", "127.0.0.1", "--port", str(port)]
    process = ServerProcess([*command, "--workers", str(plan.workers)], folder, environment)
    process.start()
    try:
        wait_until(lambda: problem(port, "/health/ready"), name="fhirstore", process=process)
        yield process, Target("127.0.0.1", port, "/fhir")
    finally:
        process.end(signal.SIGTERM)


def _url(target: Target) -> str:
    return f"http://{target.host}:{target.port}{target.path}"


def _allow_descriptors(count: int) -> None:
    """Lets this process, and those that it starts, have so many. Raises NotPossible."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        raise NotPossible(f"ulimit -Hn is {hard}; {count} are needed")
    if soft != resource.RLIM_INFINITY and soft < count:
        wanted = 4 * count if hard == resource.RLIM_INFINITY else min(hard, 4 * count)
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _processes(pid: int) -> list[int]:
    """Returns the processes that serve: the children of `pid`, or itself."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in children if _serves(int(child))] or [pid]


def _serves(pid: int) -> bool:
    return b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()


def _memory(pid: int, name: str) -> int:
    found = re.search(f"{name}:\\s*([0-9]+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) * 1024 if found else 0
