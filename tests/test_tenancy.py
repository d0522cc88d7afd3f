"""Tenants are configured, apart, and never defaulted."""

from __future__ import annotations

from pathlib import Path

import pytest

from fhirstore import FhirStore
from fhirstore.errors import NotFound, StoreMisconfigured, UnknownTenant
from fhirstore.tenancy import bucket_locations

PATIENT = {"resourceType": "Patient", "id": "p"}


async def test_a4_tenants_of_one_bucket_do_not_see_each_other() -> None:
    """The same id in two tenants is two resources."""
    async with FhirStore.open("memory:", tenants=["a", "b"]) as store:
        await store.tenant("a").update(PATIENT)
        with pytest.raises(NotFound):
            await store.tenant("b").read("Patient", "p")


async def test_a4_tenants_with_buckets_of_their_own_do_not_see_each_other(tmp_path: Path) -> None:
    """Bucket tenancy puts each tenant's objects in a place of its own."""
    async with FhirStore.open(f"file:{tmp_path}", buckets={"a": "bucket-a", "b": "bucket-b"}) as store:
        await store.tenant("a").update(PATIENT)
        with pytest.raises(NotFound):
            await store.tenant("b").read("Patient", "p")
        with pytest.raises(UnknownTenant):
            store.tenant("c")
    assert {path.name for path in tmp_path.iterdir()} == {"bucket-a", "bucket-b"}


@pytest.mark.parametrize("tenant", ["b", "A", "", "a/../a", "_probe"])
async def test_a4_an_unknown_tenant_is_an_error(tenant: str) -> None:
    """Neither unknown nor malformed ids become a default."""
    async with FhirStore.open("memory:", tenants=["a"]) as store:
        with pytest.raises(UnknownTenant):
            store.tenant(tenant)


async def test_any_well_formed_tenant_exists_when_so_configured() -> None:
    """`tenants=None` admits every well-formed id, and only those."""
    async with FhirStore.open("memory:", tenants=None) as store:
        assert await store.tenant("anything-7").create({"resourceType": "Patient"})
        with pytest.raises(UnknownTenant):
            store.tenant("Not-This")


def test_two_tenants_cannot_share_a_bucket() -> None:
    """A map that would mix tenants is refused at start-up."""
    with pytest.raises(StoreMisconfigured, match="two tenants"):
        bucket_locations("s3://x", {"a": "bucket", "b": "bucket"})


def test_the_prefix_of_the_location_is_kept_in_every_bucket() -> None:
    """Only the bucket changes from tenant to tenant."""
    assert bucket_locations("s3://x/some/prefix", {"a": "b-a"}) == {"a": "s3://b-a/some/prefix"}
    assert bucket_locations("s3://x", {"a": "b-a"}) == {"a": "s3://b-a"}
