"""A write by a patient's client is decided on the record that its commit replaces: there is no check before the write.

Another process moves the resource out of the patient's compartment after the client has read it, and before the client
commits. The write must not come to pass.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import pytest

from fhirstore import Access, FhirStore, JsonPatch, NotFound, TenantStore, parse_scopes
from fhirstore.access.interactions import Interaction
from fhirstore.access.sight import Sight
from fhirstore.commit.single import Decide, Draft
from fhirstore.errors import FhirError
from fhirstore.fhir.json import JsonObject
from fhirstore.format.record import Record
from fhirstore.objects.base import Condition, PutAnswer, PutRequest, Written
from fhirstore.objects.facts import Facts
from fhirstore.objects.memory import MemoryStore
from fhirstore.objects.wrappers.passing_on import PassingOn
from fhirstore.tenancy import PrefixTenancy

APP = Access("u", "app", "default", parse_scopes("patient/*.cruds")[0], "p")


def observation(patient: str, text: str) -> JsonObject:
    """An Observation of this patient."""
    return {
        "resourceType": "Observation",
        "id": "o",
        "status": "final",
        "code": {"text": text},
        "subject": {"reference": f"Patient/{patient}"},
        "identifier": [{"system": "urn:s", "value": "1"}],
    }


class Between(PassingOn):
    """Does something once, right before the first write."""

    def __init__(self, inner: MemoryStore, do: Callable[[], Awaitable[object]]) -> None:
        super().__init__(inner)
        self._do: Callable[[], Awaitable[object]] | None = do

    async def put(
        self,
        key: str,
        body: bytes,
        *,
        condition: Condition | None = None,
        expires: int | None = None,
        facts: Facts | None = None,
    ) -> Written:
        await self._once()
        return await super().put(key, body, condition=condition, expires=expires, facts=facts)

    async def put_many(self, puts: Sequence[PutRequest]) -> Sequence[PutAnswer]:
        await self._once()
        return await super().put_many(puts)

    async def _once(self) -> None:
        do, self._do = self._do, None
        if do is not None:
            await do()


PATCH = JsonPatch.parse([{"op": "replace", "path": "/code/text", "value": "the client's"}])
MATCH = "identifier=urn:s|1"


def _bundle(*requests: JsonObject) -> JsonObject:
    return {"resourceType": "Bundle", "type": "transaction", "entry": list(requests)}


PUT_ENTRY: JsonObject = {
    "resource": observation("p", "the client's"),
    "request": {"method": "PUT", "url": "Observation/o"},
}
DELETE_ENTRY: JsonObject = {"request": {"method": "DELETE", "url": "Observation/o"}}
WRITES: dict[str, Callable[[TenantStore], Awaitable[object]]] = {
    "update": lambda app: app.update(observation("p", "the client's")),
    "patch": lambda app: app.patch("Observation", "o", PATCH),
    "delete": lambda app: app.delete("Observation", "o"),
    "conditional update": lambda app: app.conditional_update(observation("p", "the client's"), MATCH),
    "conditional patch": lambda app: app.conditional_patch("Observation", MATCH, PATCH),
    "conditional delete": lambda app: app.conditional_delete("Observation", MATCH),
    "delete all": lambda app: app.delete_matching("Observation", MATCH),
    "transaction": lambda app: app.transaction(_bundle(PUT_ENTRY)),
    "transaction that deletes": lambda app: app.transaction(_bundle(DELETE_ENTRY)),
}


async def race(write: Callable[[TenantStore], Awaitable[object]]) -> tuple[JsonObject, object]:
    """Returns the resource afterwards, and what the client was told."""
    objects = MemoryStore()
    other = FhirStore(PrefixTenancy(objects, None)).tenant("default")
    await other.update(observation("p", "as it was"))

    async def move_out() -> None:
        await other.update(observation("q", "of another patient"))

    process = FhirStore(PrefixTenancy(Between(objects, move_out), None))
    app = process.tenant("default").acting(APP)
    await app.read("Observation", "o")  # the process remembers what it has read
    told: object
    try:
        told = await write(app)
    except FhirError as error:
        told = error
    await process.settle()
    return (await other.read("Observation", "o")).json(), told


@pytest.mark.parametrize("write", WRITES)
async def test_what_was_moved_out_meanwhile_is_not_written(write: str) -> None:
    """The client is answered as if the resource had never been there, and the other process's version stays."""
    after, told = await race(WRITES[write])
    assert after["code"] == {"text": "of another patient"}
    assert "another patient" not in repr(told)
    if write in ("update", "patch", "transaction", "conditional patch"):
        assert isinstance(told, NotFound)


@pytest.mark.parametrize("write", ["update", "patch", "delete", "transaction"])
async def test_a_check_before_the_write_would_lose_the_race(write: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mutant checks the first record that it sees, and believes that later on: the races find it."""
    honest = Sight.changing

    def checked_once(
        self: Sight, interaction: Interaction, decide: Decide, type: str, *, creates: bool = False
    ) -> Decide:
        limited, checked = honest(self, interaction, decide, type, creates=creates), False

        def first(current: Record | None) -> Draft | None:
            nonlocal checked
            if checked:
                return decide(current)
            checked = True
            return limited(current)

        return first

    monkeypatch.setattr(Sight, "changing", checked_once)
    objects = MemoryStore()
    other = FhirStore(PrefixTenancy(objects, None)).tenant("default")
    await other.update(observation("p", "as it was"))
    process = FhirStore(
        PrefixTenancy(Between(objects, lambda: other.update(observation("q", "of another patient"))), None)
    )
    await WRITES[write](process.tenant("default").acting(APP))
    await process.settle()
    versions = [version async for version in other.history("Observation", "o")]
    assert versions[0].version_id == 3  # over the version of the other patient
