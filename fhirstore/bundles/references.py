"""Links between the entries of a transaction: found in one walk, then replaced by references to the resources.

A client that does not know the future ids of its resources refers to an entry by its fullUrl (`urn:uuid:…`, or the URL
that the resource has elsewhere), or to a stored resource by a search (`Practitioner?identifier=…`). Replaced by
`Type/id` are:

- `Reference.reference`: an absolute URL or urn that is the fullUrl of an entry; a relative reference that is one
  together with the base of its own entry's fullUrl; a search URI. `#fragment` is kept. `/_history/…` stays
  version-specific: it becomes the target's version where that is known, and is kept otherwise.
- elements of type uri and url: a value that is, up to a `#`, the fullUrl of an entry; a relative url like a reference;
- `href` and `src` in the narrative.

Not replaced are elements of type canonical, as the page says, and what they refer to: the `url` of a definition,
`Extension.url`, and any `system`, which names a code system or a namespace; `Identifier.value` and other text; the
content of a Bundle that is stored as a resource, since its links are its own. Elements of type oid and uuid are not
replaced either, although the page lists them: `Type/id` is neither, so the resource would become invalid.

https://hl7.org/fhir/R4/http.html#trules · https://hl7.org/fhir/R4/bundle.html#references
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from fhirstore.errors import InvalidResource
from fhirstore.fhir.definitions.facts import Definitions, Type
from fhirstore.fhir.json import JsonObject

_SEARCH = re.compile(r"[A-Z][A-Za-z]+\?.+")
_NARRATIVE_LINK = re.compile(r"""((?:href|src)\s*=\s*)("[^"]*"|'[^']*')""")
_RESTFUL = re.compile(r"(https?://.+/)[A-Z][A-Za-z]+/[A-Za-z0-9.-]{1,64}")
_HISTORY = "/_history/"
_ALWAYS = frozenset({"reference", "div"})  # members that may hold links not recognised by their whole text


@dataclass(frozen=True, slots=True)
class Target:
    """The resource that a fullUrl refers to. `reference`: `Type/id`. `version`: after the transaction, if known."""

    reference: str
    version: int | None = None


@dataclass(frozen=True, slots=True)
class Link:
    """A value that is a link or contains links: `holder[key]` was `text`. `search`: it is a reference by search."""

    holder: JsonObject | list[object]
    key: str | int
    text: str
    search: bool = False
    narrative: bool = False

    def set(self, text: str) -> None:
        """Replaces the text."""
        self.holder[self.key] = text  # type: ignore[index]  # a list's key is an int, an object's a str

    def names_one_of(self, full_urls: Collection[str]) -> bool:
        """Whether its present text contains the urn of an entry. Such a reference must not be stored."""
        text = self.holder[self.key]  # type: ignore[index]  # as above
        return isinstance(text, str) and not self.narrative and text.startswith("urn:") and _parts(text)[0] in full_urls


Resolve: TypeAlias = Callable[[str], Target | None]
"""Returns the target of a fullUrl, or of a search; None where the transaction does not know one."""


def base_of(full_url: str | None) -> str:
    """Returns the base of the relative references of an entry with this fullUrl, with a slash at its end; or ""."""
    match = _RESTFUL.fullmatch(full_url) if full_url else None
    return match[1] if match else ""


def find_links(
    resource: JsonObject, *, full_urls: Collection[str], base: str, definitions: Definitions
) -> Iterator[Link]:
    """Yields the links of `resource`, which `rewrite` may change. `base`: `base_of` its entry's fullUrl."""
    return _Walk(full_urls, base, definitions).resource(resource)


def is_search(text: str) -> bool:
    """Whether this text, as a reference, is a reference by search (`Practitioner?identifier=…`)."""
    return _SEARCH.fullmatch(text) is not None


def unresolved(path: str) -> InvalidResource:
    """Returns the error for a link that still contains the urn of an entry. `path`: of the link."""
    return InvalidResource(
        "This refers to an entry of which nothing is left to refer to: it deletes, or there is nothing to delete",
        code="not-found",
        expression=(path,),
    )


def only_in_a_transaction(path: str) -> InvalidResource:
    """Returns the error for a reference by search outside of a transaction. `path`: of the reference."""
    return InvalidResource(
        "A reference by search (Type?query) is resolved in a transaction only; send one, or refer to Type/id",
        code="not-supported",
        expression=(path,),
    )


def rewrite(link: Link, resolve: Resolve, *, base: str) -> None:
    """Replaces the link by its target. A link without a known target keeps its text."""
    if link.narrative:
        link.set(_NARRATIVE_LINK.sub(lambda match: match[1] + _quoted(match[2], resolve), link.text))
    elif link.search:
        found = resolve(link.text)
        link.set(link.text if found is None else found.reference)
    else:
        link.set(_replaced(link.text, resolve, base) or link.text)


