"""Fixtures of the server's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.server.serving import Served, serving


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    """The app with default settings on an empty memory store."""
    async with serving() as value:
        yield value
