"""Object storage: one contract (`base`), three stores, wrappers, and the probe that finds out whether a store is
safe."""

from __future__ import annotations

from pathlib import Path

from fhirstore.clock import Clock
from fhirstore.errors import StoreMisconfigured
from fhirstore.objects.base import ObjectStore
from fhirstore.objects.embedded.compact import Compacted
from fhirstore.objects.embedded.compact import compact as compact_directory
from fhirstore.objects.s3.options import S3Options

__all__ = ["Compacted", "ObjectStore", "S3Options", "compact", "open_objects"]


async def open_objects(
    location: str, *, s3: S3Options | None = None, clock: Clock | None = None, create: bool = True
) -> ObjectStore:
    """Returns the store at `memory:`, `file:DIR` or `s3://bucket/prefix`, checked. The caller must call `aclose`.

    `create` False: only a store that exists already, so not `memory:`, and no directory without a database of ours. A
    bucket is never made. Raises StoreMisconfigured with one line that says what to do. Each store is imported only when
    it is opened, because the S3 libraries take long to import (see docs/performance.md, start).
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


def compact(location: str) -> Compacted:
    """Shrink the database file of the embedded store at `location`, while others may use it. Blocks.

    Raises StoreMisconfigured where `location` is of another kind or holds no store; StoreBusy.
    """
    scheme, _, rest = location.partition(":")
    if scheme != "file" or not rest:
        raise StoreMisconfigured(detail=f"{location}: there is nothing to compact but in a store of the form file:DIR")
    return compact_directory(Path(rest))
