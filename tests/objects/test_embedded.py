"""The embedded store keeps the contract, whatever the size above which bodies become files."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fhirstore.objects.base import ObjectStore
from fhirstore.objects.embedded import EmbeddedStore
from tests.objects.contract import ObjectStoreContract


class TestEmbeddedStore(ObjectStoreContract):
    """Every promise of the object verbs holds in a directory."""

    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[ObjectStore]:
        store = await EmbeddedStore.open(tmp_path / "store")
        yield store
        await store.aclose()


class TestEmbeddedStoreOfFiles(ObjectStoreContract):
    """Every promise holds when each body of more than a byte is a file."""

    many = 1010

    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[ObjectStore]:
        store = await EmbeddedStore.open(tmp_path / "store", large=1)
        yield store
        await store.aclose()
