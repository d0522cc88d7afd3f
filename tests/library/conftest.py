"""A tenant of an empty store, for tests that use the library as its users do."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from fhirstore import FhirStore, TenantStore


@pytest.fixture
async def clinic() -> AsyncIterator[TenantStore]:
    """The only tenant of an empty store in memory."""
    async with FhirStore.open("memory:") as store:
        yield store.tenant("default")
