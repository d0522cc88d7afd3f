"""One table leads from whatever goes wrong to a status and an OperationOutcome that tells what to do."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from starlette.types import Message, Scope

from fhirstore import FhirStore, errors
from fhirstore.errors import FhirError, FhirStoreError, Issue
from fhirstore.objects.base import StoredObject
from fhirstore.objects.memory import MemoryStore
from fhirstore.tenancy import PrefixTenancy
from server.app import create_app
from server.http.outcome import STATUS, error_answer, operation_outcome, status_of
from server.http.refusal import Refused
from tests.server.serving import FHIR_JSON, Served, serving


def _kinds(root: type[FhirStoreError]) -> Iterator[type[FhirStoreError]]:
    for kind in root.__subclasses__():
        yield kind
        yield from _kinds(kind)


def test_every_error_of_an_interaction_has_a_status_of_its_own() -> None:
    """None falls through to 500, and no line of the table is hidden by one before it."""
    covered = [kind for kind, status in STATUS if status < 500 or kind is not FhirStoreError]
    for kind in _kinds(FhirError):
        assert any(issubclass(kind, line) and line is not FhirStoreError for line in covered), kind
    for position, (kind, _) in enumerate(STATUS):
        assert not any(issubclass(kind, before) for before, _ in STATUS[:position]), kind


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (errors.MalformedContent("x"), 400, "structure"),
        (errors.InvalidResource("x"), 400, "invalid"),
        (errors.RulesBroken((Issue("required", "x"), Issue("value", "y"))), 422, "required"),
        (errors.UnknownType("x"), 404, "not-supported"),
        (errors.NotFound("x"), 404, "not-found"),
        (errors.Gone("x", version=3), 410, "deleted"),
        (errors.VersionConflict("x", current=3), 412, "conflict"),
        (errors.MultipleMatches("x"), 412, "multiple-matches"),
        (errors.ContentTooLarge("x"), 413, "too-long"),
        (errors.IdempotencyKeyReused(), 422, "duplicate"),
        (errors.Unsupported("x"), 501, "not-supported"),
        (errors.Contention("x"), 503, "lock-error"),
        (errors.Unavailable("x"), 503, "transient"),
        (errors.WriteOutcomeUnknown("x"), 504, "timeout"),
        (Refused(405, "x"), 405, "not-supported"),
        (Refused(429, "x"), 429, "throttled"),
        (Refused(400, "x", code="value"), 400, "value"),
    ],
)
def test_status_and_code(error: Exception, status: int, code: str) -> None:
    """The issue says what the status cannot."""
    answer = error_answer(error)
    assert answer.status_code == status
    assert f'"code":"{code}"'.encode() in answer.body
    assert ("retry-after" in answer.headers) == (status in (429, 503, 504))
    assert status == (error.status_code if isinstance(error, Refused) else status_of(error))  # type: ignore[arg-type]


def test_all_issues_and_their_expressions_are_kept() -> None:
    """In order; an issue without a place has no expression."""
    issues = (Issue("required", "a", ("Patient.name[0]",)), Issue("value", "b", severity="warning"))
    assert operation_outcome(issues) == (
        b'{"resourceType":"OperationOutcome","issue":['
        b'{"severity":"error","code":"required","diagnostics":"a","expression":["Patient.name[0]"]},'
        b'{"severity":"warning","code":"value","diagnostics":"b"}]}'
    )


async def test_what_nobody_foresaw_is_told_to_the_log_alone(caplog: pytest.LogCaptureFixture) -> None:
    """500 with a request id and no trace; the log has it, but not the message, which may quote a patient."""

    class Broken(MemoryStore):
        async def get(self, key: str) -> StoredObject:
            raise ZeroDivisionError("secret")

    with caplog.at_level(logging.ERROR, "fhirstore"):
        async with serving(objects=Broken()) as served:
            answer = await served.client.get("/fhir/Patient/p", headers={"X-Request-Id": "r-1"})
    assert (answer.status_code, answer.headers["x-request-id"]) == (500, "r-1")
    assert answer.json()["issue"][0]["severity"] == "fatal"
    assert "secret" not in answer.text and "Error" not in answer.json()["issue"][0]["diagnostics"].split()[1:]
    assert "ZeroDivisionError" in caplog.text and "GET r-1" in caplog.text and "in get" in caplog.text
    assert "ZeroDivisionError: secret" not in caplog.text


async def test_who_hangs_up_in_the_middle_of_a_body_leaves_no_trace(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is written, answered or logged: it happens all the time, and nobody is left to tell."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    scope: Scope = {
        "type": "http",
        "method": "POST",
        "scheme": "http",
        "http_version": "1.1",
        "path": "/fhir/Patient",
        "raw_path": b"/fhir/Patient",
        "query_string": b"",
        "headers": [(b"host", b"a"), (b"content-type", b"application/fhir+json")],
    }
    store = FhirStore(PrefixTenancy(MemoryStore(), frozenset({"default"})))
    with caplog.at_level(logging.DEBUG, "fhirstore"):
        await create_app(store)(scope, receive, send)
    assert (sent, caplog.text) == ([], "")


@pytest.mark.parametrize(
    "url", ["/fhir/$nothing", "/fhir/Patient/$nothing", "/fhir/Patient/p/$nothing", "/fhir/a/b/c/d/$nothing"]
)
async def test_an_unknown_operation_is_no_id(served: Served, url: str) -> None:
    """404 that says it is an operation, at every level."""
    for method in ("GET", "POST"):
        answer = await served.client.request(method, url, content=b"{}", headers=FHIR_JSON)
        assert answer.status_code == 404
        issue = answer.json()["issue"][0]
        assert (issue["code"], "operation" in issue["diagnostics"]) == ("not-supported", True)
