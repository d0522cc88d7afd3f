"""What is answered with 5xx leaves a line: at once for the first of a kind, as a count for those that follow."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from fhirstore.errors import Unavailable, WriteOutcomeUnknown
from fhirstore.objects.base import StoredObject
from fhirstore.objects.memory import MemoryStore
from fhirstore.objects.wrappers.faulty import FaultRates, FaultyStore
from server.http.failure_log import INTERVAL, Asked, FailureLog
from server.settings import Settings
from tests.server.serving import FHIR_JSON, serving

ASKED = Asked("GET", "r-1", "/{type}/{id}", "clinic")
QUOTED = "sec" + "ret"
NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)


class Timers:
    """Timers that run out when a test says so."""

    def __init__(self) -> None:
        self.waiting: list[tuple[float, Callable[[], None]]] = []

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        self.waiting.append((seconds, call))

    def run_out(self) -> None:
        waiting, self.waiting = self.waiting, []
        for _, call in waiting:
            call()


def _log() -> tuple[FailureLog, Timers]:
    timers = Timers()
    return FailureLog(later=timers.later, now=lambda: NOON), timers


def test_the_first_is_told_at_once_and_the_rest_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    """Ten thousand failures in a minute are two lines; after a quiet minute the next one is told at once again."""
    log, timers = _log()
    for _ in range(10_000):
        log.note(ASKED, 503, Unavailable("The object store does not answer"))
    first = "2026-07-01T12:00:00.000+00:00 503 Unavailable GET r-1 /{type}/{id} tenant clinic: The object store"
    assert len(caplog.messages) == 1 and caplog.messages[0].startswith(first)
    assert [seconds for seconds, _ in timers.waiting] == [INTERVAL]
    timers.run_out()
    assert caplog.messages[1] == "2026-07-01T12:00:00.000+00:00 503 Unavailable: 9999 more in the last 60 s"
    timers.run_out()
    assert len(caplog.messages) == 2 and not timers.waiting
    log.note(ASKED, 503, Unavailable("x"))
    assert len(caplog.messages) == 3


def test_each_kind_is_told_by_itself(caplog: pytest.LogCaptureFixture) -> None:
    """A storm of one kind does not hide another; what nobody foresaw is told apart by where it happened."""
    log, _ = _log()

    def broken_here() -> None:
        raise ValueError(QUOTED)

    def broken_there() -> None:
        raise ValueError(QUOTED)

    for _ in range(3):
        log.note(ASKED, 503, Unavailable("x"))
        log.note(ASKED, 504, WriteOutcomeUnknown("y"))
        log.note(ASKED, 504, None)
        for broken in (broken_here, broken_there):
            try:
                broken()
            except ValueError as error:
                log.note(ASKED, 500, error)
    assert len(caplog.messages) == 5
    assert "secret" not in caplog.text
    assert "in broken_here" in caplog.text and "in broken_there" in caplog.text


class Broken(MemoryStore):
    """A store with a defect."""

    async def get(self, key: str) -> StoredObject:
        raise ZeroDivisionError(QUOTED)


async def test_a_line_says_which_request_it_was_and_nothing_of_its_content(caplog: pytest.LogCaptureFixture) -> None:
    """Method, id, template and tenant; neither the path's values nor the query's."""
    caplog.set_level(logging.ERROR, "fhirstore")
    settings = Settings(tenant_source="path", tenants=frozenset({"clinic"}))
    async with serving(settings, Broken()) as served:
        answer = await served.client.get("/fhir/clinic/Patient/miller?_elements=name", headers={"X-Request-Id": "r-7"})
        assert answer.status_code == 500
    (line,) = caplog.messages
    assert "GET r-7 /{tenant}/{type}/{id} tenant clinic: unexpected" in line
    for private in ("miller", "_elements", "secret"):
        assert private not in line


async def test_entries_of_a_batch_that_fail_leave_a_line(caplog: pytest.LogCaptureFixture) -> None:
    """The batch is answered 200, and yet something failed."""
    caplog.set_level(logging.ERROR, "fhirstore")
    entry = b'{"request":{"method":"GET","url":"Patient/p"}}'
    batch = b'{"resourceType":"Bundle","type":"batch","entry":[%s,%s]}' % (entry, entry)
    async with serving(objects=FaultyStore(MemoryStore(), FaultRates(unavailable=1.0), seed=1)) as served:
        answer = await served.client.post("/fhir", content=batch, headers=FHIR_JSON)
        assert answer.status_code == 200
    (line,) = caplog.messages
    assert " 503 Unavailable POST " in line
    assert line.endswith("[injected: no answer]"), "the reason that the store gave"


async def test_a_missed_deadline_leaves_a_line(caplog: pytest.LogCaptureFixture) -> None:
    """504, with the request's id."""
    caplog.set_level(logging.ERROR, "fhirstore")

    class Slow(MemoryStore):
        async def get(self, key: str) -> StoredObject:
            await asyncio.Event().wait()
            raise AssertionError

    async with serving(Settings(request_timeout=0.3), Slow()) as served:
        assert (await served.client.get("/fhir/Patient/p")).status_code == 504
    (line,) = caplog.messages
    assert " 504 no answer in time GET " in line


@pytest.mark.parametrize("path", ["/fhir/Patient/none", "/fhir/Patient?nonsense=1", "/fhir/x/y/z/a/b", "/fhir/Nothing"])
async def test_what_the_client_did_wrong_leaves_none(caplog: pytest.LogCaptureFixture, path: str) -> None:
    """4xx and 501 are answers, not failures."""
    caplog.set_level(logging.INFO, "fhirstore")
    async with serving() as served:
        assert (await served.client.get(path)).status_code < 500
        assert (await served.client.post(path, content=b"<", headers=FHIR_JSON)).status_code <= 501
    assert caplog.messages == []
