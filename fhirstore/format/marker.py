"""The marker: what a Binary has in place of `data` when its content lies outside the record.

    "_data":{"extension":[{"url":"urn:fhirstore:StructureDefinition/payload","extension":[
        {"url":"size","valueDecimal":5000000},{"url":"sha256","valueString":"9f86…"}]}]}

It is valid FHIR, so that every client can read the resource, change other members and write it back: the marker then
says that the content stays as it is. It is no key to a content: only the version that has this content may keep it.
"""

from __future__ import annotations

from collections.abc import Mapping

from fhirstore.fhir import json
from fhirstore.fhir.json import JsonObject

URL = "urn:fhirstore:StructureDefinition/payload"
_QUICK = URL.encode()


def with_marker(binary: JsonObject, sha256: str, size: int) -> JsonObject:
    """Returns the Binary without `data`, with the marker. Other extensions of `data`, and its id, stay."""
    beside = binary.get("_data")
    kept = dict(beside) if isinstance(beside, dict) else {}
    others = [one for one in _extensions(kept) if not _is_marker(one)]
    marker = {
        "url": URL,
        "extension": [{"url": "size", "valueDecimal": size}, {"url": "sha256", "valueString": sha256}],
    }
    members = {name: value for name, value in binary.items() if name not in ("data", "_data")}
    return {**members, "_data": {**kept, "extension": [*others, marker]}}


def without_marker(binary: JsonObject) -> JsonObject:
    """Returns the Binary without the marker; `_data` goes when nothing else is in it."""
    beside = binary.get("_data")
    if not isinstance(beside, dict) or not any(map(_is_marker, _extensions(beside))):
        return binary
    others = [one for one in _extensions(beside) if not _is_marker(one)]
    kept = {name: value for name, value in beside.items() if name != "extension"} | (
        {"extension": others} if others else {}
    )
    members = {name: value for name, value in binary.items() if name != "_data"}
    return {**members, "_data": kept} if kept else members


def marked(resource: bytes) -> tuple[str, int] | None:
    """Returns the hash and the size that a Binary's marker names; None if it has `data`, or no marker.

    `resource`: JSON of any resource. One without the marker's URL is not parsed, unless it has escapes: many encoders
    write "\\/". A malformed marker has the hash "".
    """
    if _QUICK not in resource and b"\\" not in resource:
        return None
    return marked_in(json.parse(resource, max_values=None))


def marked_in(binary: Mapping[str, object]) -> tuple[str, int] | None:
    """Does the same for a parsed Binary."""
    beside = binary.get("_data")
    if binary.get("resourceType") != "Binary" or "data" in binary or not isinstance(beside, dict):
        return None
    for extension in filter(_is_marker, _extensions(beside)):
        parts = {one.get("url"): one for one in _extensions(extension)}
        sha256 = parts.get("sha256", {}).get("valueString")
        size = parts.get("size", {}).get("valueDecimal")
        if isinstance(sha256, str) and type(size) is int:
            return sha256, size
        return "", 0
    return None


def _extensions(element: Mapping[str, object]) -> list[dict[str, object]]:
    extensions = element.get("extension")
    return [one for one in extensions if isinstance(one, dict)] if isinstance(extensions, list) else []


def _is_marker(extension: Mapping[str, object]) -> bool:
    return extension.get("url") == URL
