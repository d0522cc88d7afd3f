"""Patches through the library: atomic, done again where others were quicker, never lost."""

from __future__ import annotations

import asyncio

import pytest

from fhirstore import FhirStore, JsonPatch, MergePatch
from fhirstore.errors import (
    Contention,
    Gone,
    InvalidResource,
    MalformedContent,
    NotFound,
    PatchFailed,
    UnknownType,
    VersionConflict,
)
from fhirstore.fhir.json import JsonObject
from fhirstore.fhir.patch import patch_in
from fhirstore.objects.memory import MemoryStore
from fhirstore.tenancy import PrefixTenancy


async def test_patches_that_meet_are_all_applied() -> None:
    """From three processes at once: each adds its own tag; none is lost, none is there twice."""
    objects = MemoryStore()
    stores = [FhirStore(PrefixTenancy(objects, frozenset({"default"}))) for _ in range(3)]
    clinics = [store.tenant("default") for store in stores]
    await clinics[0].update({"resourceType": "Patient", "id": "p", "meta": {"tag": [{"code": "0"}]}})

    async def add(clinic: int, code: int) -> None:
        patch = JsonPatch.parse([{"op": "add", "path": "/meta/tag/-", "value": {"code": str(code)}}])
        while True:
            try:
                await clinics[clinic].patch("Patient", "p", patch)
            except Contention:
                continue
            return

    await asyncio.gather(*(add(clinic, clinic * 4 + n + 1) for clinic in range(3) for n in range(4)))
    patient = await clinics[0].read("Patient", "p")
    meta = patient.json()["meta"]
    assert isinstance(meta, dict)
    assert sorted(int(tag["code"]) for tag in meta["tag"]) == list(range(13))
    assert patient.version_id == 13
    for store in stores:
        await store.settle()


async def test_a_test_operation_is_judged_by_what_is_current() -> None:
    """Not by what this process remembers: another one wrote meanwhile."""
    objects = MemoryStore()
    one, other = (FhirStore(PrefixTenancy(objects, frozenset({"default"}))).tenant("default") for _ in range(2))
    await one.update({"resourceType": "Patient", "id": "p", "active": True})
    await other.update({"resourceType": "Patient", "id": "p", "active": False})
    swap = JsonPatch.parse(
        [{"op": "test", "path": "/active", "value": False}, {"op": "add", "path": "/gender", "value": "other"}]
    )
    assert (await one.patch("Patient", "p", swap)).version_id == 3
    await other.delete("Patient", "p")
    with pytest.raises(Gone):
        await one.patch("Patient", "p", swap)
    await one.update({"resourceType": "Patient", "id": "p", "active": False})
    assert (await other.patch("Patient", "p", swap, if_match=5)).version_id == 6


async def test_what_can_go_wrong() -> None:
    """Each with its own error, and nothing is written."""
    async with FhirStore.open("memory:") as store:
        clinic = store.tenant("default")
        patient = await clinic.create({"resourceType": "Patient", "active": True})
        patch = MergePatch.parse({"active": False})
        with pytest.raises(NotFound):
            await clinic.patch("Patient", "nobody", patch)
        with pytest.raises(UnknownType):
            await clinic.patch("Nonsense", "x", patch)
        with pytest.raises(InvalidResource):
            await clinic.patch("Patient", "not an id", patch)
        with pytest.raises(VersionConflict):
            await clinic.patch("Patient", patient.id, patch, if_match=2)
        with pytest.raises(InvalidResource) as invalid:
            await clinic.patch("Patient", patient.id, MergePatch.parse({"active": 1}))
        assert invalid.value.issues[0].expression == ("Patient.active",)
        with pytest.raises(PatchFailed):
            await clinic.patch("Patient", patient.id, MergePatch.parse({"id": "other"}))
        with pytest.raises(NotFound):
            await clinic.conditional_patch("Patient", "identifier=1", patch)
        assert (await clinic.read("Patient", patient.id)).version_id == 1


def test_a_resource_may_carry_a_patch() -> None:
    """Parameters for FHIRPath Patch, a Binary for the others, as in the entry of a Bundle."""
    data = "W3sib3AiOiJyZW1vdmUiLCJwYXRo\nIjoiL2EifV0="
    binary: JsonObject = {"resourceType": "Binary", "contentType": "application/json-patch+json", "data": data}
    assert patch_in(binary) == JsonPatch.parse([{"op": "remove", "path": "/a"}])
    binary = {"resourceType": "Binary", "contentType": "application/merge-patch+json; charset=utf-8", "data": "e30="}
    assert patch_in(binary) == MergePatch({})
    for wrong in ({"contentType": "text/plain"}, {"data": "?"}, {"resourceType": "Patient"}, {"contentType": 1}):
        with pytest.raises(MalformedContent):
            patch_in({**binary, **wrong})
