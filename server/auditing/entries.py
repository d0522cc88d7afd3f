"""Which events a request makes: one, or one for each resource that it wrote, or for each entry of its Bundle. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from msgspec.structs import replace

from fhirstore import AuditEntry, BundleEntry, Definitions, EntryResult, Version, parse_query
from fhirstore.errors import FhirStoreError
from server.auditing.criteria import CriteriaForm
from server.auditing.touched import Touched
from server.http.outcome import error_answer

_ID = re.compile(r"[A-Za-z0-9.-]{1,64}")
_NUMBER = re.compile(r"[1-9][0-9]{0,17}")
_REQUEST = re.compile(r"[\x21-\x7e]{1,128}")
_ADDRESS = re.compile(r"[0-9A-Fa-f:.]{2,45}")
_WRITES = frozenset({"create", "update", "patch", "delete"})
_ONE = _WRITES | {"read", "vread"}


class Entries:
    """Makes the events of requests."""

    def __init__(self, definitions: Definitions, criteria: CriteriaForm) -> None:
        self._types = definitions.resources
        self._criteria = criteria

    def of(
        self, interaction: str, touched: Touched, status: int, *, request: bytes, address: str, query: bytes
    ) -> Iterator[AuditEntry]:
        """Yields the events of a request that was answered with `status`; 0: its client went away before."""
        parameters: Mapping[str, str] = {} if touched.endpoint is None else touched.endpoint.parameters
        searched = parameters.get("type", "")
        type_, id_ = touched.about if touched.about[0] else (searched, parameters.get("id", ""))
        type_ = type_ if type_ in self._types else ""
        code = interaction.removeprefix("conditional-")
        bundle = touched.bundle
        base = AuditEntry(
            interaction=bundle.kind if bundle is not None else interaction,
            status=status,
            request=_matching(_REQUEST, request.decode("latin-1")),
            address=_matching(_ADDRESS, address),
            client=touched.client,
            user=touched.user,
            type=type_,
            id=_matching(_ID, id_) if type_ else "",
            version=_version(parameters.get("vid", "")),
            job=_matching(_ID, touched.job or parameters.get("job", "") or parameters.get("upload", "")),
            criteria=self._asked(touched, query, searched if "compartment" in parameters else type_),
        )
        if bundle is not None:
            yield base
            about = replace(base, type="", id="", version=0, criteria=None)
            for n, result in enumerate(bundle.results):
                yield from self._of_entry(about, n, result)
        elif code in _ONE and touched.versions:
            for version in touched.versions:
                yield _about(base if len(touched.versions) == 1 else replace(base), version)
        else:
            base.versions = touched.versions
            yield base

    def _of_entry(self, about: AuditEntry, n: int, result: EntryResult) -> Iterator[AuditEntry]:
        """Yields the events of an entry of a Bundle."""
        asked = result.entry
        if asked is None:
            yield replace(about, interaction="operation", status=_status(result), entry=n)
            return
        type_ = asked.type if asked.type in self._types else None
        searched = asked.path.rpartition("/")[2] if _owner(asked) else type_ or ""
        criteria = None if asked.criteria is None else self._criteria.of(_pairs(asked.criteria), searched.strip("*"))
        one = replace(
            about,
            interaction=_interaction(asked),
            status=_status(result),
            type=type_ or "",
            id=_matching(_ID, asked.id or _owner(asked)) if type_ else "",
            version=asked.version or 0,
            criteria=criteria,
            entry=n,
        )
        version = result.version
        if version is not None:
            one = replace(one, type=version.type, id=version.id, version=version.version_id, versions=(version,))
        yield one if version is not None else replace(one, versions=result.versions)

    def _asked(self, touched: Touched, query: bytes, type_: str) -> str | None:
        if touched.criteria is not None:
            return self._criteria.of(touched.criteria, type_)
        return self._criteria.of(_pairs(query), type_) if query else None


def _about(entry: AuditEntry, version: Version) -> AuditEntry:
    """Returns the event, which is now about this version."""
    entry.type, entry.id, entry.version, entry.versions = version.type, version.id, version.version_id, (version,)
    return entry


def _interaction(entry: BundleEntry) -> str:
    if entry.interaction == "search":
        if _owner(entry):
            return "search-compartment"
        return "search-type" if entry.type else "search-system"
    if entry.interaction == "history":
        return "history-instance" if entry.id else "history-type" if entry.type else "history-system"
    if entry.interaction == "operation":
        name = entry.path.rpartition("/")[2]
        return name if name in ("$validate", "$purge", "$everything", "$lastn") else "operation"
    return entry.interaction


def _owner(entry: BundleEntry) -> str:
    """The id of the resource whose compartment an entry searches, "" for other entries."""
    segments = entry.path.split("/")
    return segments[1] if entry.interaction == "search" and len(segments) == 3 else ""


def _status(result: EntryResult) -> int:
    """The status of an entry, as far as events tell them apart."""
    error: FhirStoreError | None = result.error
    return 200 if error is None else error_answer(error).status_code


def _pairs(query: bytes | str) -> list[tuple[str, str]]:
    try:
        return parse_query(query)
    except FhirStoreError:
        return [("", "")]  # it cannot be read, and was refused


def _matching(form: re.Pattern[str], text: str) -> str:
    return text if form.fullmatch(text) else ""


def _version(text: str) -> int:
    return int(text) if _NUMBER.fullmatch(text) else 0
