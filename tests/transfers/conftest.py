"""Stores of each kind for the tests of direct transfer, and tenants on them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from conformance.s3servers import S3Server
from fhirstore import FhirStore, TenantStore
from fhirstore.objects import ObjectStore, S3Options, open_objects
from fhirstore.tenancy import PrefixTenancy

WITHOUT_URLS = ("memory", "embedded")
S3 = ("ministack", "seaweedfs", "minio")


@pytest.fixture
async def objects(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[ObjectStore]:
    """An empty store, of the kind that the test's parameter says."""
    s3: S3Options | None = None
    match request.param:
        case "memory":
            location = "memory:"
        case "embedded":
            location = f"file:{tmp_path / 'store'}"
        case _:
            server: S3Server = request.getfixturevalue(request.param)
            server.use(monkeypatch)
            location = server.location()
            s3 = S3Options(endpoint_url=server.endpoint_url, allow_http=True)
    store = await open_objects(location, s3=s3)
    yield store
    await store.aclose()


@pytest.fixture
async def store(objects: ObjectStore) -> AsyncIterator[FhirStore]:
    """A FHIR store with the tenants a and b on `objects`."""
    store = FhirStore(PrefixTenancy(objects, frozenset({"a", "b"})))
    yield store
    await store.settle()


@pytest.fixture
def tenant(store: FhirStore) -> TenantStore:
    """The tenant a."""
    return store.tenant("a")
