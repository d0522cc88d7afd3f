"""Which of the visible versions are exported, and the lines that they become.

A resource is exported as it is stored: its bytes are one line, and nothing is parsed. Only `_typeFilter`, compartments,
`_elements` and relative URLs of attachments need its content. Whether a version is late enough (`_since`) and early
enough (`_until`) is told by its record.

The types are filtered independently of each other: a type without a filter is exported whole; of several filters of one
type, one must be met.

https://hl7.org/fhir/uv/bulkdata/export.html#_typefilter-query-parameter
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fhirstore.errors import MalformedContent
from fhirstore.export.attachments import make_absolute, may_be_relative
from fhirstore.export.request import PATIENT, Plan, bases_of
from fhirstore.fhir import json, subset
from fhirstore.fhir.definitions.facts import Definitions
from fhirstore.fhir.json import JsonObject
from fhirstore.fhir.search_parameters.compartments import Compartments
from fhirstore.fhir.search_parameters.references import literal, target
from fhirstore.format.record import Record
from fhirstore.search.matching import ResourceFilter, parse_type_filter

BINARY = "Binary"


class Unreadable(Exception):
    """The stored content is not JSON, so it cannot be filtered or shortened."""


@dataclass(frozen=True, slots=True)
class Selection:
    """`members`: the ids of the patients whose compartments are exported; None: those of all patients.

    `whole`: the level is system, so compartments do not matter.
    """

    plan: Plan
    definitions: Definitions
    compartments: Compartments
    filters: Mapping[str, tuple[ResourceFilter, ...]]
    members: frozenset[str] | None
    whole: bool

    @classmethod
    def of(cls, plan: Plan, definitions: Definitions, members: frozenset[str] | None) -> Selection:
        """Returns the selection of a plan, whose filters were accepted at the kick-off."""
        filters: dict[str, tuple[ResourceFilter, ...]] = {}
        for text in plan.filters:
            one = parse_type_filter(definitions, text, now=plan.at, bases=bases_of(plan.base))
            filters[one.type] = (*filters.get(one.type, ()), one)
        compartments = Compartments(definitions, bases_of(plan.base))
        return cls(plan, definitions, compartments, filters, members, plan.level == "system")

    def is_in_time(self, record: Record) -> bool:
        """Returns whether the version was made after `_since` and before `_until`."""
        since, until = self.plan.since, self.plan.until
        return (since is None or record.t > since) and (until is None or record.t < until)

    def looks_inside(self, type: str) -> bool:
        """Returns whether the content decides which resources of this type are exported."""
        return not self.whole or type in self.filters

    def parses(self, type: str) -> bool:
        """Returns whether the content of resources of this type must be parsed."""
        return self.looks_inside(type) or bool(self.plan.elements)

    def takes(self, type: str, resource: JsonObject, *, in_compartment: bool | None = None) -> bool:
        """Returns whether the content meets the filters, and belongs to the patients.

        `in_compartment`: the answer to the latter, where the resource alone does not tell.
        """
        filters = self.filters.get(type)
        if filters is not None and not any(one.matches(resource) for one in filters):
            return False
        return self.is_inside(type, resource) if in_compartment is None else in_compartment

    def is_inside(self, type: str, resource: JsonObject) -> bool:
        """Returns whether a resource is in the compartment of an exported patient.

        A Patient counts by its own id alone: one that merely links to an exported patient belongs to somebody else.
        """
        if self.whole:
            return True
        if type == PATIENT:
            return self.members is None or resource.get("id") in self.members
        patients = self.compartments.patients(resource)
        return bool(patients) if self.members is None else not self.members.isdisjoint(patients)

    def line(self, type: str, content: bytes, *, in_compartment: bool | None = None) -> bytes | None:
        """Returns the line, without its end, of a resource with this content; None if it is not exported.

        Raises Unreadable.
        """
        if in_compartment is False:
            return None
        relative = bool(self.plan.base) and may_be_relative(content)
        private = type == BINARY and b'"securityContext"' in content
        if not (relative or private or self.parses(type)):
            return one_line(content)
        resource = parsed(content)
        if private and _is_of_a_patient(resource):
            return None
        if not self.takes(type, resource, in_compartment=in_compartment):
            return None
        relative = relative and make_absolute(resource, self.definitions, self.plan.base)
        if self.plan.elements:
            return json.encode(subset.subset(resource, self.definitions, elements=self.plan.elements))
        return json.encode(resource) if relative else one_line(content)

    def patients(self, resource: JsonObject) -> frozenset[str]:
        """Returns the exported patients in whose compartments a resource is."""
        if resource.get("resourceType") == PATIENT:
            found = frozenset({str(resource.get("id"))})
        else:
            found = self.compartments.patients(resource)
        return found if self.members is None else found & self.members


def _is_of_a_patient(binary: JsonObject) -> bool:
    """Returns whether a Binary belongs to a patient. Then the DocumentReference that points to it stands for it."""
    at = target(literal(binary.get("securityContext")))
    return at is not None and at[1] == PATIENT


def parsed(content: bytes) -> JsonObject:
    """Returns the resource. Raises Unreadable."""
    try:
        return json.parse(content, max_values=None)
    except MalformedContent as error:
        raise Unreadable from error


def one_line(content: bytes) -> bytes:
    """Returns the content as one line. What this server has stored is one line already. Raises Unreadable."""
    if b"\n" not in content and b"\r" not in content:
        return content
    try:
        return json.read(content, max_values=None)[1]
    except MalformedContent as error:
        raise Unreadable from error


_BUNDLE = b'{"resourceType":"Bundle","type":"transaction","entry":['
_ENTRIES = 100  # in one Bundle


def deletions(urls: Sequence[str]) -> list[bytes]:
    """Returns the lines, without their ends, that say that these resources (`Patient/p`) were deleted."""
    entries = [f'{{"request":{{"method":"DELETE","url":"{url}"}}}}'.encode() for url in urls]
    return [_BUNDLE + b",".join(entries[n : n + _ENTRIES]) + b"]}" for n in range(0, len(entries), _ENTRIES)]
