"""A10: a submission that is taken back leaves alone what lies in the bucket's archive, and says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from fhirstore.errors import Gone
from fhirstore.objects.memory import MemoryStore
from fhirstore.store import FhirStore
from fhirstore.tenancy import PrefixTenancy
from tests.archive import ArchivingStore
from tests.submit.providing import (
    BASE,
    QUICK,
    Folder,
    finished,
    options,
    outcomes,
    patient,
    processed,
    request,
    working,
)


async def test_a10_what_cannot_be_read_is_not_taken_back_and_is_reported(tmp_path: Path) -> None:
    """The job ends: the rest is undone, and the resource whose former content is archived is named."""
    bucket = ArchivingStore(MemoryStore())
    store = FhirStore(PrefixTenancy(bucket, None), limits=QUICK, submit_options=options(tmp_path))
    clinic = store.tenant("default")
    manifest = Folder(tmp_path).patients("all", [patient(name, gender="male") for name in ("new", "old")])
    await clinic.update(patient("old", gender="female"))
    async with working(store) as said:
        await clinic.submissions.submit(request(manifest))
        await processed(clinic, 1)
        await bucket.archive("/old/_history/1.json")
        await clinic.submissions.submit(request(status="stopped"))
        status = await finished(clinic)
    assert (status.state, status.manifests[0].state, said) == ("stopped", "undone", [])
    with pytest.raises(Gone):
        await clinic.read("Patient", "new")
    assert (await clinic.read("Patient", "old")).json()["gender"] == "male"
    told = [one for one in await outcomes(clinic, status) if "extension" in one]
    assert [one["extension"][0]["valueReference"]["reference"] for one in told] == [f"{BASE}/Patient/old"]  # type: ignore[index]
    assert "archive" in str(told)
    await store.settle()
