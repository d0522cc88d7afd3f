"""One version of a resource, as the library returns it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec

from fhirstore.fhir import json
from fhirstore.format.payload import Payload
from fhirstore.format.record import Record

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Version(msgspec.Struct, frozen=True):
    """One version of a resource, as stored.

    `content`: the resource's JSON, UTF-8, with `id`, `meta.versionId` and `meta.lastUpdated` in it, every digit as it
    was written; empty when `deleted`. `last_updated_ms`: epoch ms. `method`: the HTTP verb of the interaction that made
    it. `created`: this interaction brought the resource into being, or back after a deletion; set in the results of
    writes, and in histories. `payload`: where the content of a Binary is that lies outside the record: `content` has a
    marker in its place then (docs/format.md).
    """

    type: str
    id: str
    version_id: int
    last_updated_ms: int
    method: str
    content: bytes
    created: bool = False
    payload: Payload | None = None

    @property
    def deleted(self) -> bool:
        """Whether this version is a tombstone."""
        return not self.content

    @property
    def last_updated(self) -> datetime:
        """`meta.lastUpdated`: in UTC, with milliseconds."""
        return _EPOCH + timedelta(milliseconds=self.last_updated_ms)

    def json(self) -> dict[str, object]:
        """Returns the resource as Python values; a number is an int, or a Decimal with the digits it was written with.

        `create` and `update` take these values back as they are, and `fhirstore.dump` writes them as JSON; `json.dumps`
        of the standard library refuses Decimals. `content` is the JSON itself. Empty when `deleted`. Raises
        InvalidResource for a number that no Decimal can hold.
        """
        return json.with_decimals(json.parse(self.content, max_values=None)) if self.content else {}

    def __repr__(self) -> str:
        deleted = ", deleted" if self.deleted else ""
        return f"<Version {self.version_id} of {self.type}/{self.id}{deleted}>"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        return [("type", self.type), ("id", self.id), ("version_id", self.version_id)]


def version_of(type: str, id: str, record: Record, *, created: bool = False) -> Version:
    """Returns a record as the library shows it."""
    return Version(
        type, id, record.version, record.t, record.method, record.resource or b"", created, payload=record.payload
    )
