"""Tickets: signed permissions to send the content of one upload through a server, for stores without URLs of their own.

A ticket names everything that it permits: tenant, upload, method, sizes, type, hash and expiry. Its HMAC is made with a
key that lies in the store, one for each tenant, so that every process of every server can check it. Removing the
object `binary/uploads/signing-key.json` ends all tickets, once the processes that know the key have ended.
"""

from __future__ import annotations

import base64
import hmac
import secrets
from collections.abc import Mapping
from typing import Protocol as Shape

import msgspec

from fhirstore.commit.messages import Absent, Get, Protocol
from fhirstore.commit.reading import ask
from fhirstore.errors import CorruptRecord, TicketRefused
from fhirstore.jobs.lease import put_once
from fhirstore.transfers.keys import UploadKeys
from fhirstore.transfers.record import Upload, is_upload_id

_BYTES = 32
_NAMES = ("method", "least", "most", "type", "sha256", "expires", "signature")
_LONGEST = 400  # characters of a value


class Ticket(msgspec.Struct, frozen=True, kw_only=True):
    """What one ticket permits. `least`, `most`: bytes; `expires`: epoch ms; `sha256`: hex, or empty."""

    tenant: str
    id: str
    method: str
    least: int
    most: int
    content_type: str
    sha256: str
    expires: int

    @classmethod
    def of(cls, tenant: str, upload: Upload) -> Ticket:
        """Returns the ticket of an upload."""
        return cls(
            tenant=tenant,
            id=upload.id,
            method=upload.method,
            least=upload.size or 1,
            most=upload.most,
            content_type=upload.content_type,
            sha256=upload.sha256 or "",
            expires=upload.expires,
        )

    def signed(self, key: bytes) -> dict[str, str]:
        """Returns the names and values that the client sends: query parameters, or fields of a form."""
        return {
            "method": self.method,
            "least": str(self.least),
            "most": str(self.most),
            "type": self.content_type,
            "sha256": self.sha256,
            "expires": str(self.expires),
            "signature": self._signature(key),
        }

    @classmethod
    def checked(cls, tenant: str, id: str, given: Mapping[str, str], key: bytes, *, now: int) -> Ticket:
        """Returns the ticket that a client has sent. Raises TicketRefused: not signed so, or expired."""
        values = {name: given.get(name, "") for name in _NAMES}
        numbers = [values[name] for name in ("least", "most", "expires")]
        well_formed = all(text.isascii() and text.isdecimal() and len(text) < 19 for text in numbers)
        short = all(len(text) <= _LONGEST and text.isprintable() for text in values.values())
        if not (well_formed and short and is_upload_id(id)):
            raise TicketRefused
        ticket = cls(
            tenant=tenant,
            id=id,
            method=values["method"],
            least=int(values["least"]),
            most=int(values["most"]),
            content_type=values["type"],
            sha256=values["sha256"],
            expires=int(values["expires"]),
        )
        if not hmac.compare_digest(ticket._signature(key).encode(), values["signature"].encode("utf-8", "replace")):
            raise TicketRefused
        if now > ticket.expires:
            raise TicketRefused("The time in which this upload may be sent is over; begin another one")
        return ticket

    def _signature(self, key: bytes) -> str:
        facts = (self.tenant, self.id, self.method, self.least, self.most, self.content_type, self.sha256, self.expires)
        text = "\n".join(("fhirstore upload 1", *map(str, facts)))
        return hmac.digest(key, text.encode("utf-8", "replace"), "sha256").hex()


class _Key(msgspec.Struct, frozen=True):
    key: str  # base64

    def __repr__(self) -> str:
        return "<key>"


class KeyCache(Shape):
    """Remembers the keys of tenants in a process."""

    def get(self, tenant: str, /) -> bytes | None: ...
    def __setitem__(self, tenant: str, key: bytes, /) -> None: ...


def new_key() -> bytes:
    """Returns a key that nobody can guess."""
    return secrets.token_bytes(_BYTES)


def signing_key(keys: UploadKeys, fresh: bytes) -> Protocol[bytes]:
    """Returns the tenant's key; the first caller's `fresh` one becomes it. 1 GET; the first time 1 PUT.

    Commit point: the PUT IfAbsent. Raises CorruptRecord, Unavailable.
    """
    (reply,) = yield from ask(Get(keys.signing_key))
    if isinstance(reply, Absent):
        body = yield from put_once(keys.signing_key, msgspec.json.encode(_Key(base64.b64encode(fresh).decode("ascii"))))
    else:
        body = reply.body
    try:
        key = base64.b64decode(msgspec.json.decode(body, type=_Key).key, validate=True)
    except (msgspec.MsgspecError, ValueError):
        raise CorruptRecord(keys.signing_key) from None  # the error's message may hold the key
    if len(key) != _BYTES:
        raise CorruptRecord(keys.signing_key)
    return key
