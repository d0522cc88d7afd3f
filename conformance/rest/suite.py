"""All checks, in the order of the specification."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import httpx

from conformance.rest import (
    bundles,
    capabilities,
    creating,
    deleting,
    formats,
    histories,
    operations,
    patching,
    preconditions,
    reading,
    returning,
    updating,
    xml,
)
from conformance.rest.check import Check
from conformance.rest.searching import (
    all_types,
    basics,
    compartments,
    dates,
    modifiers,
    quantities,
    references,
    results,
    strings,
    tokens,
    unknown,
)
from conformance.rest.server import Broken, Server

_CHAPTERS = (
    capabilities,
    reading,
    updating,
    patching,
    deleting,
    preconditions,
    creating,
    basics,
    strings,
    dates,
    tokens,
    quantities,
    references,
    all_types,
    modifiers,
    unknown,
    results,
    compartments,
    histories,
    bundles,
    formats,
    xml,
    returning,
    operations,
)
CHECKS: tuple[Check, ...] = tuple(
    value for chapter in _CHAPTERS for value in vars(chapter).values() if isinstance(value, Check)
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a check went: `complaint` is empty where it holds. `seconds`: how long it took."""

    check: Check
    complaint: str
    seconds: float
    skipped: str = ""


async def run(
    base_url: str,
    checks: Iterable[Check] = CHECKS,
    *,
    at_once: int = 8,
    on_verdict: Callable[[Verdict], None] | None = None,
) -> list[Verdict]:
    """Put every check to the server at `base_url`, `at_once` side by side."""
    turns = asyncio.Semaphore(at_once)
    async with Server(base_url) as server:

        async def judge(check: Check) -> Verdict:
            async with turns:
                started = time.perf_counter()
                complaint = ""
                try:
                    await check.run(server)
                except Broken as broken:
                    complaint = str(broken)
                except httpx.HTTPError as error:
                    complaint = f"no answer: {type(error).__name__}"
                verdict = Verdict(check, complaint, time.perf_counter() - started)
            if on_verdict is not None:
                on_verdict(verdict)
            return verdict

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(judge(check)) for check in checks]
        return [task.result() for task in tasks]
