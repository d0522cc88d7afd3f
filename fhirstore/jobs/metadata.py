"""The metadata of a job: what was asked for, by whom and when. Written once, at its creation."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from fhirstore.errors import CorruptRecord


class JobMetadata(msgspec.Struct, frozen=True, kw_only=True):
    """`request`: the kind's own JSON. `created`: epoch ms, store's time. `by`: who asked, for the operator."""

    kind: str
    id: str
    created: int
    request: Mapping[str, object]
    by: str = ""

    def encode(self) -> bytes:
        """Returns the object's body."""
        return msgspec.json.encode(self)


_decoder = msgspec.json.Decoder(JobMetadata)


def decode_metadata(body: bytes, key: str) -> JobMetadata:
    """Reads the metadata. Raises CorruptRecord, naming `key`, when the body is none."""
    try:
        return _decoder.decode(body)
    except msgspec.MsgspecError as error:
        raise CorruptRecord(key) from error
