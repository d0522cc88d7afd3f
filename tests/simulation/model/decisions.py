"""What became of every transaction, seen from inside the store: intents, records, and the instants at which they land.

All versions of a transaction come to be when its record lands, whatever `current.json` says. From that instant on it
counts for every resource's timeline at once, so that who reads the one before and the other after it is found out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fhirstore.format.decision import Decision, decode_decision
from fhirstore.format.record import Intent, Record, decode

if TYPE_CHECKING:
    from tests.simulation.model.truth import History, Truth


@dataclass(frozen=True, slots=True)
class Decided:
    """What the record says, and when it landed."""

    decision: Decision
    at: float


@dataclass(frozen=True, slots=True)
class Placed:
    """An intent that stands or stood: since when, and over which `current.json`."""

    at: float
    over: str | None


class Transactions:
    """By transaction id. Changes of `current.json` come here where an intent stands there before or after."""

    def __init__(self, truth: Truth) -> None:
        self.decisions: dict[str, Decided] = {}
        self._truth = truth
        self._intents: dict[tuple[str, str], Placed] = {}  # by resource id and transaction

    def committed(self, tx: str) -> Decided | None:
        """Its record, if it is committed."""
        decided = self.decisions.get(tx)
        return decided if decided is not None and decided.decision.committed else None

    def claimed(self, tx: str, key: str) -> None:
        """It claims an identifier: from now on others may come upon it."""
        self._intents.setdefault((key, tx), Placed(self._truth.world.time, None))

    # --- current.json with an intent ----------------------------------------------------------------------------

    def current_changed(self, history: History, old: Record, new: Record, base: str | None, body: bytes) -> None:
        """`current.json` is written over by `body`; before or after there is an intent."""
        id_ = history.keys.id
        if old.intent is not None and new.intent is not None:
            self._truth.broken(f"{id_}: changed while an intent stands")
        elif new.intent is not None:
            self._placed(history, old, new, new.intent, base)
        elif old.intent is not None:
            self._cleared(history, old, new, old.intent, body)

    def _placed(self, history: History, old: Record, new: Record, intent: Intent, base: str | None) -> None:
        truth, id_ = self._truth, history.keys.id
        stub = old.method == "STUB" and new.method == "STUB"
        if not stub and _without(old) != _without(new):
            truth.broken(f"{id_}: an intent came with a change of version {old.version}")
        if intent.v != old.version + 1:
            truth.broken(f"{id_}: intent for version {intent.v} over version {old.version}")
        truth.in_time(f"{id_} intent {intent.tx}", intent.t, truth.limits.settled)
        self._intents[id_, intent.tx] = Placed(truth.world.time, base)

    def _cleared(self, history: History, old: Record, new: Record, intent: Intent, body: bytes) -> None:
        truth, id_ = self._truth, history.keys.id
        committed = self.committed(intent.tx)
        if new.version == old.version:
            if committed is not None:
                truth.broken(f"{id_}: {intent.tx} was rolled back, though it is committed")
            if _without(new) != _without(old) or new.fence in (None, old.fence):
                truth.broken(f"{id_}: rolled back to another record, or to one that was there before")
        elif committed is None:
            truth.broken(f"{id_}: version {new.version} made final or built, though {intent.tx} is not committed")
        elif new.version != intent.v or body != history.versions[intent.v - 1].body:
            truth.broken(f"{id_}: {intent.tx} was made final as another version than was committed")

    # --- records ------------------------------------------------------------------------------------------------

    def decided(self, key: str, before: bytes | None, after: bytes | None) -> None:
        """A record lands, or goes."""
        truth = self._truth
        tx = key.rpartition("/")[2].removesuffix(".json")
        if after is None:
            if before is not None:
                self._removed(tx, decode_decision(before, key))
            return
        decision = decode_decision(after, key)
        if before is not None:
            truth.broken(f"{tx}: its record was written over")
        if (decision.committed or self.committed(tx) is not None) and tx in self.decisions:
            truth.broken(f"{tx}: decided anew as {decision.status}")
        if not decision.committed:
            self._aborted(tx, decision)
        self.decisions.setdefault(tx, Decided(decision, truth.world.time))
        truth.world.note("DECIDED", f"{tx} {decision.status} by {decision.by}")
        if decision.committed:
            for type_, id_, version in decision.parts:
                self._commit(tx, decision, truth.history(id_), type_, version)

    def _commit(self, tx: str, decision: Decision, history: History, type_: str, version: int) -> None:
        truth, keys = self._truth, history.keys
        name = f"{keys.id} version {version} of {tx}"
        kept = truth.bucket.objects.get(keys.current)
        current = None if kept is None else decode(kept.body, keys.current)
        if current is None or current.intent is None or current.intent.tx != tx or type_ != keys.type:
            truth.broken(f"{name}: committed without its intent")
            return
        slot = truth.bucket.objects.get(keys.version(version))
        if slot is None or current.intent.v != version:
            truth.broken(f"{name}: committed without its version object")
            return
        record = decode(slot.body, keys.version(version))
        facts = (record.op, record.version, record.t, record.parts)
        if facts != (tx, version, decision.t, len(decision.parts)) or current.intent.t != decision.t:
            truth.broken(f"{name}: its version object is another's, or of another time")
            return
        truth.commit(history, current.without_intent(), record, slot.body, self._intents[keys.id, tx].over)

    def _aborted(self, tx: str, decision: Decision) -> None:
        """Not without cause: an older one was in the way, or it had its time."""
        truth, limits = self._truth, self._truth.limits
        if decision.by is not None:
            if not decision.by < decision.age:
                truth.broken(f"{tx}: aborted by a younger transaction")
            return
        placed = [placed.at for (_, other), placed in self._intents.items() if other == tx]
        over = truth.world.time > decision.t + limits.transaction_window + limits.apply
        if not over and (not placed or truth.world.time < min(placed) + limits.patience):
            truth.broken(f"{tx}: aborted before anybody had waited for it")

    def _removed(self, tx: str, decision: Decision) -> None:
        truth = self._truth
        if truth.world.time < decision.t + truth.limits.keep_transactions:
            truth.broken(f"{tx}: its record was removed early")
        for type_, id_, version in decision.parts:
            keys = truth.history(id_).keys
            kept = truth.bucket.objects.get(keys.current)
            if kept is None or type_ != keys.type or decode(kept.body, keys.current).version < version:
                truth.broken(f"{tx}: its record was removed before {id_} was final")


def _without(record: Record) -> tuple[object, ...]:
    """What a fence, a hold or an intent leaves as it is."""
    stub = record.method == "STUB"
    op = "" if stub else record.op
    return (record.version, record.t, op, record.method, record.resource, record.floor, record.base, record.prior)
