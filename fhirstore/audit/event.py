"""One event of the audit trail, and the AuditEvent (R4) that tells it, shaped by IHE's Basic Audit Log Patterns.

It says who (client, user, address), what (interaction, version), whose (patients), and how it ended. It never holds a
resource. An event that succeeded names the BALP profile that it meets; BALP has none for other interactions.
https://hl7.org/fhir/R4/auditevent.html · https://profiles.ihe.net/ITI/BALP/content.html
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache

import msgspec

from fhirstore.version import Version

_BALP = "https://profiles.ihe.net/ITI/BALP"
_TERMS = "http://terminology.hl7.org/CodeSystem"
_DCM = "http://dicom.nema.org/resources/ontology/DCM"
_OWN = "urn:fhirstore:interaction"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_CODES = frozenset(
    (
        *("read", "vread", "update", "patch", "delete", "create", "search-type", "search-system", "capabilities"),
        *("history-instance", "history-type", "history-system", "transaction", "batch", "operation"),
    )
)
_ACTIONS = {"create": "C", "update": "U", "patch": "U", "delete": "D", "read": "R", "vread": "R"}
_WRITES = ("create", "update", "patch", "delete")
_PROFILES = {
    "create": "Create",
    "read": "Read",
    "vread": "Read",
    "update": "Update",
    "patch": "Update",
    "delete": "Delete",
    "search-type": "Query",
    "search-system": "Query",
    "search": "Query",
}
_SEARCHES = {"search-compartment": "search", "$everything": "search", "$lastn": "search"}
"""Interactions for which R4 has no code of their own, and that are searches."""


class AuditEntry(msgspec.Struct, kw_only=True, gc=False):
    """What is known of one event.

    `recorded`: epoch ms; the writer sets it. `interaction`: FHIR's code of it, `$` and the name of an operation, or an
    own word. `status`: of HTTP; 0: the client went away before. `request`: the id of the request. `address`: the
    client's IP address. `client`, `user`: whom the access token names; "" where nobody is authenticated. `type`, `id`,
    `version`: of the resource, as far as there is one. `job`: the id of a job. `criteria`: of a query, in the form that
    may be kept. `entry`: which entry of a Bundle. `versions`: what was shown or written; only their patients are kept,
    and how many they are. `patients`: others that are known.
    """

    recorded: int = 0
    interaction: str
    status: int
    request: str = ""
    address: str = ""
    client: str = ""
    user: str = ""
    type: str = ""
    id: str = ""
    version: int = 0
    job: str = ""
    criteria: str | None = None
    entry: int | None = None
    versions: tuple[Version, ...] = ()
    patients: tuple[str, ...] = ()


def coding(system: str, code: str, display: str = "") -> dict[str, str]:
    """Returns a Coding."""
    return {"system": system, "code": code, "display": display} if display else {"system": system, "code": code}


_json = msgspec.json.encode


def _type(coding: dict[str, str]) -> dict[str, object]:
    return {"coding": [coding]}


_APPLICATION = _type(coding(_DCM, "110150", "Application"))
_DESTINATION = _type(coding(_DCM, "110152", "Destination Role ID"))
_SOURCE = _type(coding(_DCM, "110153", "Source Role ID"))
_CUSTODIAN = _type(coding(f"{_TERMS}/provenance-participant-type", "custodian", "Custodian"))
_RECIPIENT = _type(coding(f"{_TERMS}/v3-ParticipationType", "IRCP", "information recipient"))
_AUTHOR = _type(coding(f"{_TERMS}/v3-ParticipationType", "AUT", "author (originator)"))
_SERVER_SOURCE = [coding(f"{_TERMS}/security-source-type", "4", "Application Server")]


def _is(type: dict[str, str], role: dict[str, str] | None = None) -> bytes:
    """Returns the members of an entity that say what it is."""
    return _json({"type": type} | ({"role": role} if role else {}))[1:-1]


_SYSTEM_OBJECT = coding(f"{_TERMS}/audit-entity-type", "2", "System Object")
_ROLES = f"{_TERMS}/object-role"
_IS_PATIENT = _is(coding(f"{_TERMS}/audit-entity-type", "1", "Person"), coding(_ROLES, "1", "Patient"))
_IS_RESOURCE = _is(_SYSTEM_OBJECT, coding(_ROLES, "4", "Domain Resource"))
_IS_JOB = _is(_SYSTEM_OBJECT, coding(_ROLES, "20", "Job"))
_IS_QUERY = _is(_SYSTEM_OBJECT, coding(_ROLES, "24", "Query"))
_IS_REQUEST = _is(coding(f"{_BALP}/CodeSystem/BasicAuditEntityType", "XrequestId"))


def rest_code(interaction: str) -> str:
    """Returns the code of the FHIR interaction that this is; `operation` for all that FHIR does not name."""
    code = _SEARCHES.get(interaction, interaction.removeprefix("conditional-"))
    return code if code in _CODES or code in _PROFILES else "operation"


def audit_event(
    entry: AuditEntry,
    patients: Sequence[str],
    *,
    id: str,
    machine: str,
    hide: Callable[[str], str] | None = None,
) -> bytes:
    """Returns the AuditEvent as JSON, on one line. `patients`: ids. `machine`: the name of the one that answered.

    `hide`: makes of `Type/id` what may be shown of it, for places that may know no ids; "" leaves it out.
    """
    head = _head(
        entry.interaction,
        entry.status,
        (entry.address, entry.client, entry.user),
        machine=machine,
        profiled=hide is None and bool(entry.type or entry.criteria is not None),
        one_patient=len(patients) == 1,
    )
    entities = b",".join(_entities(entry, patients, hide))
    return b'{"resourceType":"AuditEvent","id":%b,"recorded":"%b",%b,"entity":[%b]}' % (
        _json(id),
        _time(entry.recorded),
        head,
        entities,
    )


@lru_cache(maxsize=64)  # many events have one millisecond
def _time(ms: int) -> bytes:
    return (_EPOCH + timedelta(milliseconds=ms)).isoformat(timespec="milliseconds").encode()


@lru_cache(maxsize=4_096)
def _head(
    interaction: str,
    status: int,
    who: tuple[str, str, str],
    *,
    machine: str,
    profiled: bool,
    one_patient: bool,
) -> bytes:
    """Returns the members that most events have in common. `who`: address, client, user."""
    code = rest_code(interaction)
    good = 0 < status < 400
    event: dict[str, object] = {}
    profile = _PROFILES.get(code) if good and profiled else None
    if profile is not None:
        patient = "Patient" if one_patient else ""
        event["meta"] = {"profile": [f"{_BALP}/StructureDefinition/IHE.BasicAudit.{patient}{profile}"]}
    codings = [coding("http://hl7.org/fhir/restful-interaction", code, code)]
    if code != interaction:
        codings.append(coding(_OWN, interaction))
    event["type"] = coding(f"{_TERMS}/audit-event-type", "rest", "Restful Operation")
    event["subtype"] = codings
    event["action"] = _ACTIONS.get(code, "R" if code.startswith("history") else "E")
    event["outcome"] = "0" if good else "4" if 400 <= status < 500 else "8"
    if not good:
        event["outcomeDesc"] = f"HTTP {status}" if status else "the client went away"
    event["agent"] = _agents(who, code, machine)
    event["source"] = {"observer": {"display": machine}, "type": _SERVER_SOURCE}
    return _json(event)[1:-1]


def _agents(who: tuple[str, str, str], code: str, machine: str) -> list[dict[str, object]]:
    address, client, user = who
    if code == "delete":
        theirs, ours = _APPLICATION, _CUSTODIAN
    else:
        theirs, ours = (_DESTINATION, _SOURCE) if code in ("read", "vread") else (_SOURCE, _DESTINATION)
    known: dict[str, object] = {"identifier": {"value": client}} if client else {"display": "not authenticated"}
    first: dict[str, object] = {"type": theirs, "who": known, "requestor": not user}
    if address:
        first["network"] = {"address": address, "type": "2"}
    server = {"address": machine, "type": "1"}
    agents = [first, {"type": ours, "who": {"display": machine}, "requestor": False, "network": server}]
    if user:
        role = _AUTHOR if code in _WRITES else _RECIPIENT
        agents.append({"type": role, "who": {"identifier": {"value": user}}, "requestor": True})
    return agents


def _entities(entry: AuditEntry, patients: Sequence[str], hide: Callable[[str], str] | None) -> Iterator[bytes]:
    """Yields the entities, each as JSON."""
    if entry.type:
        yield b'{"what":%b,%b}' % (_what(entry, hide), _IS_RESOURCE)
    if entry.job:
        job = entry.job if hide is None else hide(entry.job)
        yield b'{"what":{"identifier":{"value":%b}},%b}' % (_json(job or "-"), _IS_JOB)
    if entry.criteria is not None or entry.interaction.startswith("search"):
        text = (entry.criteria or "") if hide is None else hide(entry.criteria or "")
        query = base64.b64encode((text or "-").encode("utf-8", "replace"))
        yield b'{"query":"%b",%b}' % (query, _IS_QUERY)
    for patient in patients:
        shown = f"Patient/{patient}" if hide is None else hide(f"Patient/{patient}")
        if shown:
            yield b'{"what":{"reference":%b},%b}' % (_json(shown), _IS_PATIENT)
    if entry.request:
        yield b'{"what":{"identifier":{"value":%b}},%b}' % (_json(entry.request), _IS_REQUEST)
    if entry.entry is not None:
        yield _detail("entry", f"Bundle.entry[{entry.entry}]")
    if len(entry.versions) > 1:
        yield _detail("shown", str(len(entry.versions)))


def _detail(name: str, value: str) -> bytes:
    detail = [{"type": name, "valueString": value}]
    return _json({"type": coding(f"{_TERMS}/audit-entity-type", "4", "Other"), "name": name, "detail": detail})


def _what(entry: AuditEntry, hide: Callable[[str], str] | None) -> bytes:
    """The resource, or the type alone."""
    reference = f"{entry.type}/{entry.id}" if entry.id else ""
    shown = reference if hide is None or not reference else hide(reference)
    if not shown:
        return _json({"type": entry.type, "display": entry.type})
    version = f"/_history/{entry.version}" if entry.version else ""
    return b'{"type":%b,"reference":%b}' % (_json(entry.type), _json(shown + version))
