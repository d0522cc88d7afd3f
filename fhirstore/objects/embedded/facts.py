"""How the embedded store keeps facts in an object's row: as JSON in a zstd frame with a checksum, like a small body.

They lie in the row, so they go with it; a row without facts, as every resource has it, has NULL there and costs nothing
more.
"""

from __future__ import annotations

import msgspec
from zstandard import ZstdCompressor, ZstdDecompressor, ZstdError

from fhirstore.objects.facts import NO_FACTS, Facts

_LARGEST = 64 * 1024  # bytes of the JSON; what is accepted has far fewer


def pack_facts(key: str, facts: Facts | None) -> bytes | None:
    """Returns the value of the column. Raises RequestRefused where a store would not accept the facts."""
    if facts is None:
        return None
    facts.check(key)
    if facts == NO_FACTS:
        return None
    return ZstdCompressor(write_checksum=True, write_content_size=True).compress(msgspec.json.encode(facts))


def unpack_facts(column: object) -> Facts | None:
    """Returns the facts of a column; None where it is damaged."""
    if column is None:
        return NO_FACTS
    if not isinstance(column, bytes):
        return None
    try:
        return msgspec.json.decode(ZstdDecompressor().decompress(column, max_output_size=_LARGEST), type=Facts)
    except (ZstdError, MemoryError, msgspec.MsgspecError):
        return None
