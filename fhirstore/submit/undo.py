"""Takes back what manifests wrote to one resource, unless others have changed it since.

If the current version is one of theirs, the newest version below it that is not becomes the next version again, or a
tombstone does, where there was none. If the current version is another's, or another has purged the
resource, it stays so, and that is told. A version that an
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

RESTORED, REMOVED, NOTHING, KEPT, ARCHIVED = "restored", "removed", "nothing", "kept", "archived"
"""What became of what a line wrote: the former content is back; the resource is deleted; there was nothing to take
back, or another line of the same resource tells of it; others have changed it, so it stays as it is; the former content
is in the bucket's archive, so it stays as it is."""

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
    marked = replace(context, ids=Marked(context.ids, family.undoing))
    for _ in range(_ROUNDS):
        base = yield from base_for(keys, context)
        current = base.shown
        if current is None:
            purged = base.record is not None and base.record.floor > before
            return Undone(KEPT if purged else NOTHING, base.version)
        above = yield from _above(keys, current, family, token, before=before, after=after, context=context)
        if above is not None and family.undid(above.op):
            return Undone(_took_back(above, token), current.version)
        if family.undid(current.op):
            return Undone(NOTHING, current.version, above is not None)
        if not family.wrote(current.op):
            return Undone(NOTHING if above is None else KEPT, current.version)
        target = yield from _before(keys, current, family, context)
        try:
            result = yield from write(
                keys, _over(keys, current, target), context=marked, remembered=replace(base, whole=False)
            )
        except _Moved:
            continue
        if not result.applied or result.record is None:
            return Undone(NOTHING, current.version, above is not None)
        return Undone(_took_back(result.record, token), result.record.version, above is not None)
    raise Contention("Others kept writing this resource; nothing was undone, try again")


def _over(keys: ResourceKeys, wrong: Record, target: Record | None) -> Decide:
    """Returns the decision that makes `target` the next version, over `wrong` alone."""

    def decide(current: Record | None) -> Draft | None:
        if current is None or (current.version, current.op) != (wrong.version, wrong.op):
            raise _Moved
        if target is None or target.resource is None:
            return None if current.deleted else Draft("DELETE", None)
        build = builder(json.Template(json.parse(target.resource, max_values=None)), keys.id)
        return Draft("PUT", build, payload=target.payload)

    return decide


def _before(keys: ResourceKeys, current: Record, family: Family, context: Context) -> Protocol[Record | None]:
    """Returns the newest version below `current` that none of the manifests wrote; None: there is none."""
    for version in range(current.version - 1, current.floor, -1):
        record = yield from vread(keys, version, limits=context.limits)
        if record is not None and not family.wrote(record.op):
            return record
    return None


def _took_back(undoing: Record, token: str) -> str:
    """Returns what a version of an undoing did to the line's: of several lines of one resource, the last counts."""
    if undoing.prior is None or not undoing.prior.startswith(token):
        return NOTHING
    return REMOVED if undoing.deleted else RESTORED


def _above(
    keys: ResourceKeys, current: Record, family: Family, token: str, *, before: int, after: int, context: Context
) -> Protocol[Record | None]:
    """Returns the next version above the line's that is not of these manifests: an undoing's, or another's.

    None: there is none, or the line made no version. No request where the line's version is known and current; else
    2 GET for each version in between.
    """
    version = after
    if not version and current.op.startswith(token):
        version = current.version
    elif not version:
        lowest = max(before, current.floor)
        version = yield from find(keys, token, above=lowest, below=current.version, context=context)
    for number in range(version + 1, current.version + 1) if version else ():
        record: Record | None = current
        if number < current.version:
            record = yield from vread(keys, number, limits=context.limits)
        if record is not None and not family.wrote(record.op):
            return record
    return None
