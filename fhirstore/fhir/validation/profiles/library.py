"""Collects what a check against profiles needs: profiles, extensions, value sets, code systems.

There is no search by URL, so a canonical is read under the id that equals its last segment; the resource there must
have this `url` (and, after `|`, this `version`). Types of the base specification need no lookup.

https://hl7.org/fhir/R4/references.html#canonical
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from fhirstore.fhir.definitions.facts import Definitions
from fhirstore.fhir.definitions.ids import is_id
from fhirstore.fhir.definitions.nodes import Node, name_of, node_of, nodes, text, texts
from fhirstore.fhir.definitions.terminology import Terminology
from fhirstore.fhir.json import JsonObject
from fhirstore.fhir.validation.profiles.profile import Profile, read_profile
from fhirstore.threads import offload_if

Find = Callable[[str, str], Awaitable[JsonObject | None]]
"""Returns the current resource of a type with an id, or None."""

MOST_LOOKUPS = 200
MOST_ELEMENTS = 3_000  # of a profile, because the time to read it grows with their square
_CORE = "http://hl7.org/fhir/StructureDefinition/"


@dataclass(frozen=True, slots=True)
class Library:
    """`profiles`: by canonical, as it was referred to. `missing`: canonicals that were not found."""

    definitions: Definitions
    profiles: Mapping[str, Profile]
    terminology: Terminology
    missing: frozenset[str]

    def core_type(self, canonical: str) -> str:
        """Returns the type of the base specification that a canonical names, or an empty string."""
        return core_type(self.definitions, canonical)


def core_type(definitions: Definitions, canonical: str) -> str:
    """Returns the type of the base specification that a canonical names, or an empty string: `Patient` for
    …/StructureDefinition/Patient.
    """
    name = name_of(canonical)
    known = name in definitions.types or name in definitions.primitives
    return name if known and canonical.partition("|")[0] == _CORE + name else ""


async def collect(canonicals: Iterable[str], find: Find, definitions: Definitions) -> Library:
    """Returns the profiles named by `canonicals` and everything stored that they refer to. 1 GET for each, 200
    at most.
    """
    found: dict[str, dict[str, JsonObject]] = {"StructureDefinition": {}, "ValueSet": {}, "CodeSystem": {}}
    asked: set[tuple[str, str]] = set()
    missing: set[str] = set()
    waiting = {("StructureDefinition", each) for each in canonicals if not core_type(definitions, each)}
    while waiting:
        affordable = sorted(waiting)[: MOST_LOOKUPS - len(asked)]
        missing.update(canonical for _, canonical in waiting.difference(affordable))
        asked.update(affordable)
        answers = await asyncio.gather(*(_look_up(find, type, canonical) for type, canonical in affordable))
        waiting = set()
        for (type_, canonical), resource in zip(affordable, answers, strict=True):
            if resource is None:
                missing.add(canonical)
            else:
                found[type_][canonical] = resource
                waiting.update(_mentioned(definitions, resource))
        waiting -= asked
    structures = found["StructureDefinition"]
    profiles = await offload_if(bool(structures), _read_all, structures)
    return Library(
        definitions,
        profiles,
        Terminology(_by_url(found["ValueSet"]), _by_url(found["CodeSystem"]), definitions.value_sets),
        frozenset(missing),
    )


def _read_all(structures: Mapping[str, JsonObject]) -> dict[str, Profile]:
    return {canonical: read_profile(structure) for canonical, structure in structures.items()}


async def _look_up(find: Find, type: str, canonical: str) -> JsonObject | None:
    url, _, version = canonical.partition("|")
    id_ = name_of(url)
    resource = await find(type, id_) if is_id(id_) else None
    if resource is None or resource.get("url") != url or _has_too_many_elements(resource):
        return None
    return resource if not version or resource.get("version") == version else None


def _has_too_many_elements(structure: Node) -> bool:
    views = (node_of(structure, name).get("element") for name in ("snapshot", "differential"))
    return any(isinstance(elements, list) and len(elements) > MOST_ELEMENTS for elements in views)


def _mentioned(definitions: Definitions, resource: Node) -> Iterator[tuple[str, str]]:
    """Yields the type and canonical of everything that is needed to decide about this resource."""
    match text(resource, "resourceType"):
        case "StructureDefinition":
            yield from _mentioned_by_profile(definitions, resource)
        case "ValueSet":
            compose = node_of(resource, "compose")
            for part in (*nodes(compose, "include"), *nodes(compose, "exclude")):
                yield from (("ValueSet", url) for url in texts(part, "valueSet") if not _known(definitions, url))
                if text(part, "system") and not nodes(part, "concept"):
                    yield "CodeSystem", text(part, "system")


def _mentioned_by_profile(definitions: Definitions, structure: Node) -> Iterator[tuple[str, str]]:
    snapshot = nodes(node_of(structure, "snapshot"), "element")
    elements = snapshot or nodes(node_of(structure, "differential"), "element")
    structures = [] if snapshot else [text(structure, "baseDefinition")]
    for element in elements:
        for each in nodes(element, "type"):
            structures += texts(each, "profile")
        binding = node_of(element, "binding")
        value_set = text(binding, "valueSet") if text(binding, "strength") == "required" else ""
        if value_set and not _known(definitions, value_set):
            yield "ValueSet", value_set
    yield from (("StructureDefinition", url) for url in structures if url and not core_type(definitions, url))


def _known(definitions: Definitions, canonical: str) -> bool:
    return canonical.partition("|")[0] in definitions.value_sets


def _by_url(resources: Mapping[str, JsonObject]) -> dict[str, Node]:
    return {canonical.partition("|")[0]: resource for canonical, resource in resources.items()}
