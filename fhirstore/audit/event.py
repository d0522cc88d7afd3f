"""One event of the audit trail, and the AuditEvent (R4) that tells it, shaped by IHE's Basic Audit Log Patterns.

It says who (client, user, address), what (interaction, version), whose (patients), and how it ended. It never holds a
resource. An event that succeeded names the BALP profile that it meets; BALP has none for other interactions.
https://hl7.org/fhir/R4/auditevent.html · https://profiles.ihe.net/ITI/BALP/content.html
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

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
_PROFILES = {
    "create": "Create",
    "read": "Read",
    "vread": "Read",
    "update": "Update",
    "patch": "Update",
    "delete": "Delete",
    "search-type": "Query",
    "search-system": "Query",
}


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one event.

    `recorded`: epoch ms. `interaction`: FHIR's code of it, `$` and the name of an operation, or an own word. `status`:
    of HTTP; 0: the client went away before. `request`: the id of the request. `address`: the client's IP address.
    `client`, `user`: whom the access token names; "" where nobody is authenticated. `type`, `id`, `version`: of the
    resource, as far as there is one. `job`: the id of a job. `criteria`: of a query, in the form that may be kept.
    `entry`: which entry of a Bundle. `versions`: what was shown or written; only their patients are kept, and how many
    they are. `patients`: others that are known.
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


def _raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


def _type(coding: dict[str, str]) -> msgspec.Raw:
    return _raw({"coding": [coding]})


_REST = _raw(coding(f"{_TERMS}/audit-event-type", "rest", "Restful Operation"))
_APPLICATION = _type(coding(_DCM, "110150", "Application"))
_DESTINATION = _type(coding(_DCM, "110152", "Destination Role ID"))
_SOURCE = _type(coding(_DCM, "110153", "Source Role ID"))
_CUSTODIAN = _type(coding(f"{_TERMS}/provenance-participant-type", "custodian", "Custodian"))
_RECIPIENT = _type(coding(f"{_TERMS}/v3-ParticipationType", "IRCP", "information recipient"))
_AUTHOR = _type(coding(f"{_TERMS}/v3-ParticipationType", "AUT", "author (originator)"))
_SERVER_SOURCE = _raw([coding(f"{_TERMS}/security-source-type", "4", "Application Server")])
_PERSON = _raw(coding(f"{_TERMS}/audit-entity-type", "1", "Person"))
_SYSTEM_OBJECT = _raw(coding(f"{_TERMS}/audit-entity-type", "2", "System Object"))
_REQUEST_ID = _raw(coding(f"{_BALP}/CodeSystem/BasicAuditEntityType", "XrequestId"))
_PATIENT = _raw(coding(f"{_TERMS}/object-role", "1", "Patient"))
_RESOURCE = _raw(coding(f"{_TERMS}/object-role", "4", "Domain Resource"))
_JOB = _raw(coding(f"{_TERMS}/object-role", "20", "Job"))
_QUERY = _raw(coding(f"{_TERMS}/object-role", "24", "Query"))
_SUBTYPES: dict[str, msgspec.Raw] = {}


def rest_code(interaction: str) -> str:
    """Returns the code of the FHIR interaction that this is; `operation` for all that FHIR does not name."""
    code = interaction.removeprefix("conditional-")
    return code if code in _CODES else "operation"


def _subtype(interaction: str) -> msgspec.Raw:
    found = _SUBTYPES.get(interaction)
    if found is None:
        code = rest_code(interaction)
        codings = [coding("http://hl7.org/fhir/restful-interaction", code, code)]
        if code != interaction:
            codings.append(coding(_OWN, interaction))
        found = _raw(codings)
        if len(_SUBTYPES) < 1000:  # interactions are those of a route table
            _SUBTYPES[interaction] = found
    return found


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
    code = rest_code(entry.interaction)
    good = 0 < entry.status < 400
    event: dict[str, object] = {"resourceType": "AuditEvent", "id": id}
    profile = _PROFILES.get(code) if good and hide is None else None
    if profile is not None and (entry.type or profile == "Query"):
        patient = "Patient" if len(patients) == 1 else ""
        event["meta"] = {"profile": [f"{_BALP}/StructureDefinition/IHE.BasicAudit.{patient}{profile}"]}
    event["type"] = _REST
    event["subtype"] = _subtype(entry.interaction)
    event["action"] = _ACTIONS.get(code, "R" if code.startswith("history") else "E")
    event["recorded"] = (_EPOCH + timedelta(milliseconds=entry.recorded)).isoformat(timespec="milliseconds")
    event["outcome"] = "0" if good else "4" if 400 <= entry.status < 500 else "8"
    if not good:
        event["outcomeDesc"] = f"HTTP {entry.status}" if entry.status else "the client went away"
    event["agent"] = _agents(entry, code, machine)
    event["source"] = {"observer": {"display": machine}, "type": _SERVER_SOURCE}
    event["entity"] = _entities(entry, patients, code, hide)
    return msgspec.json.encode(event)


def _agents(entry: AuditEntry, code: str, machine: str) -> list[dict[str, object]]:
    reads = code in ("read", "vread")
    if code == "delete":
        theirs, ours = _APPLICATION, _CUSTODIAN
    else:
        theirs, ours = (_DESTINATION, _SOURCE) if reads else (_SOURCE, _DESTINATION)
    who = {"identifier": {"value": entry.client}} if entry.client else {"display": "not authenticated"}
    client: dict[str, object] = {"type": theirs, "who": who, "requestor": not entry.user}
    if entry.address:
        client["network"] = {"address": entry.address, "type": "2"}
    agents = [
        client,
        {
            "type": ours,
            "who": {"display": machine},
            "requestor": False,
            "network": {"address": machine, "type": "1"},
        },
    ]
    if entry.user:
        role = _AUTHOR if code in ("create", "update", "patch", "delete") else _RECIPIENT
        agents.append({"type": role, "who": {"identifier": {"value": entry.user}}, "requestor": True})
    return agents


def _entities(
    entry: AuditEntry, patients: Sequence[str], code: str, hide: Callable[[str], str] | None
) -> list[dict[str, object]]:
    entities: list[dict[str, object]] = []
    if entry.type:
        entities.append(_data(entry, hide))
    if entry.job:
        job = entry.job if hide is None else hide(entry.job)
        entities.append({"what": {"identifier": {"value": job or "-"}}, "type": _SYSTEM_OBJECT, "role": _JOB})
    if entry.criteria is not None or code.startswith("search"):
        text = (entry.criteria or "") if hide is None else hide(entry.criteria or "")
        query = base64.b64encode((text or "-").encode("utf-8", "replace")).decode()
        entities.append({"type": _SYSTEM_OBJECT, "role": _QUERY, "query": query})
    for patient in patients:
        shown = f"Patient/{patient}" if hide is None else hide(f"Patient/{patient}")
        if shown:
            entities.append({"what": {"reference": shown}, "type": _PERSON, "role": _PATIENT})
    if entry.request:
        entities.append({"what": {"identifier": {"value": entry.request}}, "type": _REQUEST_ID})
    if entry.entry is not None:
        detail = [{"type": "entry", "valueString": f"Bundle.entry[{entry.entry}]"}]
        entities.append({"type": _SYSTEM_OBJECT, "name": "entry", "detail": detail})
    if len(entry.versions) > 1:
        detail = [{"type": "versions", "valueString": str(len(entry.versions))}]
        entities.append({"type": _SYSTEM_OBJECT, "name": "shown", "detail": detail})
    return entities


def _data(entry: AuditEntry, hide: Callable[[str], str] | None) -> dict[str, object]:
    """The resource, or the type alone."""
    what: dict[str, object] = {"type": entry.type}
    if entry.id:
        reference = f"{entry.type}/{entry.id}"
        shown = reference if hide is None else hide(reference)
        if shown:
            version = f"/_history/{entry.version}" if entry.version else ""
            what["reference"] = shown + version
    if len(what) == 1:
        what["display"] = entry.type
    return {"what": what, "type": _SYSTEM_OBJECT, "role": _RESOURCE}
