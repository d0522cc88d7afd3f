"""What lies at a key is told by the key alone."""

from __future__ import annotations

import pytest

from fhirstore.format.keyspace import Keyspace, QueueName
from fhirstore.format.kinds import KINDS, Kept, kept_at

KEYS = Keyspace("")
PATIENT = KEYS.resource("Patient", "p")
RECEIPT = KEYS.resource("Receipt", "r")
OTHER = Kept("other")
HASH = "a" * 64

CASES = {
    PATIENT.current: Kept("current", "Patient"),
    PATIENT.version(3): Kept("versions", "Patient"),
    PATIENT.type_event(1, 1, "POST", "op"): Kept("events", "Patient"),
    PATIENT.system_event(1, 1, "POST", "op"): Kept("events", "Patient"),
    PATIENT.index_entry("a/b", 1): Kept("identity", "Patient"),
    KEYS.identity_claim("Patient", "a"): Kept("identity", "Patient"),
    KEYS.transaction("t"): Kept("transactions"),
    RECEIPT.current: Kept("receipts"),
    RECEIPT.version(1): Kept("receipts"),
    KEYS.job("export", "j") + "state.json": Kept("exports"),
    KEYS.job("other", "j") + "state.json": Kept("jobs"),
    KEYS.submission("s", "n") + "state.json": Kept("submissions"),
    KEYS.queued_job(QueueName("export", "j")): Kept("queue"),
    KEYS.runs() + "d/run_id=1/seal.json": Kept("runs"),
    KEYS.audit_line(1, "purge", PATIENT, "op"): Kept("audit"),
    f"{KEYS.audit_trail()}1.ndjson.zst": Kept("audit trail"),
    KEYS.client("c"): Kept("access"),
    KEYS.signing_keys: Kept("access"),
    KEYS.used_assertion(HASH): Kept("access"),
    KEYS.sweep_state: Kept("sweep"),
    KEYS.search_index_state: Kept("search index"),
    KEYS.search_index_copy(1, "01J00000000000000000000000") + "manifest.json": Kept("search index"),
    "binary/payload/01J": Kept("payloads", "Binary"),
    f"binary/{HASH}/entry.json": Kept("payload records"),
    f"binary/{HASH}/refs/Binary_b_1_op": Kept("payload records"),
    "binary/uploads/01J.json": Kept("uploads"),
    "readme.txt": OTHER,
    "inbox/a/b": OTHER,
    "resources/patient/p/current.json": OTHER,
    "resources/Patient/p": OTHER,
    "resources/Patient/p/else.json": OTHER,
    "history/type/Patient": OTHER,
    "history/system/1_nothing_x.json": OTHER,
    "identity/": OTHER,
    "": OTHER,
}


@pytest.mark.parametrize("key", CASES)
def test_what_lies_at_a_key(key: str) -> None:
    """Every key that the keyspace builds has its kind; what it does not build is other."""
    assert kept_at(key) == CASES[key]


def test_every_kind_is_known() -> None:
    """The cases have all kinds, and no other."""
    assert {kept.kind for kept in CASES.values()} == set(KINDS)
