"""FHIRSTORE_HANDLING says what happens to unknown parameters where the client does not."""

from __future__ import annotations

import pytest

from server.settings import BadSetting, Settings, from_environment
from tests.server.serving import FHIR_JSON, serving

PATHS = (
    "/fhir/Patient?foo=1",
    "/fhir/Patient/_history?foo=1",
    "/fhir/Patient/p?foo=1",
    "/fhir?foo=1",
    "/fhir/metadata?foo=1",
)


@pytest.mark.parametrize(
    ("setting", "prefer", "status"),
    [
        ("strict", None, 400),
        ("strict", "handling=lenient", 200),
        ("strict", "handling=other", 400),
        ("lenient", None, 200),
        ("lenient", "handling=strict", 400),
        ("lenient", "return=minimal", 200),
    ],
)
async def test_what_the_client_prefers_goes_before_the_setting(setting: str, prefer: str | None, status: int) -> None:
    """In searches, reads and histories; Preference-Applied tells of what the client said, and of nothing else."""
    async with serving(Settings(handling=setting)) as served:
        await served.client.put("/fhir/Patient/p", content=b'{"resourceType":"Patient","id":"p"}', headers=FHIR_JSON)
        for path in PATHS:
            answer = await served.client.get(path, headers={} if prefer is None else {"Prefer": prefer})
            assert answer.status_code == status, path
            if status == 200:
                heeded = prefer is not None and prefer.startswith("handling=") and "link" in answer.json()
                assert ("preference-applied" in answer.headers) is heeded
                assert "foo" not in str(answer.json().get("link"))


async def test_what_is_ignored_in_a_search_is_named() -> None:
    """In an OperationOutcome among the entries, as where the client asks for lenience."""
    async with serving(Settings(handling="lenient")) as served:
        (entry,) = (await served.client.get("/fhir/Patient?birthdat=2020")).json()["entry"]
        assert "'birthdat'" in entry["resource"]["issue"][0]["diagnostics"]


async def test_a_condition_of_a_write_is_never_ignored() -> None:
    """What is not understood there is refused, lenient or not: it would change what is written to."""
    async with serving(Settings(handling="lenient")) as served:
        for query in ("?identifier=1&foo=1", "?identifier=1&_filter=x"):
            assert (await served.client.delete(f"/fhir/Patient{query}")).status_code in (400, 501)


def test_the_setting_is_strict_or_lenient() -> None:
    """Strict unless it is said; anything else stops the start."""
    assert from_environment({}).handling == "strict"
    assert from_environment({"FHIRSTORE_HANDLING": "lenient"}).handling == "lenient"
    with pytest.raises(BadSetting, match="FHIRSTORE_HANDLING"):
        from_environment({"FHIRSTORE_HANDLING": "loose"})
