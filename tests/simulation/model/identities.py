"""The promises about identifiers, seen from inside the store: no second resource, no version that the index misses.

Conditional creations say so in their content (`"by"`). While what one of them made carries an identifier, another must
not come to be with the same one; plain writes may do what they like. A resource that carries an identifier has an index
entry for it, and one for its system, from the instant of its commit on, and nobody takes the last of them away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhirstore.commit.claim import decode_claim
from fhirstore.format.keyspace import Keyspace, parse_index_entry
from fhirstore.format.record import Record
from fhirstore.index.names import Identifier, identifiers, system_name

if TYPE_CHECKING:
    from tests.simulation.model.truth import History, Truth

_CONDITIONALLY = (b'"by":"create"', b'"by":"put"')


class Identities:
    """Watches the identity index, and what carries which identifier."""

    def __init__(self, truth: Truth) -> None:
        self._truth = truth

    def changed(self, key: str, after: bytes | None) -> None:
        """An entry or a claim comes, changes or goes."""
        truth, space = self._truth, Keyspace("")
        try:
            entry = parse_index_entry(space, key)
        except ValueError:
            if after is None:
                truth.broken(f"{key}: a claim was deleted")
            elif (intent := decode_claim(after, key).intent) is not None:
                truth.transactions.claimed(intent.tx, key)
            return
        history = truth.history(entry.id)
        if after is None and entry.name in _names(history):
            self._indexed(history, entry.name, but=entry.version)

    def committed(self, history: History, record: Record) -> None:
        """A version came to be."""
        truth = self._truth
        for name in _names(history):
            self._indexed(history, name)
        if not any(mark in (record.resource or b"") for mark in _CONDITIONALLY):
            return
        before = history.versions[-2].record if len(history.versions) > 1 else None
        for identifier in set(carried(history)) - set(_of(before)):
            for other in truth.histories.values():
                if other is not history and identifier in carried(other) and _conditionally(other, identifier):
                    truth.broken(f"{history.keys.id} was created though {other.keys.id} has the identifier, too")

    def _indexed(self, history: History, name: str, *, but: int = 0) -> None:
        keys, top = history.keys, len(history.versions)
        there = self._truth.bucket.objects
        if not any(keys.index_entry(name, number) in there for number in range(1, top + 1) if number != but):
            self._truth.broken(f"{keys.id} version {top}: the index misses one of its identifiers")

    # --- what clients may be told -------------------------------------------------------------------------------

    def absent(self, identifier: Identifier, began: float, ended: float) -> bool:
        """Was there an instant between at which nothing carried it?"""
        at = began
        for since, until in sorted(self._carrying(identifier)):
            if since > at:
                return True
            at = max(at, until)
        return at <= ended

    def several(self, identifier: Identifier, began: float, ended: float) -> bool:
        """Did two resources carry it, each at some instant between?"""
        met = {
            history.keys.id
            for history in self._truth.histories.values()
            for since, until in stretches(history, identifier)
            if since <= ended and until >= began
        }
        return len(met) > 1

    def missed(self, identifier: Identifier, found: set[str], began: float, ended: float) -> list[str]:
        """Resources that carried it (without a value: any of its system) all the time between, and were not found."""
        missed: list[str] = []
        for history in self._truth.histories.values():
            at = began
            for since, until in stretches(history, identifier):
                if since <= at < until:
                    at = until
            if at > ended and history.keys.id not in found:
                missed.append(history.keys.id)
        return missed

    def _carrying(self, identifier: Identifier) -> list[tuple[float, float]]:
        return [one for history in self._truth.histories.values() for one in stretches(history, identifier)]


def stretches(history: History, identifier: Identifier) -> list[tuple[float, float]]:
    """From when until when it carried it, version by version."""
    found = []
    for number, version in enumerate(history.versions):
        following = history.versions[number + 1].at if number + 1 < len(history.versions) else float("inf")
        if any(one == identifier or identifier == Identifier(one.system) for one in _of(version.record)):
            found.append((version.at, min(following, version.purged)))
    return found


def carried(history: History) -> tuple[Identifier, ...]:
    """What it carries now."""
    if not history.versions or history.floor == len(history.versions):
        return ()
    return _of(history.versions[-1].record)


def _names(history: History) -> set[str]:
    """What the index must know."""
    found = carried(history)
    return {one.name for one in found} | {system_name(one.system) for one in found if one.system is not None}


def _of(record: Record | None) -> tuple[Identifier, ...]:
    return () if record is None else identifiers("Basic", record.resource)


def _conditionally(history: History, identifier: Identifier) -> bool:
    """Did it get the identifier that it carries now by a conditional creation?"""
    resource = b""
    for version in reversed(history.versions):
        if identifier not in _of(version.record):
            break
        resource = version.record.resource or b""
    return any(mark in resource for mark in _CONDITIONALLY)
