"""Object storage: one protocol (`base`), three stores, wrappers, and the probe that tells safe stores from unsafe."""

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
    """The store at `memory:`, `file:DIR` or `s3://bucket/prefix`, checked; whoever opens it calls `aclose`.

    `create` False: only a store that exists already, so no `memory:` and no directory without our database; a bucket
    is never made. Raises StoreMisconfigured with one line that says what to do. Each store is imported only when it is
    asked for: a quarter of a second is saved where S3 is not used.
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
    """Give back to the disk what was freed in the embedded store at `location`, beside its users. Blocks.

    Raises StoreMisconfigured: it is of another kind, or not there; StoreBusy.
    """
    scheme, _, rest = location.partition(":")
    if scheme != "file" or not rest:
        raise StoreMisconfigured(detail=f"{location}: there is nothing to compact but in a store of the form file:DIR")
    return compact_directory(Path(rest))
