"""`python -m tests.bundles.kill --runs 200 --store embedded`: kill -9 in the middle of transactions.

One run: clients send transactions, the server is killed at a random instant and started again, and every bundle of
the run must be wholly there or wholly absent: to reads, to search and to history; acknowledged ones there, refused
ones not. Those with an Idempotency-Key that got no answer are sent again, and must be there once. At the end all
bundles of all runs are looked at once more, the sweeper runs, and fsck must find nothing.

A bundle creates a Patient, found by its identifier; updates some ids of its own; appends itself to one of a few
shared resources, which bundles fight for; refers to the new Patient; and deletes what an earlier bundle wrote.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import secrets
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp

from conformance.s3servers import running, seaweedfs
from tests.bundles.asking import entry
from tests.bundles.zygote import Zygote
from tests.server.processes import run_command

STORES = ("embedded", "seaweedfs")
CLIENTS = 6
SHARED = 3
SYSTEM = "urn:kill"
_AT_ONCE = 24
_SETTLE = 3.0
"""Seconds within which a store may still apply requests of the dead."""
_NO_ANSWER = (aiohttp.ClientError, TimeoutError, ConnectionError)
_PATIENCE = aiohttp.ClientTimeout(total=60)


@dataclass(slots=True)
class Bundle:
    """One transaction that was sent, and what came of it. `victim`: the spare Observation of an earlier one that it
    deletes; nobody else wants to."""

    name: str
    own: list[str]
    shared: str
    victim: str | None
    key: str | None
    status: int = 0  # 0: no answer
    there: bool | None = None  # after the run
    began: float = field(default_factory=time.time)

    def content(self) -> dict[str, object]:
        """The Bundle."""
        urn = f"urn:uuid:{self.name}"
        marked: dict[str, object] = {"resourceType": "Patient", "identifier": [{"system": SYSTEM, "value": self.name}]}
        tag = {"tag": [{"system": SYSTEM, "code": self.name}]}
        subject = {"reference": urn}
        observation = {"resourceType": "Observation", "status": "final", "code": {"text": "x"}, "subject": subject}
        entries = [entry("PUT", f"Observation/{id_}", observation | {"id": id_}) for id_ in self.own]
        spare = observation | {"id": f"spare-{self.name}"}
        entries += [entry("PUT", f"Observation/spare-{self.name}", spare)]
        entries += [entry("PUT", f"Basic/{self.shared}", _basic(self.shared) | {"meta": tag})]
        entries += [entry("POST", "Patient", marked, full_url=urn)]
        if self.victim is not None:
            entries += [entry("DELETE", f"Observation/{self.victim}")]
        return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


def _basic(id_: str) -> dict[str, object]:
    return {"resourceType": "Basic", "id": id_, "code": {"text": "shared"}}


@dataclass(slots=True)
class Report:
    """What was done, and what is wrong."""

    runs: int = 0
    bundles: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def line(self) -> str:
        """In one line."""
        counts = ", ".join(f"{count} {what}" for what, count in sorted(self.bundles.items()))
        verdict = f"{len(self.wrong)} VIOLATIONS" if self.wrong else "all or nothing"
        return f"{self.runs} kills, {counts}, {self.seconds:.0f} s: {verdict}"


class Killing:
    """The runs on one store, one after the other."""

    def __init__(self, session: aiohttp.ClientSession, zygote: Zygote, chance: random.Random, report: Report) -> None:
        self._session = session
        self._zygote = zygote
        self._base = zygote.base_url
        self._chance = chance
        self._report = report
        self._all: list[Bundle] = []
        self._victims: list[str] = []  # spare Observations of earlier bundles
        self._slots = asyncio.Semaphore(_AT_ONCE)

    async def run(self) -> None:
        """Load, kill, start, look."""
        bundles: list[Bundle] = []
        over = asyncio.Event()
        clients = [asyncio.create_task(self._client(bundles, over)) for _ in range(CLIENTS)]
        await asyncio.sleep(self._chance.uniform(0.02, 0.35))
        await asyncio.to_thread(self._zygote.kill)
        over.set()
        await asyncio.to_thread(self._zygote.start)  # first, since a request may be waiting for it
        await asyncio.gather(*clients)
        self._all += bundles
        if wrong := await self._look(bundles):
            await asyncio.sleep(_SETTLE)
            wrong = await self._look(bundles)
        self._report.wrong += wrong
        await asyncio.gather(*[self._again(bundle) for bundle in bundles if bundle.key and not bundle.status])
        self._victims += [f"spare-{bundle.name}" for bundle in bundles if bundle.there]
        self._report.runs += 1
        for bundle in bundles:
            said = {0: "unanswered", 200: "acknowledged"}.get(bundle.status, "refused")
            self._report.bundles[f"{said} and {'there' if bundle.there else 'absent'}"] += 1

    async def finish(self) -> None:
        """Look at all bundles once more."""
        self._report.wrong += [f"at the end: {line}" for line in await self._look(self._all)]

    async def _client(self, bundles: list[Bundle], over: asyncio.Event) -> None:
        while not over.is_set():
            bundle = self._bundle()
            bundles.append(bundle)
            await self._send(bundle)

    def _bundle(self) -> Bundle:
        name = secrets.token_hex(8)
        own = [f"{name}-{n}" for n in range(self._chance.choice((1, 2, 5, 20)))]
        victim = self._victims.pop() if self._victims and self._chance.random() < 0.5 else None
        key = name if self._chance.random() < 0.5 else None
        return Bundle(name, own, f"shared-{self._chance.randrange(SHARED)}", victim, key)

    async def _send(self, bundle: Bundle) -> None:
        headers = {"Idempotency-Key": bundle.key} if bundle.key else {}
        try:
            async with self._session.post(self._base, json=bundle.content(), headers=headers) as answer:
                await answer.read()
                bundle.status = 0 if answer.status in (500, 503, 504) else answer.status
        except _NO_ANSWER:
            bundle.status = 0

    async def _again(self, bundle: Bundle) -> None:
        """Send it again with the same key: now it is there, and was made once."""
        was_there = bundle.there
        await self._send(bundle)
        if bundle.status != 200:
            self._report.wrong.append(f"{bundle.name}: sent again, it was answered {bundle.status}")
        for id_ in bundle.own:
            history = await self._get(f"Observation/{id_}/_history")
            versions = [one["response"]["etag"] for one in history.get("entry", [])]
            if versions != ['W/"1"']:
                self._report.wrong.append(f"{bundle.name}: sent again (there: {was_there}), {id_} has {versions}")
        bundle.there = True

    # --- looking --------------------------------------------------------------------------------------------

    async def _look(self, bundles: list[Bundle]) -> list[str]:
        """What is wrong with these bundles."""
        pages = await asyncio.gather(*[self._tags(f"shared-{n}") for n in range(SHARED)])
        tags = Counter(tag for page in pages for tag in page)
        happened = await self._happened(bundles)
        found = await asyncio.gather(*[self._wrong(bundle, tags, happened) for bundle in bundles])
        return [line for lines in found for line in lines]

    async def _tags(self, shared: str) -> list[str]:
        """Which bundles made the versions of a shared resource."""
        url, tags = f"Basic/{shared}/_history?_count=250", []
        versions: list[int] = []
        while url:
            page = await self._get(url)
            for one in page.get("entry", []):
                tags.append(one["resource"]["meta"]["tag"][0]["code"])
                versions.append(int(one["resource"]["meta"]["versionId"]))
            url = next((link["url"] for link in page.get("link", []) if link["relation"] == "next"), "")
        if versions != list(range(len(versions), 0, -1)):
            self._report.wrong.append(f"{shared}: versions {versions[:5]} … are not contiguous")
        return tags

    async def _happened(self, bundles: list[Bundle]) -> Counter[str]:
        """How often each id occurs in the history of its type, since the first of these bundles was sent."""
        wanted = {id_ for bundle in bundles for id_ in bundle.own}
        happened: Counter[str] = Counter()
        since = datetime.fromtimestamp(min(bundle.began for bundle in bundles) - 5, UTC).isoformat()
        url = f"Observation/_history?_count=250&_since={quote(since)}"
        while url:
            page = await self._get(url)
            ids = [one["fullUrl"].rpartition("/")[2] for one in page.get("entry", [])]
            happened.update(id_ for id_ in ids if id_ in wanted)
            url = next((link["url"] for link in page.get("link", []) if link["relation"] == "next"), "")
        return happened

    async def _wrong(self, bundle: Bundle, tags: Counter[str], happened: Counter[str]) -> list[str]:
        reads = await asyncio.gather(*[self._get(f"Observation/{id_}") for id_ in bundle.own])
        there = [read.get("resourceType") == "Observation" for read in reads]
        marked = await self._get(f"Patient?identifier={SYSTEM}|{bundle.name}")
        patients = [f"Patient/{one['resource']['id']}" for one in marked.get("entry", [])]
        subjects = {read["subject"]["reference"] for read in reads if "subject" in read}
        deleted = bundle.victim is not None and await self._is_deleted(bundle.victim)
        bundle.there = any(there) or bool(patients) or tags[bundle.name] > 0 or deleted
        expected = 1 if bundle.there else 0
        facts = {
            "reads": there == [bundle.there] * len(there),
            "search": len(patients) == expected,
            "links": subjects == set(patients),
            "deletion": deleted == (bundle.there and bundle.victim is not None),
            "shared": tags[bundle.name] == expected,
            "history": all(happened[id_] == expected for id_ in bundle.own),
            "acknowledged": bundle.there or bundle.status != 200,
            "refused": not bundle.there or bundle.status in (0, 200),
        }
        return [f"{bundle.name} (status {bundle.status}): {name} disagree" for name, good in facts.items() if not good]

    async def _is_deleted(self, id_: str) -> bool:
        outcome = await self._get(f"Observation/{id_}")
        return outcome.get("resourceType") == "OperationOutcome"

    async def _get(self, url: str) -> dict[str, Any]:
        absolute = url if url.startswith("http") else f"{self._base}/{url}"
        async with self._slots:
            for _ in range(50):
                try:
                    async with self._session.get(absolute) as answer:
                        if answer.status < 500:
                            body: dict[str, Any] = await answer.json(content_type=None)
                            return body
                except _NO_ANSWER:
                    pass
                await asyncio.sleep(0.1)
        raise AssertionError(f"no answer to {url}")


async def kill(env: Mapping[str, str], *, runs: int, seed: int) -> Report:
    """So many runs on the empty store that `env` names; then sweep, and fsck."""
    report, begin = Report(), time.monotonic()
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    with Zygote(env) as zygote:
        async with aiohttp.ClientSession(connector=connector, timeout=_PATIENCE) as session:
            session._retry_connection = False  # no public switch; a bundle is one request
            killing = Killing(session, zygote, random.Random(seed), report)
            zygote.start()
            for _ in range(runs):
                await killing.run()
            await killing.finish()
    swept = await asyncio.to_thread(run_command, env, "sweep", "--json")
    checked = await asyncio.to_thread(run_command, env, "fsck", "--deep", "--json")
    for said in (swept, checked):
        if said.returncode:
            told = f"{' '.join(said.args[1:])} ended with {said.returncode}"
            report.wrong.append(f"{told}: {(said.stdout + said.stderr)[:2000]}")
    report.seconds = time.monotonic() - begin
    return report


@contextmanager
def store(name: str) -> Iterator[Mapping[str, str]]:
    """The environment of a server on an empty store of this kind."""
    with tempfile.TemporaryDirectory(prefix="fhirstore-kill-") as folder:
        if name == "embedded":
            yield {"FHIRSTORE_STORE": f"file:{folder}/data"}
        else:
            with running(seaweedfs, Path(folder)) as server:
                yield server.serving(server.location())


def main() -> int:
    """Exit code 1 when any bundle was torn."""
    parser = argparse.ArgumentParser(prog="python -m tests.bundles.kill", description=__doc__)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--store", choices=STORES, default="embedded")
    parser.add_argument("--seed", type=int)
    options = parser.parse_args()
    seed = secrets.randbelow(1_000_000) if options.seed is None else options.seed
    with store(options.store) as env:
        report = asyncio.run(kill(env, runs=options.runs, seed=seed))
    print("\n".join([f"{options.store}, seed {seed}: {report.line()}", *report.wrong[:30]]))  # noqa: T201 - a command's output
    return 1 if report.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
