"""FHIRSTORE_CONDITIONAL_DELETE: a conditional delete that several resources match deletes them all, or none."""

from __future__ import annotations

import json

import pytest

from fhirstore.errors import StoreBusy
from fhirstore.objects.base import Condition, Written
from fhirstore.objects.facts import Facts
from fhirstore.objects.memory import MemoryStore
from server.settings import BadSetting, Settings, from_environment
from tests.server.serving import FHIR_JSON, Served, serving

URL = "/fhir/Patient?identifier=http://s|1"
MULTIPLE = Settings(conditional_delete="multiple")


async def _put(served: Served, *ids: str) -> None:
    for id_ in ids:
        body = {"resourceType": "Patient", "id": id_, "identifier": [{"system": "http://s", "value": "1"}]}
        await served.client.put(f"/fhir/Patient/{id_}", content=json.dumps(body), headers=FHIR_JSON)


async def _statuses(served: Served, *ids: str) -> list[int]:
    return [(await served.client.get(f"/fhir/Patient/{id_}")).status_code for id_ in ids]


async def test_several_matches_are_refused_by_default(served: Served) -> None:
    """412, and nothing is deleted."""
    await _put(served, "a", "b")
    assert (await served.client.delete(URL)).status_code == 412
    assert await _statuses(served, "a", "b") == [200, 200]


async def test_several_matches_are_deleted_where_the_server_is_told_so() -> None:
    """204 without an ETag, since they are several; the resources have tombstones, and what does not match stays."""
    async with serving(MULTIPLE) as served:
        await _put(served, "a", "b", "c")
        await served.client.put("/fhir/Patient/d", content=b'{"resourceType":"Patient","id":"d"}', headers=FHIR_JSON)
        with served.meter.measure() as cost:
            answer = await served.client.delete(URL)
        assert (answer.status_code, answer.content, "etag" in answer.headers) == (204, b"", False)
        assert cost.requests == {"LIST": 1, "GET": 2 * 3, "PUT": 4 * 3}
        assert await _statuses(served, "a", "b", "c", "d") == [410, 410, 410, 200]
        again = await served.client.delete(URL, headers={"Prefer": "return=OperationOutcome"})
        assert (again.status_code, again.json()["issue"][0]["diagnostics"]) == (200, "Nothing to delete")
        await _put(served, "a")
        assert (await served.client.delete(URL)).headers["etag"] == 'W/"4"'
        await _put(served, "a", "b")
        told = await served.client.delete(URL, headers={"Prefer": "return=OperationOutcome"})
        assert (told.status_code, told.json()["issue"][0]["diagnostics"]) == (200, "2 resources deleted")


async def test_a_condition_on_the_version_is_not_about_several() -> None:
    """412 for several, as no version is all of theirs; it guards one match as ever."""
    async with serving(MULTIPLE) as served:
        await _put(served, "a", "b")
        for guard in ({"If-Match": 'W/"1"'}, {"If-None-Match": "*"}):
            assert (await served.client.delete(URL, headers=guard)).status_code == 412
        assert await _statuses(served, "a", "b") == [200, 200]
        await served.client.delete("/fhir/Patient/b")
        assert (await served.client.delete(URL, headers={"If-Match": 'W/"7"'})).status_code == 412
        assert (await served.client.delete(URL, headers={"If-Match": 'W/"1"'})).status_code == 204


async def test_more_than_250_matches_are_refused() -> None:
    """412; nothing is deleted."""
    async with serving(MULTIPLE) as served:
        ids = [f"p{n}" for n in range(251)]
        await _put(served, *ids)
        answer = await served.client.delete(URL)
        assert (answer.status_code, "250" in answer.json()["issue"][0]["diagnostics"]) == (412, True)
        assert set(await _statuses(served, *ids)) == {200}
        await served.client.delete("/fhir/Patient/p7")
        assert (await served.client.delete(URL)).status_code == 204
        assert set(await _statuses(served, *ids)) == {410}


async def test_an_entry_of_a_batch_deletes_several_and_one_of_a_transaction_none() -> None:
    """A batch is as if alone; an entry of a transaction is about one resource: it is refused and says what to do."""
    entry = {"request": {"method": "DELETE", "url": "Patient?identifier=http://s|1"}}
    async with serving(MULTIPLE) as served:
        await _put(served, "a", "b")
        bundle = json.dumps({"resourceType": "Bundle", "type": "transaction", "entry": [entry]})
        refused = await served.client.post("/fhir", content=bundle, headers=FHIR_JSON)
        assert (refused.status_code, "entry each" in refused.json()["issue"][0]["diagnostics"]) == (412, True)
        assert await _statuses(served, "a", "b") == [200, 200]
        bundle = json.dumps({"resourceType": "Bundle", "type": "batch", "entry": [entry]})
        prefer = {**FHIR_JSON, "Prefer": "return=OperationOutcome"}
        (done,) = (await served.client.post("/fhir", content=bundle, headers=prefer)).json()["entry"]
        assert done["response"]["status"] == "204 No Content"
        assert done["response"]["outcome"]["issue"][0]["diagnostics"] == "2 resources deleted"
        assert await _statuses(served, "a", "b") == [410, 410]


class _Refusing(MemoryStore):
    """Refuses every write below `refused`, if that is set."""

    refused = ""

    async def put(
        self,
        key: str,
        body: bytes,
        *,
        condition: Condition | None = None,
        expires: int | None = None,
        facts: Facts | None = None,
    ) -> Written:
        if self.refused and self.refused in key:
            raise StoreBusy(key)
        return await super().put(key, body, condition=condition, expires=expires, facts=facts)


async def test_where_only_some_were_deleted_the_answer_says_so() -> None:
    """504, not 503 which would say that nothing was written; asked again, the rest goes."""
    objects = _Refusing()
    async with serving(MULTIPLE, objects) as served:
        await _put(served, "a", "b")
        objects.refused = "/b/"
        answer = await served.client.delete(URL)
        assert (answer.status_code, "1 of 2" in answer.json()["issue"][0]["diagnostics"]) == (504, True)
        assert await _statuses(served, "a", "b") == [410, 200]
        objects.refused = ""
        assert (await served.client.delete(URL)).status_code == 204
        assert await _statuses(served, "a", "b") == [410, 410]


@pytest.mark.parametrize("value", ["single", "multiple"])
async def test_the_capability_statement_follows_the_setting(value: str) -> None:
    """conditionalDelete of every type."""
    settings = from_environment({"FHIRSTORE_CONDITIONAL_DELETE": value, "FHIRSTORE_STORE": "memory:"})
    async with serving(settings) as served:
        resources = (await served.client.get("/fhir/metadata")).json()["rest"][0]["resource"]
    assert {resource["conditionalDelete"] for resource in resources} == {value}


def test_another_value_stops_the_start() -> None:
    """By the setting's name."""
    with pytest.raises(BadSetting, match="FHIRSTORE_CONDITIONAL_DELETE"):
        from_environment({"FHIRSTORE_CONDITIONAL_DELETE": "all"})
