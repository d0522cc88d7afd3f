"""Parts of a resource (`_summary`, `_elements`): pure functions on the parsed resource, driven by the definitions.

`resourceType`, `id` and `meta` always stay, and `meta.tag` gets SUBSETTED, "to ensure that the incomplete resource is
not actually used to overwrite a complete resource". Modifier elements and mandatory elements stay too: without them the
rest would mean something else, or would not be a valid resource.

https://hl7.org/fhir/R4/search.html#summary · https://hl7.org/fhir/R4/search.html#elements
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from fhirstore.errors import InvalidResource
from fhirstore.fhir.definitions.facts import Definitions, Element, Type
from fhirstore.fhir.json import JsonObject

SUMMARIES = ("true", "text", "data", "count", "false")
SUBSETTED = {"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "SUBSETTED"}
_SYSTEMS = (SUBSETTED["system"], "http://hl7.org/fhir/v3/ObservationValue")  # before R4

_ALWAYS = frozenset({"id", "meta"})
_ANY_RESOURCE = frozenset({"Resource", "DomainResource"})
_NAME = re.compile(r"(?:([A-Z][A-Za-z]{0,63})\.)?([a-z][A-Za-z0-9]{0,63})(?:\[x\])?")

_Keeps = Callable[[Element], bool]


def subset(
    resource: JsonObject, definitions: Definitions, *, summary: str | None = None, elements: Sequence[str] = ()
) -> JsonObject:
    """Returns the requested part of a resource; `resource` itself if no part is requested, or for `_summary=false`.

    `summary`: true (elements that the definitions mark as summary, at every level), text (narrative and mandatory
    elements), data (all but the narrative) or false. `elements`: names of elements at the root, such as `birthDate`,
    `deceased` or `deceasedBoolean`; `Patient.birthDate` is for that type only. Names that the type does not have are
    ignored, because one list applies to every type in a search.

    Raises InvalidResource if both are given, for an unknown value, and for count, which is no part of a resource.
    """
    names = check(summary, elements)
    if summary in (None, "false") and not names:
        return resource
    type_ = _type_of(resource, definitions)
    if type_ is None:
        return resource
    if summary == "true":
        part = _summarized(resource, type_, definitions)
    elif summary == "text":
        part = _filtered(resource, type_, lambda element: element.name == "text" or _is_mandatory(element))
    elif summary == "data":
        part = {name: value for name, value in resource.items() if name not in ("text", "_text")}
    elif summary == "count":
        raise InvalidResource("_summary=count is for searches only, because it returns no resource", code="value")
    else:
        wanted = {name for for_type, name in names if for_type in ("", type_.name)}
        part = _filtered(resource, type_, lambda element: _is_wanted(element, wanted))
    return _marked(part)


def is_subset(resource: JsonObject) -> bool:
    """Returns whether a resource has the tag SUBSETTED, set by `subset` or by another server."""
    meta = resource.get("meta")
    tags = meta.get("tag") if isinstance(meta, dict) else None
    return isinstance(tags, list) and any(map(_is_subsetted, tags))


def check(summary: str | None, elements: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Returns the names in `elements`, each with its type or "". Raises InvalidResource as `subset`, but not
    for count.
    """
    if summary is not None and summary not in SUMMARIES:
        raise InvalidResource(f"_summary must be one of {', '.join(SUMMARIES)}", code="value")
    names: list[tuple[str, str]] = []
    for name in elements:
        match = _NAME.fullmatch(name)
        if match is None:
            raise InvalidResource("_elements must be names of elements at the root, separated by commas", code="value")
        names.append((match[1] or "", match[2]))
    if names and summary not in (None, "false"):
        raise InvalidResource("_summary and _elements exclude each other; send one of them", code="value")
    return tuple(names)


def _is_mandatory(element: Element) -> bool:
    return element.min > 0 or element.name in _ALWAYS


def _is_wanted(element: Element, names: set[str]) -> bool:
    return element.name in names or element.choice in names or _is_mandatory(element) or element.modifier


def _is_summary(element: Element) -> bool:
    return element.summary or element.modifier or _is_mandatory(element)


def _filtered(members: JsonObject, type_: Type, keeps: _Keeps) -> JsonObject:
    """Returns the members whose element is kept, with their ids and extensions (`_name`), without changing their
    content.
    """
    kept: JsonObject = {}
    for name, value in members.items():
        element = type_.elements.get(name.removeprefix("_"))
        if name == "resourceType" or (element is not None and keeps(element)):
            kept[name] = value
    return kept


def _summarized(members: JsonObject, type_: Type, definitions: Definitions) -> JsonObject:
    """Returns the members that are summary elements, each reduced to its own summary elements."""
    kept = _filtered(members, type_, _is_summary)
    for name, value in kept.items():
        element = type_.elements.get(name)
        if element is not None and element.name not in ("id", "modifierExtension"):
            kept[name] = _summarized_value(value, element, definitions)
    return {name: value for name, value in kept.items() if not _is_mere_extension(name, kept)}


def _summarized_value(value: object, element: Element, definitions: Definitions) -> object:
    if isinstance(value, list):
        return [_summarized_value(item, element, definitions) for item in value]
    if not isinstance(value, dict) or element.type in definitions.primitives:
        return value
    if element.type in _ANY_RESOURCE:
        nested = _type_of(value, definitions)
        return value if nested is None else _marked(_summarized(value, nested, definitions))
    # A summary element whose type marks no elements as summary is kept whole.
    return _summarized(value, definitions.types[element.type], definitions) or value


def _is_mere_extension(name: str, kept: JsonObject) -> bool:
    """Returns whether a member `_name` only adds extensions, which are not summary elements, to values that are
    present.
    """
    if not name.startswith("_"):
        return False
    value = kept.get(name[1:])
    return None not in value if isinstance(value, list) else value is not None


def _type_of(resource: JsonObject, definitions: Definitions) -> Type | None:
    name = resource.get("resourceType")
    return definitions.types[name] if isinstance(name, str) and name in definitions.resources else None


def _marked(resource: JsonObject) -> JsonObject:
    """Returns the resource with the tag SUBSETTED in its meta; a new meta comes after the id."""
    old = resource.get("meta")
    meta: JsonObject = dict(old) if isinstance(old, dict) else {}
    tags = meta.get("tag")
    others = [tag for tag in tags if not _is_subsetted(tag)] if isinstance(tags, list) else []
    meta["tag"] = [*others, dict(SUBSETTED)]
    if "meta" in resource:
        return {**resource, "meta": meta}
    marked: JsonObject = {name: resource[name] for name in ("resourceType", "id") if name in resource}
    return {**marked, "meta": meta, **resource}


def _is_subsetted(tag: object) -> bool:
    return isinstance(tag, dict) and tag.get("code") == "SUBSETTED" and tag.get("system") in _SYSTEMS
