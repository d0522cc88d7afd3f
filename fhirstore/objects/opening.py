"""Opens a store by its location."""

from __future__ import annotations

from pathlib import Path

from fhirstore.clock import Clock
from fhirstore.errors import StoreMisconfigured
from fhirstore.objects.base import ObjectStore
from fhirstore.objects.s3.options import S3Options


async def open_store(
    location: str, *, s3: S3Options | None = None, clock: Clock | None = None, create: bool = True
) -> ObjectStore:
    """Returns the store at `memory:`, `file:DIR` or `s3://bucket/prefix`, as `fhirstore.objects.open_objects` does.

    It does not check the arguments of each call, so the caller must use well-formed keys. Each store is imported only
    when it is opened, because the S3 libraries take long to import (see docs/performance.md, start).
    """
    if location == "memory:":
        if not create:
            advice = "name the store itself, file:DIR or s3://bucket/prefix"
            raise StoreMisconfigured(detail=f"no fhirstore at memory:; it lives and ends with one server; {advice}")
        from fhirstore.objects.memory import MemoryStore  # noqa: PLC0415 - see the docstring

        return MemoryStore(clock)
    scheme, separator, rest = location.partition(":")
    if scheme == "file" and rest:
        from fhirstore.objects.embedded.store import EmbeddedStore  # noqa: PLC0415 - see the docstring

        return await EmbeddedStore.open(Path(rest), create=create)
    if scheme == "s3" and separator:
        from fhirstore.objects.s3.store import S3Store  # noqa: PLC0415 - see the docstring

        return await S3Store.open(location, s3, clock=clock)
    forms = "memory:, file:DIR or s3://bucket/prefix"
    raise StoreMisconfigured(detail=f"{location!r} is no store location: use one of {forms}")
