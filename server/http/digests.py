"""The Content-Digest and Repr-Digest headers (https://www.rfc-editor.org/rfc/rfc9530), with SHA-256 alone.

Of a request without Range both are about the same bytes: those of the body as it is sent, so with its Content-Encoding.
Digests by other algorithms are ignored, as the RFC allows.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping

from server.http.fields import listed, parameters
from server.http.refusal import Refused

_ENTRY = re.compile(r"([a-z*][a-z0-9_.*-]*)=(.*)")
_BYTES = re.compile(r":([A-Za-z0-9+/]*={0,2}):")
_SIZE = 32


def asked_digest(headers: Mapping[bytes, bytes]) -> bytes | None:
    """Returns the SHA-256 that the body must have; None: the client did not say it.

    Raises Refused (400) for a malformed header, and where the two name different hashes.
    """
    found = {digest for name in (b"content-digest", b"repr-digest") for digest in _sha256(headers, name)}
    if len(found) > 1:
        raise Refused(400, "Content-Digest and Repr-Digest name different SHA-256 hashes of one body", code="value")
    return found.pop() if found else None


def repr_digest(sha256: str) -> str:
    """Returns the value of Repr-Digest for a hash in hex."""
    return f"sha-256=:{base64.b64encode(bytes.fromhex(sha256)).decode('ascii')}:"


class BodyDigest:
    """The hash that the body of a request must have, and that of what has arrived of it. `expected` None: any."""

    def __init__(self, expected: bytes | None) -> None:
        self._expected = expected
        self._hash = None if expected is None else hashlib.sha256()

    def add(self, piece: bytes) -> None:
        """More of the body has arrived."""
        if self._hash is not None:
            self._hash.update(piece)

    def end(self) -> None:
        """All of it has arrived. Raises Refused (400)."""
        if self._hash is not None and self._hash.digest() != self._expected:
            raise other_digest()


def other_digest() -> Refused:
    """Returns the refusal of a body whose hash is not the one that the client said: it was changed on its way."""
    return Refused(
        400, "The body does not have the SHA-256 of its Content-Digest or Repr-Digest; send it again", code="value"
    )


def _sha256(headers: Mapping[bytes, bytes], name: bytes) -> list[bytes]:
    found = []
    for item in listed(headers.get(name, b"").decode("latin-1")):
        entry = _ENTRY.fullmatch(parameters(item)[0])
        if entry is None:
            raise _malformed(name)
        if entry[1] != "sha-256":
            continue
        value = _BYTES.fullmatch(entry[2])
        try:
            digest = base64.b64decode(value[1], validate=True) if value is not None else b""
        except binascii.Error:
            digest = b""
        if len(digest) != _SIZE:
            raise _malformed(name)
        found.append(digest)
    return found


def _malformed(name: bytes) -> Refused:
    shown = {b"content-digest": "Content-Digest", b"repr-digest": "Repr-Digest"}[name]
    return Refused(400, f"{shown} must be like sha-256=:…:, with the hash in base64 between colons", code="value")
