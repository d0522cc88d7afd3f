"""The scripted server of these tests."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.server.export_command.scripted import BulkServer, bulk_server


@pytest.fixture
async def server() -> AsyncIterator[BulkServer]:
    """A bulk data server with nothing to export yet."""
    async with bulk_server() as server:
        server.pages = [server.manifest()]
        yield server
