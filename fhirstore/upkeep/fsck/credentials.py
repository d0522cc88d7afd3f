"""Checks what the server's token endpoint stores: clients and signing keys are readable, and nothing else is there.

Cost: 1 LIST per 1,000 objects below `access/`, 1 GET per client, 1 GET of the keys.
"""

from __future__ import annotations

import re

from fhirstore.commit.messages import Absent, Get, List, Protocol
from fhirstore.commit.reading import ask
from fhirstore.credentials.clients import decode_client
from fhirstore.credentials.signing_keys import decode_ring
from fhirstore.errors import CorruptRecord
from fhirstore.format.keyspace import Keyspace
from fhirstore.upkeep.fsck.finding import Finding, unreadable
from fhirstore.upkeep.fsck.unreadable import listed_behind_damage

_CLIENT = re.compile(r"(?:[A-Za-z0-9-]{1,100}|~[0-9a-f]{64})\.json")
_DIGEST = re.compile(r"[0-9a-f]{64}")


def walk_credentials(keys: Keyspace) -> Protocol[list[Finding]]:
    """Returns the findings. Raises Unavailable."""
    findings: list[Finding] = []
    lost: list[str] = []
    cursor: str | None = None
    while True:
        page = yield from listed_behind_damage(List(keys.access(), cursor=cursor), lost)
        for item in page.objects:
            findings += yield from _judged(keys, item.key)
        cursor = page.cursor
        if cursor is None:
            return findings + unreadable(lost)


def _judged(keys: Keyspace, key: str) -> Protocol[list[Finding]]:
    if key.startswith(keys.used_assertions()) and _DIGEST.fullmatch(key.removeprefix(keys.used_assertions())):
        return []
    is_client = key.startswith(keys.clients()) and _CLIENT.fullmatch(key.removeprefix(keys.clients())) is not None
    if not is_client and key != keys.signing_keys:
        return [Finding("stray-key", key)]
    (reply,) = yield from ask(Get(key))
    try:
        if isinstance(reply, Absent):
            return []
        if is_client:
            client = decode_client(reply.body, key).client
            if client is not None and keys.client(client.id) != key:
                return [Finding("credentials", key, "it is of another client than its key says")]
        else:
            decode_ring(reply.body, key)
    except CorruptRecord:
        return [Finding("credentials", key, "not readable")]
    return []
