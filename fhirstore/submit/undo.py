"""Takes back what manifests wrote to one resource, unless others have changed it since.

If the current version is one of theirs, the newest version below it that is not becomes the next version again, or a
tombstone does, where there was none. If the current version is another's, it stays, and that is told. A version that an
undoing wrote is recognised by its token, so an undoing that is repeated, or done by two at the same time, does nothing
more.
"""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from fhirstore.commit.intents import base_for
from fhirstore.commit.limits import Context
from fhirstore.commit.messages import Protocol
from fhirstore.commit.reading import vread
from fhirstore.commit.single import Decide, Draft, write
from fhirstore.errors import Contention
from fhirstore.fhir import json
from fhirstore.format.keyspace import ResourceKeys
from fhirstore.format.record import Record
from fhirstore.interactions.resources import builder
from fhirstore.submit.once import find
from fhirstore.submit.tokens import Family, Marked

RESTORED, REMOVED, NOTHING, KEPT = "restored", "removed", "nothing", "kept"
"""What became of a resource: its former content is back; it is deleted; there is nothing to take back, or not any more;
others have changed it, so it stays as it is."""

_ROUNDS = 16


class Undone(msgspec.Struct, frozen=True):
    """`outcome`: one of the words above. `version`: the current one. `built_on`: others had written over the line's
    version before another manifest of the submission wrote over theirs; theirs is the content that is back."""

    outcome: str
    version: int = 0
    built_on: bool = False


class _Moved(Exception):
    """The current version is not the one that was looked at."""


def undo(
    keys: ResourceKeys, family: Family, token: str, *, before: int, after: int = 0, context: Context
) -> Protocol[Undone]:
    """Takes back what `family` wrote to the resource. Commit point: PUT `current.json`.

    `token`: of the line on whose behalf, the beginning of its version's op token. `before`: the version in its plan.
    `after`: the version that it made; 0: not known, or none. Cost: 1 GET where there is nothing to do; 2 GET more for
    each version that is looked at, and a write. Raises as `single.write`; after an error call it again.
    """
    marked = Context(context.now, Marked(context.ids, family.undoing), context.limits)
    for _ in range(_ROUNDS):
        base = yield from base_for(keys, context)
        current = base.shown
        if current is None:
            return Undone(NOTHING, base.version)
        others = yield from _others_were_next(keys, current, family, token, before=before, after=after, context=context)
        if family.undid(current.op):
            return Undone(NOTHING, current.version, others)
        if not family.wrote(current.op):
            return Undone(KEPT if others else NOTHING, current.version)
        target = yield from _before(keys, current, family, context)
        try:
            yield from write(keys, _over(keys, current, target), context=marked, remembered=replace(base, whole=False))
        except _Moved:
            continue
        there = target is not None and not target.deleted
        return Undone(RESTORED if there else REMOVED, current.version + 1, others)
    raise Contention("Others kept writing this resource; nothing was undone, try again")


def _over(keys: ResourceKeys, wrong: Record, target: Record | None) -> Decide:
    """Returns the decision that makes `target` the next version, over `wrong` alone."""

    def decide(current: Record | None) -> Draft | None:
        if current is None or (current.version, current.op) != (wrong.version, wrong.op):
            raise _Moved
        if target is None or target.resource is None:
            return None if current.deleted else Draft("DELETE", None)
        return Draft("PUT", builder(json.Template(json.parse(target.resource, max_values=None)), keys.id))

    return decide


def _before(keys: ResourceKeys, current: Record, family: Family, context: Context) -> Protocol[Record | None]:
    """Returns the newest version below `current` that none of the manifests wrote; None: there is none."""
    for version in range(current.version - 1, current.floor, -1):
        record = yield from vread(keys, version, limits=context.limits)
        if record is not None and not family.wrote(record.op):
            return record
    return None


def _others_were_next(
    keys: ResourceKeys, current: Record, family: Family, token: str, *, before: int, after: int, context: Context
) -> Protocol[bool]:
    """Whether the next version above the line's that is not of these manifests is another's, and not an undoing's.

    No request where the line's version is known and current; else 2 GET for each version in between.
    """
    version = after
    if not version:
        mine = current.op.startswith(token)
        lowest = max(before, current.floor)
        version = (
            current.version
            if mine
            else (yield from find(keys, token, above=lowest, below=current.version, context=context))
        )
    if not version:
        return False
    for above in range(version + 1, current.version + 1):
        record = current
        if above < current.version:
            found = yield from vread(keys, above, limits=context.limits)
            if found is None:
                continue
            record = found
        if not family.wrote(record.op):
            return not family.undid(record.op)
    return False
