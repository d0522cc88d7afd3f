"""What the command `fhirstore copy` is asked to do: two ends, each a store with its own way to keep tenants."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from fhirstore import FhirStore, S3Options, Tags


class CannotCopy(Exception):
    """The copy cannot begin or go on; the message is one line that says what to do."""


@dataclass(frozen=True, slots=True)
class End:
    """A store. `buckets`: each tenant's own bucket or directory; empty: all tenants in one, each below its prefix.
    `tags`: which objects get tags where it is the target."""

    location: str
    buckets: Mapping[str, str]
    s3: S3Options
    tags: Tags

    @asynccontextmanager
    async def opened(self, *, create: bool) -> AsyncIterator[FhirStore]:
        """Opens the store with every tenant that is in it. `create`: make a directory where there is none."""
        opening = FhirStore.open(
            self.location, tenants=None, buckets=self.buckets, s3=self.s3, tags=self.tags, create=create
        )
        async with opening as store:
            yield store


@dataclass(frozen=True, slots=True)
class Order:
    """`tenant` None: all that the source has. `verify`: compare both ends at the end; `verify_only`: do nothing else.

    `follow`: go on until the source is quiet. `concurrency`: resources at once.
    """

    source: End
    target: End
    tenant: str | None = None
    verify: bool = True
    verify_only: bool = False
    follow: bool = False
    concurrency: int = 32


def end_of(
    location: str,
    s3: S3Options,
    *,
    tags: Tags | None = None,
    buckets: Mapping[str, str] | None = None,
    endpoint: str | None = None,
    region: str | None = None,
) -> End:
    """Returns one end. `endpoint`, `region`: instead of those of the settings."""
    if location == "memory:":
        raise CannotCopy("memory: lives and ends with one process; name file:DIR or s3://bucket/prefix")
    if endpoint is not None:
        s3 = replace(s3, endpoint_url=endpoint, public_endpoint_url=None)
    if region is not None:
        s3 = replace(s3, region=region)
    return End(location, buckets or {}, s3, tags or Tags())
