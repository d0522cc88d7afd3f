"""The secrets that come with a request: kept in an object of their own until its manifest is read, and then removed."""

from __future__ import annotations

import msgspec

from fhirstore.errors import CorruptRecord
from fhirstore.submit.request import SubmitRequest
from fhirstore.submit.source import EncryptionKey


class Private(msgspec.Struct, frozen=True, omit_defaults=True):
    """`headers`: of all requests to the provider. `encryption`: system, code and value of the encryption key."""

    headers: tuple[tuple[str, str], ...] = ()
    encryption: tuple[str, str, str] | None = None

    def __repr__(self) -> str:
        return f"<Private, {len(self.headers)} headers>"

    @property
    def key(self) -> EncryptionKey | None:
        """The encryption key."""
        return None if self.encryption is None else EncryptionKey(*self.encryption)

    def encode(self) -> bytes:
        """Returns the object's body."""
        return msgspec.json.encode(self)


_decode = msgspec.json.Decoder(Private).decode


def decode_private(body: bytes, key: str) -> Private:
    """Reads the secrets. Raises CorruptRecord, naming `key`."""
    try:
        return _decode(body)
    except msgspec.MsgspecError:
        raise CorruptRecord(key) from None  # the error's message may hold a secret


def private_of(request: SubmitRequest) -> Private | None:
    """Returns the secrets of a request; None if it has none."""
    if not request.headers and request.encryption is None:
        return None
    key = request.encryption
    return Private(request.headers, None if key is None else (key.system, key.code, key.value))
