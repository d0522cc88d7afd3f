"""Whether a bucket has gone back in time since it was indexed: restored from a backup, or emptied.

An index of such a bucket holds versions that do not exist, at times before its watermark, so that no look at the log
would notice. The newest versions that it has applied are compared with the bucket: a version never goes away but by a
later one. The newest of all is among them where it is a tombstone, too: what was deleted by mistake is what backups are
restored for.
"""

from __future__ import annotations

from collections.abc import Sequence

from fhirstore.commit.messages import Protocol
from fhirstore.format.keyspace import Keyspace
from fhirstore.format.record import Record
from fhirstore.history.records import currents_at, records_at
from fhirstore.index.local.file import Applied, IndexFile

_LOOK_AT = 4


def newest_applied(file: IndexFile) -> list[Applied]:
    """Returns the newest versions that an index has. Blocks. Raises IndexDamaged."""
    return file.newest(_LOOK_AT)


def rewound(keys: Keyspace, newest: Sequence[Applied]) -> Protocol[bool]:
    """Returns whether any of these versions cannot have been in the bucket as it is now.

    1 GET each, 1 more where another version has followed. Raises Unavailable, CorruptRecord.
    """
    resources = [keys.resource(one.type, one.id) for one in newest]
    currents = yield from currents_at(resources)
    followed: list[tuple[Applied, str]] = []
    for one, resource in zip(newest, resources, strict=True):
        seen = currents.get(resource.current)
        if seen is None or seen.record.version < one.version:
            return True
        if seen.record.version == one.version and _differs(one, seen.record):
            return True
        if seen.record.version > one.version and one.there:
            followed.append((one, resource.version(one.version)))
    earlier = yield from records_at([key for _, key in followed], set())
    return any(key in earlier and _differs(one, earlier[key]) for one, key in followed)


def _differs(one: Applied, record: Record) -> bool:
    """Returns whether a version of this number is another one. Of what was purged, only the number is left."""
    return record.exists and (one.there is not (record.resource is not None) or record.t != one.t)
