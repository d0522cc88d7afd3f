"""What a kick-off asks: the parameters of its URL or of a Parameters resource become an `ExportRequest`.

Version 3 has comma-separated lists and repeated parameters, in the URL or in a body, and `patient` in a body only.
Version 4 has repeated parameters in a body only.

With `handling=lenient`, a parameter that is not known here is left out and reported. A known one with a value that
cannot be read is refused in any case: without `_since`, say, more would be exported than was asked for.

https://hl7.org/fhir/uv/bulkdata/export.html#query-parameters
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from fhirstore import ExportRequest, Pairs, parse_instant, time_span
from fhirstore.errors import InvalidResource, Issue
from fhirstore.fhir.json import JsonObject

_LISTS = ("_type", "_elements", "includeAssociatedData")
_REPEATED = (*_LISTS, "_typeFilter", "patient")
_ONCE = ("_outputFormat", "_since", "_until", "organizeOutputBy", "allowPartialManifests")
NAMES = (*_ONCE, *_REPEATED)
_OF_EVERY_INTERACTION = ("_format", "_pretty")  # the answers are JSON, and small
_FORMATS = ("application/fhir+ndjson", "application/ndjson", "ndjson")
_ASSOCIATED = "http://hl7.org/fhir/uv/bulkdata/CodeSystem/include-associated-data"
_NEXT_QUERY = re.compile(r",(?=[A-Z][A-Za-z]{1,63}\?)")  # of a list of queries, which version 1 had
_MOST = 20_000  # parameters
_HARMLESS = re.compile(r"[A-Za-z0-9_:.-]{1,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """How the request came. `version`: 3 or 4 of the IG; `posted`: in a body; `base_url`: of this API."""

    version: int
    posted: bool
    lenient: bool
    base_url: str


def export_request(pairs: Pairs, wire: Wire, *, level: str, group: str | None, url: str) -> ExportRequest:
    """Returns the request that parameters describe. `url`: of the kick-off, for the manifest.

    Raises InvalidResource, naming the parameter.
    """
    given: dict[str, list[str]] = {}
    ignored: list[Issue] = []
    for name, value in pairs:
        if name in _OF_EVERY_INTERACTION:
            continue
        if name not in NAMES:
            _ignore(name, wire, ignored)
        elif not value.strip():
            raise InvalidResource(f"{name} is empty; leave it out", code="value")
        else:
            given.setdefault(name, []).append(value.strip())
    for name in _ONCE:
        if len(set(given.get(name, ()))) > 1:
            raise InvalidResource(f"{name} may be given once", code="value")
    if "patient" in given and not wire.posted:
        raise InvalidResource("patient goes into the body of a POST, as a Parameters resource", code="value")
    lists = {name: _values(name, given.get(name, ()), wire) for name in _LISTS}
    _check_format(given)
    request = ExportRequest(
        group=group,
        types=lists["_type"],
        type_filters=_queries(given.get("_typeFilter", ()), wire),
        elements=lists["_elements"],
        patients=[_patient(text, wire) for text in given.get("patient", ())],
        include_associated=lists["includeAssociatedData"],
        organize_by=_one(given, "organizeOutputBy"),
        partial_manifests=_flag(given, "allowPartialManifests"),
        lenient=wire.lenient,
        url=url,
        base=wire.base_url,
        ignored=ignored,
    )
    return replace(request, level=level, since=_since(given), until=_until(given))  # type: ignore[arg-type] # a Level


def body_pairs(resource: JsonObject) -> list[tuple[str, str]]:
    """Returns the parameters of a Parameters resource as pairs of text. Raises InvalidResource."""
    if resource.get("resourceType") != "Parameters":
        raise InvalidResource("The body must be a Parameters resource", code="invalid")
    listed = resource.get("parameter", [])
    if not isinstance(listed, list) or len(listed) > _MOST:
        raise InvalidResource(f"Parameters.parameter must be a list of up to {_MOST:,}", code="too-long")
    return [_pair(each, n) for n, each in enumerate(listed)]


def _pair(parameter: object, n: int) -> tuple[str, str]:
    at = (f"Parameters.parameter[{n}]",)
    if not isinstance(parameter, Mapping) or not isinstance(parameter.get("name"), str):
        raise InvalidResource("A parameter has no name", expression=at, code="required")
    name = str(parameter["name"])
    values = [key for key in parameter if key.startswith("value")]
    if len(values) != 1:
        raise InvalidResource(f"{_shown(name)} must have one value[x]", expression=at, code="value")
    text = _text(values[0], parameter[values[0]])
    if text is None:
        raise InvalidResource(f"{_shown(name)} has a value[x] that it cannot have", expression=at, code="value")
    return name, text


def _text(member: str, value: object) -> str | None:
    """Returns the text of a value[x]; None where it has none."""
    if member == "valueReference":
        value = value.get("reference") if isinstance(value, Mapping) else None
    elif member == "valueCoding":
        if not isinstance(value, Mapping) or value.get("system") not in (None, _ASSOCIATED):
            return None
        value = value.get("code")
    elif member == "valueBoolean":
        return {True: "true", False: "false"}[value] if isinstance(value, bool) else None
    return value if isinstance(value, str) else None


def _ignore(name: str, wire: Wire, ignored: list[Issue]) -> None:
    """Adds that a parameter was left out, or raises InvalidResource where nothing is to be ignored."""
    text = f"{_shown(name)} is not a parameter of this operation"
    if not wire.lenient:
        raise InvalidResource(
            f"{text}; it has {', '.join(NAMES)} (Prefer: handling=lenient ignores others)", code="not-supported"
        )
    if len(ignored) < 100:
        ignored.append(Issue("not-supported", f"{text}, and was left out", severity="warning"))


def _shown(name: str) -> str:
    """Returns a name that a client has sent, if it is one."""
    return name if _HARMLESS.fullmatch(name) else "A parameter whose name is none"


def _values(name: str, given: Sequence[str], wire: Wire) -> list[str]:
    """Returns the values of a parameter that is a list in version 3, and repeated in version 4."""
    if wire.version == 4 and any("," in text for text in given):
        raise InvalidResource(f"{name} has one value; repeat the parameter for others", code="value")
    return [part.strip() for text in given for part in text.split(",") if part.strip()]


def _queries(given: Iterable[str], wire: Wire) -> list[str]:
    if wire.version == 4:
        return list(given)
    return [query for text in given for query in _NEXT_QUERY.split(text)]


def _patient(text: str, wire: Wire) -> str:
    return text.removeprefix(f"{wire.base_url}/")


def _one(given: Mapping[str, Sequence[str]], name: str) -> str | None:
    return given[name][0] if name in given else None


def _flag(given: Mapping[str, Sequence[str]], name: str) -> bool:
    text = _one(given, name) or "false"
    if text not in ("true", "false"):
        raise InvalidResource(f"{name} must be true or false", code="value")
    return text == "true"


def _since(given: Mapping[str, Sequence[str]]) -> int | None:
    """Returns epoch ms, rounded down."""
    text = _one(given, "_since")
    try:
        return None if text is None else time_span(text)[0]
    except ValueError:
        raise _no_instant("_since") from None


def _until(given: Mapping[str, Sequence[str]]) -> int | None:
    """Returns epoch ms, rounded up."""
    text = _one(given, "_until")
    if text is None:
        return None
    try:
        return parse_instant(text) if "." in text else time_span(text)[0]
    except ValueError:
        raise _no_instant("_until") from None


def _no_instant(name: str) -> InvalidResource:
    return InvalidResource(f"{name} must be an instant, like 2024-05-01T10:00:00Z", code="value")


def _check_format(given: Mapping[str, Sequence[str]]) -> None:
    text = (_one(given, "_outputFormat") or _FORMATS[0]).partition(";")[0].strip().lower().replace(" ", "+")
    if text not in _FORMATS:
        raise InvalidResource(
            f"_outputFormat must be one of {', '.join(_FORMATS)}; other formats, as Parquet, are not supported",
            code="not-supported",
        )
