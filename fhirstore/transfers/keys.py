"""The keys of uploads, below a tenant's `binary/`.

| key | content |
|---|---|
| `binary/uploads/{id}.json` | the record (`record`) |
| `binary/uploads/{id}/{number}_{size}_{etag}` | empty; the store has this part |
| `binary/uploads/signing-key.json` | the key of the tenant's tickets (`tickets`) |
| `binary/incoming/{id}` | what a form has sent to the store |
| `binary/payload/{ulid}` | the payload object: of a PUT or of parts the id of the upload, of a form a fresh ULID |
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass

from fhirstore.format.keyspace import Keyspace
from fhirstore.format.payload import payload_object
from fhirstore.transfers.record import is_upload_id

_PART = re.compile(r"(?P<number>\d{5})_(?P<size>\d{1,13})_(?P<etag>[A-Za-z0-9_-]{1,400})")


@dataclass(frozen=True, slots=True)
class PartKey:
    """What the key of a part says: the store has part `number`, of `size` bytes, under this ETag."""

    number: int
    size: int
    etag: str


@dataclass(frozen=True, slots=True)
class UploadKeys:
    """The keys of one tenant's uploads."""

    keys: Keyspace

    @property
    def records(self) -> str:
        """The prefix of all records and parts."""
        return f"{self.keys.prefix}binary/uploads/"

    @property
    def signing_key(self) -> str:
        return f"{self.records}signing-key.json"

    def record(self, id: str) -> str:
        return f"{self.records}{id}.json"

    def parts(self, id: str) -> str:
        """The prefix of the parts of an upload."""
        return f"{self.records}{id}/"

    def part(self, id: str, part: PartKey) -> str:
        etag = base64.urlsafe_b64encode(part.etag.encode()).rstrip(b"=").decode("ascii")
        return f"{self.parts(id)}{part.number:05d}_{part.size}_{etag}"

    def incoming(self, id: str) -> str:
        return f"{self.keys.prefix}binary/incoming/{id}"

    def payload(self, ulid: str) -> str:
        return self.keys.prefix + payload_object(ulid)

    def id_of(self, key: str) -> str | None:
        """Returns the id of the upload whose record has this key; None where it is no record's."""
        id_ = key.removeprefix(self.records).removesuffix(".json")
        return id_ if is_upload_id(id_) and key == self.record(id_) else None


def parse_part(key: str) -> PartKey | None:
    """Returns what the key of a part says; None where it is not the key of one."""
    match = _PART.fullmatch(key.rpartition("/")[2])
    if match is None:
        return None
    text = match["etag"]
    try:
        etag = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
    return PartKey(int(match["number"]), int(match["size"]), etag)
