"""multipart/form-data in a stream: short fields first, then the content as the field `file`, never held whole.

As S3 takes it: fields after the file are ignored. https://www.rfc-editor.org/rfc/rfc7578
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

from fhirstore.errors import ContentTooLarge, InvalidResource
from server.http.fields import parameters
from server.http.refusal import Refused

_MEDIA_TYPE = "multipart/form-data"
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")  # RFC 2046
_DISPOSITION = re.compile(
    rb"\r\ncontent-disposition:\s*form-data;[^\r\n]*?[; ]name=\"([^\"\r\n]{1,100})\"", re.IGNORECASE
)
_MOST_FIELDS = 40
_LONGEST = 16 * 1024  # bytes of the headers or of the value of a field
FILE = "file"


def boundary_of(content_type: str | None) -> bytes:
    """Returns the boundary of a form. Raises Refused (415) for another type, InvalidResource without a boundary."""
    name, given = parameters(content_type or "")
    if name.lower() != _MEDIA_TYPE:
        raise Refused(415, f"This upload is sent as a form: {_MEDIA_TYPE}, with the fields that it was given")
    boundary = given.get("boundary", "")
    if not _BOUNDARY.fullmatch(boundary):
        raise InvalidResource("The Content-Type of a form names its boundary", code="value")
    return boundary.encode("ascii")


class FormBody:
    """A form that is being read: first `fields`, then `content`."""

    def __init__(self, pieces: AsyncIterator[bytes], boundary: bytes) -> None:
        self._pieces = pieces
        self._delimiter = b"\r\n--" + boundary
        self._held = b"\r\n"  # so that the first delimiter is like the others

    async def fields(self) -> dict[str, str]:
        """Returns the fields before the file. Raises InvalidResource: malformed, or without a file; ContentTooLarge."""
        found: dict[str, str] = {}
        await self._value()  # what comes before the first delimiter says nothing
        while True:
            name = await self._name()
            if name == FILE:
                return found
            found[name] = (await self._value()).decode("utf-8", "replace")
            if len(found) > _MOST_FIELDS:
                raise ContentTooLarge(f"The form has more than {_MOST_FIELDS} fields before the file")

    async def content(self) -> AsyncIterator[bytes]:
        """Yields the file. Raises InvalidResource where the form ends in it."""
        keep = len(self._delimiter) - 1
        while (at := self._held.find(self._delimiter)) < 0:
            if len(self._held) > keep:
                piece, self._held = self._held[:-keep], self._held[-keep:]
                yield piece
            await self._read()
        if at:
            yield self._held[:at]
        self._held = b""
        async for _ in self._pieces:  # to the end of the request
            pass

    async def _name(self) -> str:
        """Returns the name of the next field, whose value is next."""
        while len(self._held) < 2:
            await self._read()
        if self._held.startswith(b"--"):
            raise InvalidResource("The form has no field `file`; it is the last one", code="required")
        end = await self._find(b"\r\n\r\n")
        match = _DISPOSITION.search(self._held[:end] + b"\r\n")
        if match is None:
            raise InvalidResource("A field of the form has no name", code="structure")
        self._held = self._held[end + 4 :]
        return match[1].decode("utf-8", "replace")

    async def _value(self) -> bytes:
        at = await self._find(self._delimiter)
        value, self._held = self._held[:at], self._held[at + len(self._delimiter) :]
        return value

    async def _find(self, text: bytes) -> int:
        while (at := self._held.find(text)) < 0:
            if len(self._held) > _LONGEST:
                raise ContentTooLarge(f"A field of the form has more than {_LONGEST:,} bytes")
            await self._read()
        return at

    async def _read(self) -> None:
        piece = await anext(self._pieces, None)
        if piece is None:
            raise InvalidResource("The form is cut: its last boundary is missing", code="structure")
        self._held += piece