def _quoted(text: str, resolve: Resolve) -> str:
    quote, link = text[0], text[1:-1]
    return f"{quote}{_replaced(link, resolve, '') or link}{quote}"


def _replaced(text: str, resolve: Resolve, base: str) -> str | None:
    stem, history, version, fragment = _parts(text)
    found = resolve(stem) or (resolve(base + stem) if base and stem else None)
    if found is None:
        return None
    if history and found.version is not None:
        version = str(found.version)
    return f"{found.reference}{history}{version}{fragment}"


def _parts(text: str) -> tuple[str, str, str, str]:
    """Returns `Type/id`, `/_history/`, `3`, `#fragment`; parts that are absent are empty."""
    url, hash_, fragment = text.partition("#")
    stem, history, version = url.partition(_HISTORY)
    return stem, history, version, hash_ + fragment


def path_of(resource: JsonObject, link: Link) -> str:
    """Returns the FHIRPath expression of a link in its resource: `subject.reference`. Slow; for messages."""

    def within(node: object, path: str) -> str | None:
        if isinstance(node, dict):
            members = [(name, value, f"{path}.{name}" if path else name) for name, value in node.items()]
        elif isinstance(node, list):
            members = [(index, value, f"{path}[{index}]") for index, value in enumerate(node)]
        else:
            return None
        for key, value, below in members:
            if node is link.holder and key == link.key:
                return below
            if (found := within(value, below)) is not None:
                return found
        return None

    return within(resource, "") or ""


class _Walk:
    """One walk over a resource's JSON and its types. Strings are tested before their type is looked up, for speed."""

    def __init__(self, full_urls: Collection[str], base: str, definitions: Definitions) -> None:
        self._known = full_urls
        self._base = base
        self._types = definitions.types

    def resource(self, resource: JsonObject) -> Iterator[Link]:
        name = resource.get("resourceType")
        if isinstance(name, str) and name != "Bundle" and (type_ := self._types.get(name)):
            yield from self._object(resource, type_)

    def _object(self, node: JsonObject, type_: Type) -> Iterator[Link]:
        for name, value in node.items():
            if isinstance(value, str):
                if name in _ALWAYS or self._known_stem(value):
                    yield from self._text(node, name, value, type_, name)
            elif isinstance(value, dict):
                yield from self._child(value, type_, name)
            elif isinstance(value, list):
                for index, item in enumerate(value):
                    if isinstance(item, dict):
                        yield from self._child(item, type_, name)
                    elif isinstance(item, str) and self._known_stem(item):
                        yield from self._text(value, index, item, type_, name)

    def _child(self, value: JsonObject, type_: Type, name: str) -> Iterator[Link]:
        element = type_.elements.get(name)
        if element is None:  # `_birthDate` holds the id and the extensions of a primitive element
            inner = self._types.get("Element") if name.startswith("_") else None
        elif element.type == "Resource":
            yield from self.resource(value)
            return
        else:
            inner = self._types.get(element.type)
        if inner is not None:
            yield from self._object(value, inner)

    def _text(
        self, holder: JsonObject | list[object], key: str | int, value: str, type_: Type, name: str
    ) -> Iterator[Link]:
        element = type_.elements.get(name)
        if element is None or element.repeats != isinstance(holder, list):
            return
        if type_.name == "Reference" and name == "reference":
            if _SEARCH.fullmatch(value):
                yield Link(holder, key, value, search=True)
            elif self._known_stem(value):
                yield Link(holder, key, value)
        elif element.type == "xhtml":
            if _NARRATIVE_LINK.search(value):
                yield Link(holder, key, value, narrative=True)
        elif element.type == "url" or (
            element.type == "uri" and self._is_entry(value) and not _is_identity(type_, name)
        ):
            yield Link(holder, key, value)

    def _is_entry(self, value: str) -> bool:
        return value.partition("#")[0] in self._known

    def _known_stem(self, value: str) -> bool:
        """Whether `value` may be a link to an entry, judged by its text alone."""
        known = self._known
        if value in known:
            return True
        if "#" in value or _HISTORY in value:
            value = _parts(value)[0]
            if value in known:
                return True
        return bool(self._base) and self._base + value in known


def _is_identity(type_: Type, name: str) -> bool:
    """Whether the element is a name that does not depend on where a resource is stored: the url of a definition or an
    extension, the system of a code or an identifier."""
    return name == "system" or (name == "url" and (type_.kind == "resource" or type_.name == "Extension"))
