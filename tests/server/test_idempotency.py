"""POST with an Idempotency-Key: asking again makes nothing new."""

from __future__ import annotations

import asyncio

import pytest

from fhirstore.objects.memory import MemoryStore
from server.settings import Settings
from tests.server.serving import FHIR_JSON, Served, serving

BODY = b'{"resourceType":"Patient","active":true}'
KEYED = FHIR_JSON | {"Idempotency-Key": "order-7"}


async def test_a_repeated_request_gets_the_first_answer_again(served: Served) -> None:
    """Same status, Location and bytes, even after the resource was updated."""
    first = await served.client.post("/fhir/Patient", content=BODY, headers=KEYED)
    id_ = first.json()["id"]
    update = b'{"resourceType":"Patient","id":"%s","active":false}' % id_.encode()
    await served.client.put(f"/fhir/Patient/{id_}", content=update, headers=FHIR_JSON)
    again = await served.client.post("/fhir/Patient", content=BODY, headers=KEYED)
    assert (again.status_code, again.headers["location"], again.content) == (
        201,
        first.headers["location"],
        first.content,
    )


async def test_racing_repeats_make_one_resource() -> None:
    """Twenty at once, from two processes: one resource, one version."""
    objects = MemoryStore()
    async with serving(objects=objects) as one, serving(objects=objects) as other:
        answers = await asyncio.gather(
            *[(one if n % 2 else other).client.post("/fhir/Patient", content=BODY, headers=KEYED) for n in range(20)]
        )
        assert {answer.status_code for answer in answers} == {201}
        assert len({answer.content for answer in answers}) == 1
    resources = await objects.list("default/resources/")
    assert len({listed.key.split("/")[3] for listed in resources.objects}) == 1
    assert len(resources.objects) == 2


async def test_another_body_under_the_same_key_is_422(served: Served) -> None:
    """A key stands for one request."""
    await served.client.post("/fhir/Patient", content=BODY, headers=KEYED)
    other = await served.client.post("/fhir/Patient", content=b'{"resourceType":"Patient"}', headers=KEYED)
    assert other.status_code == 422
    assert other.json()["issue"][0]["code"] == "duplicate"


async def test_keys_types_and_tenants_do_not_mix() -> None:
    """The same key for another type or tenant is another request."""
    async with serving(Settings(tenant_source="header", tenants=frozenset({"a", "b"}))) as served:
        ids = set()
        for tenant in ("a", "b"):
            for type_ in ("Patient", "Person"):
                body = b'{"resourceType":"%s"}' % type_.encode()
                headers = KEYED | {"X-Tenant-ID": tenant}
                ids.add((await served.client.post(f"/fhir/{type_}", content=body, headers=headers)).json()["id"])
        assert len(ids) == 4


@pytest.mark.parametrize("key", ["", "x" * 256])
async def test_a_key_of_the_wrong_length_is_refused(served: Served, key: str) -> None:
    """1 to 255 characters."""
    answer = await served.client.post("/fhir/Patient", content=BODY, headers=FHIR_JSON | {"Idempotency-Key": key})
    assert answer.status_code == 400


async def test_a_keyed_create_costs_what_a_create_costs(served: Served) -> None:
    """4 PUT in 2 round trips the first time."""
    with served.meter.measure() as cost:
        await served.client.post("/fhir/Patient", content=BODY, headers=KEYED)
    assert (cost.requests, cost.round_trips) == ({"PUT": 4}, 2)
