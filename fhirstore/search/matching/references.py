"""References and URIs, in all spellings of one target.

`id`, `Type/id` and an absolute URL of this server name the same resource; with `:Type`, `id` is of that type. A version
is compared only where one is searched for. Other URLs, canonical ones too, are compared as texts; `url` finds
`url|version` as well. `:identifier` searches the identifier in the reference. For a uri, `:below` finds the URLs that
have it as a beginning, path segment by path segment, `:above` the URLs that are such a beginning of it; for a
canonical, `:below` finds the versions that begin with the one given.

https://hl7.org/fhir/R4/search.html#reference · https://hl7.org/fhir/R4/search.html#uri
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection

from fhirstore.fhir.definitions.ids import is_id
from fhirstore.fhir.json import JsonObject
from fhirstore.fhir.search_parameters.references import literal, target
from fhirstore.search.criteria.token import unescaped

_VERSION = re.compile(r"/_history/([A-Za-z0-9.-]{1,64})(?:[#|].*)?$", re.DOTALL)
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:.+", re.DOTALL)
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://.+", re.DOTALL)


def reference_test(text: str, *, type: str | None, bases: Collection[str]) -> Callable[[object], bool]:
    """Returns the test of an element for one value searched for. `type`: of the modifier. `bases`: base URLs of this
    server, each with a slash at the end. Raises ValueError.
    """
    sought = unescaped(text)
    if is_id(sought):
        return lambda value: _names(value, type, sought, bases)
    at = None if "|" in sought else target(sought)
    if at is None and not _ABSOLUTE.fullmatch(sought):
        raise ValueError("a reference is id, Type/id or an absolute URL")
    if at is None or (at[0] and at[0] not in bases):
        if type is not None:
            raise ValueError("with a modifier :Type, a reference is one to this server")
        return _canonical_test(sought, at)
    if type is not None and at[1] != type:
        raise ValueError("its type is not that of the modifier")
    version = _VERSION.search(sought)
    if version is None:
        return lambda value: _names(value, at[1], at[2], bases)
    wanted = version[1]

    def test(value: object) -> bool:
        found = _VERSION.search(_text(value))
        return found is not None and found[1] == wanted and _names(value, at[1], at[2], bases)

    return test


def _canonical_test(sought: str, at: tuple[str, str, str] | None) -> Callable[[object], bool]:
    """Returns the test for an absolute URL or URN, with a version after a | or not. `at`: the resource of another
    server that it names, if any.
    """

    def test(value: object) -> bool:
        text = _text(value)
        if text == sought or text.startswith(sought + "|"):
            return True
        return at is not None and "/_history/" in text and "/_history/" not in sought and target(text) == at

    return test


def canonical_below_test(sought: str) -> Callable[[object], bool]:
    """Returns the test of a canonical for `:below`: `url` finds every version, `url|1` the versions 1, 1.0, 1.1 …"""
    beginning = sought + ("." if "|" in sought else "|")
    return lambda value: isinstance(value, str) and (value == sought or value.startswith(beginning))


def uri_test(text: str, modifier: str) -> Callable[[object, JsonObject], bool]:
    """Returns the test of an element, in its resource, for one value searched for. `modifier`: above, below or empty.
    Raises ValueError.
    """
    sought = unescaped(text)
    if modifier:
        return _hierarchy_test(sought, modifier)
    url, bar, version = sought.rpartition("|")
    if not bar:
        return lambda value, _: isinstance(value, str) and (value == sought or value.startswith(sought + "|"))
    return lambda value, root: value == sought or (value == url and root.get("version") == version)


def _hierarchy_test(sought: str, modifier: str) -> Callable[[object, JsonObject], bool]:
    if not _URL.fullmatch(sought):
        raise ValueError(f":{modifier} is for URLs; it is none")
    if modifier == "above":
        whole = sought.rstrip("/") + "/"
        return lambda value, _: isinstance(value, str) and bool(_URL.fullmatch(value)) and _begins(whole, value)
    if "|" in sought:
        of_version = canonical_below_test(sought)
        return lambda value, _: of_version(value)
    return lambda value, _: isinstance(value, str) and _begins(value, sought)


def _begins(whole: str, part: str) -> bool:
    """Returns whether the segments of `part` are the first of `whole`."""
    start = part.rstrip("/")
    return whole.startswith(start) and whole[len(start) : len(start) + 1] in ("", "/", "|")


def _names(value: object, type: str | None, id: str, bases: Collection[str]) -> bool:
    """Returns whether a reference, or a resource inside a resource, is to this resource of this server."""
    if isinstance(value, dict) and isinstance(value.get("resourceType"), str):
        return value.get("id") == id and type in (None, value["resourceType"])
    at = target(_text(value))
    return at is not None and at[2] == id and type in (None, at[1]) and (not at[0] or at[0] in bases)


def _text(value: object) -> str:
    """Returns the text of a Reference, a CodeableReference, an Attachment or a uri; empty if there is none."""
    if isinstance(value, dict):
        value = value.get("reference", value.get("url"))
    return literal(value)
