"""What an operator sets and asks of a bucket: its lifecycle and CORS rules, and objects in archive classes.

    async with open_bucket("s3://bucket/prefix") as bucket:
        print(await bucket.lifecycle(), await bucket.archive_state("a/b.csv"))
        await bucket.restore("a/b.csv", days=7, tier="Bulk")

It is for commands, and no part of `ObjectStore`: only S3 has it. Rules have the JSON that `aws s3api` prints and takes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Literal, Protocol, TypeAlias

import msgspec

from fhirstore.errors import StoreCannot
from fhirstore.objects.s3.options import S3Options

Rule: TypeAlias = Mapping[str, object]
"""A lifecycle or CORS rule."""

Tier: TypeAlias = Literal["Bulk", "Standard", "Expedited"]
"""How fast, and at what price, an object is brought back."""

ARCHIVES = frozenset({"GLACIER", "DEEP_ARCHIVE"})
"""Storage classes whose objects cannot be read before they were restored. GLACIER_IR is not one."""


class ArchiveState(msgspec.Struct, frozen=True):
    """Where an object lies. `storage_class`: as S3 names it. `archived`: it cannot be read now.

    `returning`: its restoration is under way. `until`: when a restored copy goes, in S3's words; "" without one.
    """

    storage_class: str
    archived: bool
    returning: bool = False
    until: str = ""


class Bucket(Protocol):
    """The bucket `name`, below whose `root` (empty, or ends with `/`) the store lies. Keys are relative to that."""

    location: str
    name: str
    root: str

    async def lifecycle(self) -> list[Rule]:
        """Returns the bucket's lifecycle rules, of whomever. Raises as `set_lifecycle`."""
        ...

    async def set_lifecycle(self, rules: Sequence[Rule]) -> None:
        """Replaces all lifecycle rules of the bucket, in one request, which is the commit point.

        The caller must pass on the rules of others that `lifecycle` returned. Raises RequestRefused (the bucket takes
        no such rule), StoreCannot (it has none), StoreMisconfigured, StoreUnavailable.
        """
        ...

    async def cors(self) -> list[Rule]:
        """Returns the bucket's CORS rules, of whomever. Raises as `set_lifecycle`."""
        ...

    async def set_cors(self, rules: Sequence[Rule]) -> None:
        """Replaces all CORS rules of the bucket. As `set_lifecycle`."""
        ...

    async def archive_state(self, key: str) -> ArchiveState:
        """Returns where an object lies. 1 HEAD. Raises ObjectNotFound, StoreMisconfigured, StoreUnavailable."""
        ...

    async def restore(self, key: str, *, days: int, tier: Tier) -> None:
        """Asks for a copy of an archived object that can be read for `days`. It comes hours later: see `archive_state`.

        May be asked again: where it is under way nothing changes, and a copy that is there stays for `days` from now.
        Raises RequestRefused (it is in no archive class, or this class has no such tier), and as `archive_state`.
        """
        ...


@asynccontextmanager
async def open_bucket(location: str, *, s3: S3Options | None = None) -> AsyncIterator[Bucket]:
    """Opens the bucket of a store `s3://bucket/prefix`. Sends no request.

    Raises StoreMisconfigured; StoreCannot for another kind of store. The S3 libraries are imported only here, because
    that takes long (see docs/performance.md, start).
    """
    if not location.startswith("s3:"):
        raise StoreCannot(detail=f"{location}: only a bucket (s3://…) has lifecycle rules, CORS rules and archives")
    from fhirstore.objects.s3.administration import S3Bucket  # noqa: PLC0415 - see the docstring

    bucket = await S3Bucket.opened(location, s3 or S3Options())
    try:
        yield bucket
    finally:
        await bucket.aclose()
