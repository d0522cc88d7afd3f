"""What is answered on its own is answered as an entry of a Bundle, too: with the same status and the same body."""

from __future__ import annotations

from typing import Any

import pytest

from server.settings import Settings
from tests.bundles.asking import binary, entry, issue, patient, send, statuses
from tests.server.serving import FHIR_JSON, Served, serving

PARAMETERS = {"resourceType": "Parameters", "parameter": [{"name": "resource", "resource": patient(active="no")}]}
ASKED: list[tuple[str, str, dict[str, Any] | None]] = [
    ("GET", "metadata", None),
    ("GET", "metadata?mode=terminology", None),
    ("GET", "metadata?mode=none", None),
    ("GET", "metadata?_elements=software", None),
    ("POST", "metadata", patient()),
    ("POST", "Patient/$validate", patient(active="no")),
    ("POST", "Patient/$validate", PARAMETERS),
    ("POST", "Patient/$validate?mode=create", patient()),
    ("POST", "Patient/$validate", None),
    ("POST", "Patient/$validate?nonsense=1", patient()),
    ("POST", "Patent/$validate", patient()),
    ("GET", "Patient/p/$validate", None),
    ("GET", "Patient/none/$validate", None),
    ("POST", "Patient/p/$validate", None),
    ("POST", "Patient/p/$validate", patient("p", active=1)),
    ("DELETE", "Patient/p/$validate", None),
    ("POST", "Patient/_search?_id=p", None),
    ("POST", "Patient/_search?_id=p&_elements=active", None),
    ("POST", "_search?_type=Patient", None),
    ("POST", "Patient/_search?name=x", None),
    ("GET", "Patient?_id=p", None),
    ("GET", "Patient/p?nonsense=1", None),
    ("GET", "Patient/p/$everything", None),
    ("POST", "ValueSet/$expand", {"resourceType": "Parameters"}),
    ("GET", "Patient/p/$graphql?query=x", None),
    ("GET", "$unheard-of", None),
    ("POST", "Patient/p/$purge", None),
]


@pytest.mark.parametrize("kind", ["batch", "transaction"])
@pytest.mark.parametrize(("method", "url", "body"), ASKED)
async def test_an_entry_is_answered_as_the_request_alone(
    served: Served, kind: str, method: str, url: str, body: dict[str, Any] | None
) -> None:
    """The status, and the body or the same issue; a transaction that has one that fails fails with its status."""
    await served.client.put("/fhir/Patient/p", json=patient("p", active=True), headers=FHIR_JSON)
    headers = FHIR_JSON if body is not None else {}
    alone = await served.client.request(method, f"/fhir/{url}", json=body, headers=headers)
    answer = await send(served, kind, [entry(method, url, body)])
    if kind == "transaction" and alone.is_error:
        if "$" in url and "$validate" not in url:
            assert answer.status_code == 501  # what might write is no part of a transaction
        else:
            assert (answer.status_code, issue(answer.json())[:2]) == (alone.status_code, issue(alone.json())[:2])
        return
    assert statuses(answer) == [alone.status_code]
    (one,) = answer.json()["entry"]
    if alone.is_error:
        assert issue(one["response"]["outcome"])[:2] == issue(alone.json())[:2]
        assert one["response"]["outcome"]["issue"][0]["expression"][0].startswith("Bundle.entry[0]")
    else:
        assert one["resource"] == alone.json()


async def test_metadata_that_the_client_has_is_304(served: Served) -> None:
    """ifNoneMatch of an entry is heeded as the header is, and HEAD brings no resource."""
    tag = (await served.client.get("/fhir/metadata")).headers["etag"]
    asked = [entry("GET", "metadata", ifNoneMatch=tag), entry("HEAD", "metadata"), entry("GET", "metadata")]
    answer = await send(served, "batch", asked)
    assert statuses(answer) == [304, 200, 200]
    assert [("resource" in one) for one in answer.json()["entry"]] == [False, False, True]


async def test_an_operation_sees_what_the_other_entries_wrote(served: Served) -> None:
    """It is done with the reads, after all writes, in either kind of Bundle."""
    for kind in ("batch", "transaction"):
        asked = [entry("GET", f"Patient/{kind}/$validate"), entry("PUT", f"Patient/{kind}", patient(kind))]
        assert statuses(await send(served, kind, asked)) == [200, 201]


@pytest.mark.slow
async def test_an_operation_that_writes_is_part_of_a_batch_but_not_of_a_transaction() -> None:
    """$purge, where it is on: a transaction could not take it back."""
    async with serving(Settings(enable_purge=True)) as served:
        await served.client.put("/fhir/Patient/p", json=patient("p"), headers=FHIR_JSON)
        answer = await send(served, "transaction", [entry("POST", "Patient/p/$purge")])
        assert (answer.status_code, issue(answer.json())[2]) == (501, ["Bundle.entry[0].request.url"])
        assert (await served.client.get("/fhir/Patient/p")).status_code == 200
        assert statuses(await send(served, "batch", [entry("POST", "Patient/p/$purge")])) == [200]
        assert (await served.client.get("/fhir/Patient/p")).status_code == 404


async def test_a_tenants_operations_stay_with_the_tenant() -> None:
    """What an entry asks is asked of the tenant in the path."""
    async with serving(Settings(tenant_source="path", tenants=frozenset({"a", "b"}))) as served:
        await served.client.put("/fhir/b/Patient/p", json=patient("p"), headers=FHIR_JSON)
        asked = [entry("GET", "Patient/p/$validate"), entry("GET", "http://testserver/fhir/b/Patient/p/$validate")]
        for tenant, expected in (("a", [404, 400]), ("b", [200, 200])):
            bundle = {"resourceType": "Bundle", "type": "batch", "entry": asked}
            answer = await served.client.post(f"/fhir/{tenant}", json=bundle, headers=FHIR_JSON)
            assert statuses(answer) == expected


async def test_a_write_with_parameters_that_it_does_not_have_is_refused(served: Served) -> None:
    """They are not passed over, and those about the form of an answer are."""
    await served.client.put("/fhir/Patient/p", json=patient("p"), headers=FHIR_JSON)
    asked = [
        entry("PUT", "Patient/p?nonsense=1", patient("p")),
        entry("PATCH", "Patient/p?nonsense=1", binary(b"[]")),
        entry("DELETE", "Patient/p?identifier=1"),
        entry("PUT", "Patient/p?_format=json", patient("p")),
    ]
    assert statuses(await send(served, "batch", asked)) == [400, 400, 400, 200]
