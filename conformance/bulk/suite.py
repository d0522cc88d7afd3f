"""All checks of a version of the IG, in its order; they run side by side, so that their exports do, too."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import httpx

from conformance.bulk import capabilities, files, filtering, manifest, parameters, polling, starting, submitting
from conformance.bulk.check import Check, Rule
from conformance.bulk.export import Skipped
from conformance.bulk.provider import Provider
from conformance.bulk.submission import Submitting
from conformance.rest.server import Broken, Server

VERSIONS = (3, 4)
_CHAPTERS = (capabilities, starting, parameters, filtering, polling, manifest, files, submitting)
RULES: tuple[Rule, ...] = tuple(
    value for chapter in _CHAPTERS for value in vars(chapter).values() if isinstance(value, Rule)
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a check went: `complaint` is empty where it holds; `skipped`: why it was not put to the server."""

    check: Check
    complaint: str
    seconds: float
    skipped: str = ""


def checks_of(version: int) -> tuple[Check, ...]:
    """Returns the checks of a version of the IG, 3 or 4."""
    found = (rule.check(version) for rule in RULES)
    return tuple(check for check in found if check is not None)


async def run(
    base_url: str,
    checks: Iterable[Check],
    *,
    version: int,
    token: str = "",
    submitter: Submitting | None = None,
    on_verdict: Callable[[Verdict], None] | None = None,
) -> list[Verdict]:
    """Puts the checks to the server at `base_url`, all at once but those that must be alone. `token`: of a bearer.

    `submitter`: who submits; None: the checks of bulk submit are skipped.
    """
    checks = list(checks)
    async with Server(base_url, token=token) as server:
        provider = Provider(server, version, submitter)

        async def judge(check: Check) -> Verdict:
            started = time.perf_counter()
            complaint = skipped = ""
            try:
                await check.run(provider)
            except Broken as broken:
                complaint = str(broken)
            except Skipped as reason:
                skipped = str(reason)
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                complaint = f"no answer: {type(error).__name__}"
            verdict = Verdict(check, complaint, time.perf_counter() - started, skipped)
            if on_verdict is not None:
                on_verdict(verdict)
            return verdict

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(judge(check)) for check in checks if not check.alone]
            verdicts = {task.result().check.name: task.result() for task in tasks}
            await provider.remove()
            for check in checks:
                if check.alone:
                    verdicts[check.name] = await judge(check)
        finally:
            await provider.close()
        return [verdicts[check.name] for check in checks]
