"""One version of a resource, as the library returns it."""

from __future__ import annotations

import msgspec

from fhirstore.fhir import json
from fhirstore.format.record import Record


class Version(msgspec.Struct, frozen=True):
    """One version of a resource, as stored.

    `content`: the resource's JSON, UTF-8, with `id`, `meta.versionId` and `meta.lastUpdated` in it; empty when
    `deleted`. `last_updated`: epoch ms. `created`: this interaction brought the resource into being, or
    back; told of what was just written, and in histories.
    """

    type: str
    id: str
    version_id: int
    last_updated: int
    method: str
    content: bytes
    created: bool = False

    @property
    def deleted(self) -> bool:
        return not self.content

    def json(self) -> dict[str, object]:
        """The resource as Python values; numbers with a fraction are `msgspec.Raw`, so that they survive exactly."""
        return json.parse(self.content, max_values=None)


def version_of(type: str, id: str, record: Record, *, created: bool = False) -> Version:
    """A record as the library shows it."""
    return Version(type, id, record.version, record.t, record.method, record.resource or b"", created)
