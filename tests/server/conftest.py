"""Fixtures of the server's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.server.serving import Served, serving
from tests.server.stores import choosing


@pytest.fixture(scope="session", autouse=True)
def store_of_this_run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The store that `--store` names lies below every `serving()`."""
    with choosing(request, tmp_path_factory):
        yield


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    """The app with default settings on an empty store."""
    async with serving() as value:
        yield value
