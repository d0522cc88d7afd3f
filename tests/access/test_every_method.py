"""Every public method of a tenant's store, and of what hangs on it, asks what the access allows.

The methods are found by looking at the classes, so that a new one fails here until somebody has said how it is
restricted: a call in `CALLS`, which an access without scopes must be denied; or a reason in `HARMLESS`.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from fhirstore import (
    Access,
    AccessDenied,
    ExportRequest,
    FhirStore,
    JsonPatch,
    Matches,
    NotFound,
    Payload,
    SubmitRequest,
    TenantStore,
    ValidateRequest,
    Version,
)
from fhirstore.errors import TicketRefused
from fhirstore.fhir.json import JsonObject
from fhirstore.search.criteria.criterion import Query
from fhirstore.submit.watches import Watch
from fhirstore.transfers.record import Upload, UploadRequest

NOBODY = Access("s", "c", "default")
BASIC: JsonObject = {"resourceType": "Basic", "id": "b", "code": {"text": "x"}}
BINARY: JsonObject = {"resourceType": "Binary", "contentType": "text/plain"}
PATCH = JsonPatch.parse([{"op": "remove", "path": "/code"}])
MATCH = "identifier=urn:s|1"
PAYLOAD = Payload("0" * 64, 3, "binary/payload/01ARZ3NDEKTSV4RRFFQ69G5FAV")
ULID = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
WATCH = Watch("s|v", "1", "0" * 32)
UPLOAD = Upload(id=ULID, method="parts", content_type="a/b", most=3, created=0, expires=0, part_size=3, nonce=ULID)


async def _chunks() -> AsyncIterator[bytes]:
    yield b"abc"


def bundle(kind: str) -> JsonObject:
    """A Bundle with one entry."""
    entry: JsonObject = {"resource": BASIC, "request": {"method": "POST", "url": "Basic"}}
    return {"resourceType": "Bundle", "type": kind, "entry": [entry]}


async def _first(tenant: TenantStore) -> object:
    return await tenant.search("Basic")


async def _searched(matches: Matches) -> object:
    return await matches


async def _each(found: AsyncIterator[object]) -> None:
    async for _ in found:
        raise AssertionError("something was shown")


async def _entered(opened: object) -> None:
    async with opened:  # type: ignore[attr-defined] # a context manager
        raise AssertionError("it was opened")


def _submit() -> SubmitRequest:
    return SubmitRequest(submitter="s|v", submission_id="1", manifest_url="file:///m", fhir_base_url="http://x")


async def _got(get: Callable[[], object]) -> None:
    get()


CALLS: dict[str, Callable[[TenantStore], Awaitable[object]]] = {
    "batch": lambda t: _of_batch(t.batch(bundle("batch"))),
    "check_preconditions": lambda t: t.check_preconditions("Basic", "b"),
    "conditional_create": lambda t: t.conditional_create(BASIC, MATCH),
    "conditional_delete": lambda t: t.conditional_delete("Basic", MATCH),
    "conditional_patch": lambda t: t.conditional_patch("Basic", MATCH, PATCH),
    "conditional_update": lambda t: t.conditional_update(BASIC, MATCH),
    "count": lambda t: t.count("Basic"),
    "create": lambda t: t.create(BASIC),
    "create_binary": lambda t: t.create_binary(BINARY, PAYLOAD),
    "query": lambda t: _got(lambda: t.query("Basic", [])),
    "delete": lambda t: t.delete("Basic", "b"),
    "delete_matching": lambda t: t.delete_matching("Basic", MATCH),
    "exports": lambda t: t.exports.start(ExportRequest()),
    "exports.cancel": lambda t: t.exports.cancel(ULID),
    "exports.file": lambda t: t.exports.file(ULID, "f"),
    "exports.key": lambda t: t.exports.key(ULID, "f"),
    "exports.open_file": lambda t: _entered(t.exports.open_file(ULID, "f")),
    "exports.page": lambda t: t.exports.page(ULID, "f"),
    "exports.presigned": lambda t: t.exports.presigned(ULID, ["f"], expires_in=60),
    "exports.start": lambda t: t.exports.start(ExportRequest()),
    "exports.status": lambda t: t.exports.status(ULID),
    "history": lambda t: _each(t.history("Basic", "b")),
    "history_page": lambda t: t.history_page(),
    "credentials": lambda t: _got(lambda: t.credentials),
    "jobs": lambda t: _got(lambda: t.jobs),
    "patch": lambda t: t.patch("Basic", "b", PATCH),
    "payloads": lambda t: t.payloads.receive(_chunks()),
    "payloads.adopt": lambda t: t.payloads.adopt(PAYLOAD.object, sha256=PAYLOAD.sha256, size=3),
    "payloads.open": lambda t: _entered(t.payloads.open(PAYLOAD)),
    "payloads.presigned_get": lambda t: t.payloads.presigned_get(PAYLOAD, expires_in=60),
    "payloads.receive": lambda t: t.payloads.receive(_chunks()),
    "payloads.verify": lambda t: t.payloads.verify(PAYLOAD),
    "process": lambda t: t.process(bundle("transaction")),
    "read": lambda t: t.read("Basic", "b"),
    "runs": lambda t: _got(lambda: t.runs("d")),
    "query_at": lambda t: _got(lambda: t.query_at("Patient/p/Observation", [])),
    "search": _first,
    "search_at": lambda t: _searched(t.search_at("Patient/p/$everything")),
    "search_page": lambda t: t.search_page(Query((("Basic", ()),))),
    "submissions": lambda t: t.submissions.submit(_submit()),
    "submissions.file": lambda t: t.submissions.file("s|v", "1", "f"),
    "submissions.open_file": lambda t: _entered(t.submissions.open_file("default/resources/Basic/b/current.json")),
    "submissions.status": lambda t: t.submissions.status("s|v", "1"),
    "submissions.submit": lambda t: t.submissions.submit(_submit()),
    "submissions.unwatch": lambda t: t.submissions.unwatch(WATCH),
    "submissions.watch": lambda t: t.submissions.watch("s|v", "1"),
    "submissions.watched": lambda t: t.submissions.watched(WATCH),
    "submissions.watched_file": lambda t: t.submissions.watched_file(WATCH, "f"),
    "transaction": lambda t: t.transaction(bundle("transaction")),
    "update": lambda t: t.update(BASIC),
    "upkeep": lambda t: _got(lambda: t.upkeep),
    "uploads": lambda t: t.uploads.begin(UploadRequest(content_type="a/b", size=3), largest=10),
    "uploads.abort": lambda t: t.uploads.abort(ULID),
    "uploads.begin": lambda t: t.uploads.begin(UploadRequest(content_type="a/b", size=3), largest=10),
    "uploads.complete": lambda t: t.uploads.complete(ULID),
    "uploads.open_part": lambda t: t.uploads.open_part(ULID, 0, 3, None),
    "uploads.put_part": lambda t: t.uploads.put_part(UPLOAD, 1, b"abc"),
    "uploads.status": lambda t: t.uploads.status(ULID),
    "uploads.sweep": lambda t: t.uploads.sweep(),
    "uploads.admitted": lambda t: t.uploads.admitted(ULID, {}),
    "validate": lambda t: t.validate(ValidateRequest("Basic"), BASIC),
    "vread": lambda t: t.vread("Basic", "b", 1),
}
HARMLESS = {
    "acting": "makes the restriction, and refuses to change it",
    "id": "the tenant's name",
    "supported_search": "names of search parameters",
    "learn": "brings an index up to date, and tells nothing",
    "with_attachments": "takes a version that was read, and reads Binaries as the access may",
    "payloads.new_object": "a fresh name",
    "payloads.key": "a name made of a name",
    "payloads.held": "a number",
    "uploads.receive": "takes a ticket that `admitted` has checked: whoever has it may send the content",
    "uploads.keys": "names",
}
PARTS = ("exports", "payloads", "submissions", "uploads")


async def _of_batch(processing: Awaitable[object]) -> None:
    result = await processing
    raise result.results[0].error  # type: ignore[attr-defined] # a BundleResult


def names(tenant: TenantStore) -> set[str]:
    """Returns the public names of the store and of its parts."""
    found = _public(tenant)
    for part in PARTS:
        found |= {f"{part}.{name}" for name in _public(getattr(tenant, part))}
    return found


def _public(whole: object) -> set[str]:
    attributes = {name for name, _ in inspect.getmembers_static(whole)}
    return {name for name in attributes if not name.startswith("_")}


@pytest.fixture
async def store() -> AsyncIterator[FhirStore]:
    """A store in which what the calls name is there, so that a refusal is not for want of it."""
    async with FhirStore.open("memory:") as value:
        await value.tenant("default").update(BASIC)
        yield value


async def test_every_public_name_is_accounted_for(store: FhirStore) -> None:
    """A new method is in one of the tables, or this fails."""
    assert names(store.tenant("default")) == CALLS.keys() | HARMLESS.keys()
    assert not CALLS.keys() & HARMLESS.keys()


@pytest.mark.parametrize("call", CALLS)
async def test_without_a_scope_nothing_is_allowed(call: str, store: FhirStore) -> None:
    """A job or an upload of somebody else is not there; all else is denied."""
    expected: type[Exception] | tuple[type[Exception], ...] = AccessDenied
    if call.startswith(("exports.", "uploads.")) and call not in ("exports.start", "uploads.begin", "uploads.sweep"):
        expected = (NotFound, TicketRefused)
    elif call == "submissions.open_file":
        expected = NotFound
    with pytest.raises(expected):
        await CALLS[call](store.tenant("default").acting(NOBODY))


@pytest.mark.parametrize("call", [one for one in CALLS if "." not in one])
async def test_an_unrestricted_store_denies_nothing(call: str, store: FhirStore) -> None:
    """So the refusals above are those of the access, and not of the calls."""
    try:
        await CALLS[call](store.tenant("default").acting(None))
    except AccessDenied:
        pytest.fail("denied without an access")
    except Exception:  # noqa: BLE001, S110 - whatever else the call is missing
        pass


async def test_an_access_is_of_one_tenant_and_is_not_changed(store: FhirStore) -> None:
    """Another tenant's access is refused, and so is another access on a store that is restricted already."""
    with pytest.raises(AccessDenied):
        store.tenant("default").acting(Access("s", "c", "other"))
    with pytest.raises(AccessDenied):
        store.tenant("default").acting(NOBODY).acting(Access("s", "c", "default"))
    restricted = store.tenant("default").acting(NOBODY)
    assert restricted.acting(None) is restricted


async def test_a_version_that_was_read_stays_as_it_is(store: FhirStore) -> None:
    """`with_attachments` reads Binaries as the access may: here, none."""
    clinic = store.tenant("default")
    await clinic.update({**BINARY, "id": "secret", "data": "c2VjcmV0"})
    document = {
        "resourceType": "DocumentReference",
        "status": "current",
        "content": [{"attachment": {"url": "Binary/secret", "hash": "5en6G6MezRroT3XKqkdPOmY/BfQ=", "size": 6}}],
    }
    version: Version = await clinic.create(document)
    assert b"c2VjcmV0" in (await clinic.with_attachments(version, most=10_000)).content
    assert await clinic.acting(NOBODY).with_attachments(version, most=10_000) == version
