"""One run: three servers on one store, clients on all of them, trouble for a while; then the verdict."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp

from tests.linearizability.audit import Audit, fsck
from tests.linearizability.checker import violations
from tests.linearizability.clients import Clients
from tests.linearizability.cluster import Cluster, Member
from tests.linearizability.history import Operation, Result

CLIENTS = 24


@dataclass(frozen=True, slots=True)
class Report:
    """What a run did and what is wrong."""

    seed: int
    seconds: float
    results: Mapping[Result, int]
    faults: Mapping[str, int]
    resources: int
    versions: int
    wrong: tuple[str, ...]
    operations: tuple[Operation, ...]

    def line(self) -> str:
        """The run in one line."""
        count, faults = self.results, self.faults
        verdict = f"{len(self.wrong)} VIOLATIONS" if self.wrong else "linearizable"
        return (
            f"seed {self.seed}: {sum(count.values())} operations, {count[Result.DONE]} acknowledged, "
            f"{count[Result.FAILED]} refused, {count[Result.UNKNOWN]} unknown, {faults['kills']} kills, "
            f"{faults['long stops']} long stops, {faults['short stops']} short stops, {faults['sweeps']} sweeps, "
            f"{self.resources} resources, {self.versions} versions, {self.seconds:.0f} s: {verdict}"
        )


async def run(env: Mapping[str, str], *, seconds: float, seed: int, settle: float = 0.0) -> Report:
    """Run on the empty store that `env` names. `settle`: seconds that the store may go on applying requests of the
    dead."""
    chance = random.Random(seed)
    begin = time.monotonic()
    async with _session() as session:
        async with Cluster(env) as cluster:
            clients = Clients(session, lambda: [member.url for member in cluster.members if member.url], chance)
            await _load(clients, cluster, chance, seconds)
        await asyncio.sleep(settle)
        fresh = Member(env)
        try:
            await fresh.start()
            assert fresh.url
            audit = Audit(session, fresh.url)
            histories: defaultdict[str, list[Operation]] = defaultdict(list)
            for operation in clients.operations:
                histories[operation.id].append(operation)
            found = await audit.versions(histories)
            wrong = [line for id_, history in histories.items() for line in violations(history, found[id_])]
            await audit.write_once_more({id_: len(versions) for id_, versions in found.items()})
            broken = await asyncio.to_thread(fsck, env)
        finally:
            await fresh.kill()
    return Report(
        seed,
        time.monotonic() - begin,
        Counter(operation.result for operation in clients.operations),
        cluster.faults,
        len(found),
        sum(len(versions) for versions in found.values()),
        (*clients.surprises, *cluster.surprises, *audit.found, *wrong, *broken),
        tuple(clients.operations),
    )


async def _load(clients: Clients, cluster: Cluster, chance: random.Random, seconds: float) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(cluster.trouble(chance))
        group.create_task(cluster.sweep(chance))
        for _ in range(CLIENTS):
            group.create_task(clients.work())
        await asyncio.sleep(seconds)
        clients.over = True
        cluster.calm.set()


def _session() -> aiohttp.ClientSession:
    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
    session._retry_connection = False  # no public switch; an operation is one request
    return session
