"""Whether an index has of a resource what its content says. Nothing is written."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from fhirstore.index.local.apply import Applying, Change, Known, Prepared
from fhirstore.index.local.file import IndexFile
from fhirstore.index.local.schema import VALUES

MISSING = "it is not there"
GONE = "it is deleted, and still there"
OTHER_VERSION = "it is there in another version"
OTHER_TIME = "its time is another one"
LACKS = "values are missing"
TOO_MANY = "values are there that it does not have"
TORN = "values that it is said to have are not in their table"


def differences(file: IndexFile, changes: Sequence[Change]) -> dict[str, str]:
    """Returns what is wrong, by `Type/id`, of these versions, which are current in the bucket. Blocks. The values of
    types for which a new parameter is being filled are not compared.

    Raises IndexDamaged, IndexUnusable.
    """

    unfilled = file.catalogue.unfilled

    def do(applying: Applying, ready: Sequence[Prepared]) -> dict[str, str]:
        known = applying.known(ready)
        found = {one.change.name: _difference(applying, one, known.get(one.name), unfilled) for one in ready}
        return {name: what for name, what in found.items() if what is not None}

    return file.without_keeping(changes, do)


def _difference(applying: Applying, one: Prepared, known: Known | None, unfilled: Collection[str]) -> str | None:
    change = one.change
    if change.resource is None:
        return GONE if known is not None and known.there else None
    if known is None or not known.there:
        return MISSING
    if known.version != change.version:
        return OTHER_VERSION
    if known.t != change.t:
        return OTHER_TIME
    if change.type in unfilled:
        return None
    there, now = applying.before(known), _rows(applying, one)
    if any(now[table] - there.get(table, set()) for table in VALUES):
        return LACKS
    if any(there.get(table, set()) - now[table] for table in VALUES):
        return TOO_MANY
    return TORN if applying.torn(known, there) else None


def _rows(applying: Applying, one: Prepared) -> dict[str, set[tuple[object, ...]]]:
    parts = applying.parts(one)
    return {table: {row for part in parts for row in part.get(table, ())} for table in VALUES}
