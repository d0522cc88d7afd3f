"""One clinic for all clients that only search."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.clients.clinic import clinic


@pytest.fixture(scope="session")
def clinic_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The base URL of a server with the clinic. Who asks for it leaves what is there as it is."""
    with clinic(tmp_path_factory.mktemp("clinic")) as base_url:
        yield base_url
