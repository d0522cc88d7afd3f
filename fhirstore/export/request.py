"""What a client asks of an export, checked against the definitions: `ExportRequest` becomes a `Plan`.

A plan is what the job needs and nothing else: it is stored with the job, so a request that was accepted means the same
to every worker. Nothing is read from the store here; whether a Group or a Patient exists is checked at the kick-off.

With `lenient`, a parameter that cannot be met is left out and reported; the issues of these, and others that inform,
are in the plan, and the manifest's `error` files hold one OperationOutcome for each. Two things are refused in any
case, because without them *more* would be exported than was asked for: types of which none is known, and a malformed
reference to a patient.

https://hl7.org/fhir/uv/bulkdata/export.html#query-parameters
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import unquote

import msgspec

from fhirstore.errors import FhirError, InvalidResource, Issue, UnknownType, Unsupported
from fhirstore.fhir import subset
from fhirstore.fhir.definitions.facts import Definitions
from fhirstore.fhir.definitions.ids import is_id
from fhirstore.search.matching import parse_type_filter

Level = Literal["system", "patient", "group"]

LATEST, RELEVANT = "LatestProvenanceResources", "RelevantProvenanceResources"
PATIENT, PROVENANCE = "Patient", "Provenance"

MAX_VALUES = 1_000
"""The most values of one list parameter; `patient` may have ten times as many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportRequest:
    """The parameters of a kick-off. All times are epoch ms; lists may be any sequence of str.

    `group`: the id of the Group, for the level group alone. `types`: empty for all. `since`: exclusive, rounded down;
    `until`: exclusive, rounded up. `type_filters`: as given, `Observation?status=final`, decoded once. `elements`:
    `birthDate` or `Patient.birthDate`. `patients`: ids, not for the level system. `include_associated`: codes.
    `lenient`: leave out what cannot be met. `url`: of the kick-off, for the manifest. `base`: the URL of this server's
    API, for absolute references. `ignored`: issues of parameters that the caller has left out already. `by`: who asks,
    for the job's metadata.
    """

    level: Level = "system"
    group: str | None = None
    types: Sequence[str] = ()
    since: int | None = None
    until: int | None = None
    type_filters: Sequence[str] = ()
    elements: Sequence[str] = ()
    patients: Sequence[str] = ()
    include_associated: Sequence[str] = ()
    organize_by: str | None = None
    partial_manifests: bool = False
    lenient: bool = False
    url: str = ""
    base: str = ""
    ignored: Sequence[Issue] = ()
    by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOptions:
    """How workers export. `part_bytes`, `part_count`: the most bytes and resources in a file; a single resource that is
    larger has a file of its own. `expiry`: seconds that a finished export is kept. `concurrency`: GETs in flight.
    """

    part_bytes: int = 64 * 1024 * 1024
    part_count: int = 1_000_000
    expiry: int = 86_400
    concurrency: int = 16


