"""Stores and tenants for the tests of payloads."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from conformance.s3servers import S3Server
from fhirstore import FhirStore, TenantStore
from fhirstore.objects import ObjectStore, S3Options, open_objects
from fhirstore.tenancy import PrefixTenancy


@pytest.fixture(params=["memory", "embedded", "ministack", "seaweedfs", "minio"])
async def objects(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[ObjectStore]:
    """A store of each kind, empty."""
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
def clinic(objects: ObjectStore) -> TenantStore:
    """A tenant in it, which moves contents of more than 1,000 bytes out."""
    return FhirStore(PrefixTenancy(objects, None), inline_bytes=1_000).tenant("clinic")
