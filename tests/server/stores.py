"""The store below the HTTP suite: memory, unless `pytest --store=…` names another one.

`opaque` is memory with ETags that are no hashes, as with SSE-KMS.

Every `serving()` gets an empty store of that kind: a directory of its own, or a prefix of its own in the bucket.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from conformance.s3servers import REGION, S3Server
from fhirstore.objects.base import ObjectStore
from fhirstore.objects.opening import open_store
from fhirstore.objects.s3.options import S3Options
from tests.objects.store_under_test import opaque_store

STORES = ("memory", "opaque", "embedded", "ministack", "seaweedfs", "minio", "aws")


@dataclass(slots=True)
class Chosen:
    """The kind of store of this run. `folder`: for directories; `server`: for buckets."""

    kind: str = "memory"
    folder: Path | None = None
    server: S3Server | None = None
    opened: int = 0

    async def open(self) -> ObjectStore:
        """Returns an empty store of the chosen kind; the caller must close it."""
        self.opened += 1
        if self.kind == "opaque":
            return opaque_store()
        if self.server is not None:
            options = S3Options(endpoint_url=self.server.endpoint_url, allow_http=True, region=REGION)
            return await open_store(self.server.location(), s3=options if self.server.endpoint_url else None)
        return await open_store("memory:" if self.folder is None else f"file:{self.folder / str(self.opened)}")


CHOSEN = Chosen()


@contextmanager
def choosing(request: pytest.FixtureRequest, factory: pytest.TempPathFactory) -> Iterator[None]:
    """Makes CHOSEN what the command line says, until the end of the session."""
    CHOSEN.kind = request.config.getoption("--store")
    with pytest.MonkeyPatch.context() as patch:
        if CHOSEN.kind == "embedded":
            CHOSEN.folder = factory.mktemp("stores")
        elif CHOSEN.kind not in ("memory", "opaque"):
            server: S3Server = request.getfixturevalue(CHOSEN.kind)
            server.use(patch)
            CHOSEN.server = server
        yield