class Plan(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an export does. `at`: the snapshot's time T, epoch ms; the newest versions with t <= T are exported.

    `types`: what to export, in this order; None: every type that is stored. `filters`: queries of a type each.
    `patients`: None where the request names none. `associated`: LATEST, RELEVANT or "". `client`: who may ask for its
    status and files; None: whoever is not restricted.
    """

    at: int
    level: Level = "system"
    group: str | None = None
    types: tuple[str, ...] | None = None
    since: int | None = None
    until: int | None = None
    filters: tuple[str, ...] = ()
    elements: tuple[str, ...] = ()
    patients: tuple[str, ...] | None = None
    associated: str = ""
    organize_by: str | None = None
    partial_manifests: bool = False
    url: str = ""
    base: str = ""
    issues: tuple[Issue, ...] = ()
    client: str | None = None

    def exports(self, type: str) -> bool:
        """Returns whether the types of this plan include `type`."""
        return self.types is None or type in self.types


@dataclass(slots=True)
class _Leniency:
    """Raises what a parameter was refused for or, if the request is lenient, keeps its issues."""

    lenient: bool
    issues: list[Issue] = field(default_factory=list)

    def refuse(self, parameter: str, error: FhirError) -> None:
        if not self.lenient:
            if parameter in str(error):
                raise error
            code = error.issues[0].code
            raise type(error)(f"{parameter}: {error}", expression=error.issues[0].expression, code=code) from error
        self.issues += [
            Issue(issue.code, f"{parameter} was left out: {issue.diagnostics}", issue.expression, "warning")
            for issue in error.issues
        ]


def check(request: ExportRequest, definitions: Definitions, *, at: int) -> Plan:
    """Returns the plan for a request that was made at `at`, the time of the snapshot.

    Raises InvalidResource, UnknownType, Unsupported; each names the parameter.
    """
    leniency = _Leniency(request.lenient, list(request.ignored))
    _check_sizes(request)
    _check_level(request)
    types = _types(request, definitions, leniency)
    associated = _associated(request, leniency)
    organize_by = _organize_by(request, definitions, leniency)
    if request.since is not None and request.since > at:
        raise InvalidResource("_since lies in the future", code="value")
    if request.until is not None and request.since is not None and request.until <= request.since:
        raise InvalidResource("_until is not later than _since, so no resource can match", code="value")
    return Plan(
        at=at,
        level=request.level,
        group=request.group,
        types=types,
        since=request.since,
        until=request.until,
        filters=_filters(request, definitions, types, at, leniency),
        elements=_elements(request, definitions, types, leniency),
        patients=_patients(request),
        associated=associated,
        organize_by=organize_by,
        partial_manifests=request.partial_manifests,
        url=request.url,
        base=request.base.rstrip("/"),
        issues=tuple(leniency.issues),
    )


def bases_of(base: str) -> tuple[str, ...]:
    """Returns the base URLs with which a reference may name a resource of this server, each with a slash at the end."""
    return (base.rstrip("/") + "/",) if base else ()


def compartment_types(definitions: Definitions) -> frozenset[str]:
    """Returns the types of which resources may be in a Patient compartment, Patient among them."""
    return frozenset(definitions.compartments[PATIENT]) | {PATIENT}


def _check_sizes(request: ExportRequest) -> None:
    lists = {
        "_type": (request.types, MAX_VALUES),
        "_typeFilter": (request.type_filters, MAX_VALUES),
        "_elements": (request.elements, MAX_VALUES),
        "patient": (request.patients, 10 * MAX_VALUES),
        "includeAssociatedData": (request.include_associated, MAX_VALUES),
    }
    for name, (values, most) in lists.items():
        if isinstance(values, str):
            raise InvalidResource(f"{name} must be a list of texts, not one text", code="value")
        if len(values) > most:
            raise InvalidResource(f"{name} has more than {most:,} values", code="too-long")


def _check_level(request: ExportRequest) -> None:
    if request.level not in ("system", "patient", "group"):
        raise InvalidResource("The level of an export is system, patient or group", code="value")
    if (request.group is not None) != (request.level == "group"):
        raise InvalidResource("An export of the level group names its Group; no other does", code="value")
    if request.group is not None and not is_id(request.group):
        raise InvalidResource("The id of the Group is malformed", code="value")
    if request.patients and request.level == "system":
        raise InvalidResource("patient is not defined for an export of the whole system", code="not-supported")


def _types(request: ExportRequest, definitions: Definitions, leniency: _Leniency) -> tuple[str, ...] | None:
    inside = compartment_types(definitions)
    if not request.types:
        return None if request.level == "system" else tuple(sorted(inside, key=_patient_first))
    known: list[str] = []
    for name in dict.fromkeys(request.types):
        if name in definitions.resources:
            known.append(name)
        else:
            leniency.refuse("_type", UnknownType(f"_type: {_quoted(name)} is not a resource type of this FHIR release"))
    if not known:
        raise UnknownType("_type names no resource type of this FHIR release")
    if request.level == "system":
        return tuple(sorted(known))
    outside = [name for name in known if name not in inside]
    if len(outside) == len(known):
        raise InvalidResource(f"_type: {', '.join(outside)}: outside the Patient compartment", code="not-supported")
    for name in outside:
        text = f"_type: {name} is outside the Patient compartment, so none is exported"
        leniency.issues.append(Issue("informational", text, severity="information"))
    return tuple(sorted((name for name in known if name in inside), key=_patient_first))


def _patient_first(type: str) -> tuple[bool, str]:
    return type != PATIENT, type


def _filters(
    request: ExportRequest, definitions: Definitions, types: Sequence[str] | None, at: int, leniency: _Leniency
) -> tuple[str, ...]:
    found: list[str] = []
    for given in request.type_filters:
        text = unquote(given) if "?" not in given else given  # some clients encode the whole twice
        try:
            one = parse_type_filter(definitions, text, now=at, bases=bases_of(request.base))
        except FhirError as error:
            leniency.refuse("_typeFilter", error)
            continue
        if types is not None and one.type not in types:
            note = f"_typeFilter: {one.type} is not among the types that are exported"
            leniency.issues.append(Issue("informational", note, severity="information"))
        else:
            found.append(text)
    return tuple(found)


def _elements(
    request: ExportRequest, definitions: Definitions, types: Sequence[str] | None, leniency: _Leniency
) -> tuple[str, ...]:
    found: list[str] = []
    for name in dict.fromkeys(request.elements):
        try:
            ((type_, element),) = subset.check(None, [name])
            if type_ and type_ not in definitions.resources:
                raise UnknownType(f"_elements: {_quoted(type_)} is not a resource type of this FHIR release")
            owners = [type_] if type_ else (definitions.resources if types is None else types)
            if not any(_has_element(definitions, owner, element) for owner in owners):
                raise InvalidResource(
                    f"_elements: {_quoted(name)} is not an element at the root of these types", code="value"
                )
        except FhirError as error:
            leniency.refuse("_elements", error)
        else:
            found.append(name)
    return tuple(found)


def _has_element(definitions: Definitions, type: str, name: str) -> bool:
    elements = definitions.types[type].elements
    return name in elements or any(element.choice == name for element in elements.values())


def _patients(request: ExportRequest) -> tuple[str, ...] | None:
    """Returns the ids, without `Patient/` in front. A malformed one is refused: left out, more would be exported."""
    if not request.patients:
        return None
    ids = [text.removeprefix("Patient/") for text in request.patients]
    if not all(is_id(id_) for id_ in ids):
        raise InvalidResource("patient must be a reference to a Patient of this server, like Patient/123", code="value")
    return tuple(sorted(set(ids)))


def _associated(request: ExportRequest, leniency: _Leniency) -> str:
    """Returns the least restrictive of the values."""
    values = set(request.include_associated)
    for value in sorted(values - {LATEST, RELEVANT}):
        leniency.refuse(
            "includeAssociatedData", Unsupported(f"includeAssociatedData: {_quoted(value)} is not supported")
        )
    return RELEVANT if RELEVANT in values else LATEST if LATEST in values else ""


def _organize_by(request: ExportRequest, definitions: Definitions, leniency: _Leniency) -> str | None:
    name = request.organize_by
    if name == PATIENT and request.level == "system":
        text = "organizeOutputBy: resources that belong to no Patient are left out"
        leniency.issues.append(Issue("informational", text, severity="information"))
    if name is None or name == PATIENT:
        return name
    if name not in definitions.resources:
        leniency.refuse("organizeOutputBy", UnknownType(f"organizeOutputBy: {_quoted(name)} is not a resource type"))
    else:
        leniency.refuse("organizeOutputBy", Unsupported("organizeOutputBy: output can be organized by Patient alone"))
    return None


def _quoted(text: str) -> str:
    """Returns the text in quotes if it is short and harmless, else a word for it."""
    return (
        f"'{text}'"
        if len(text) <= 64 and text.isascii() and text.replace(".", "").replace("_", "").isalnum()
        else "a value"
    )
