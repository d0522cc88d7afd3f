"""The manifest of a finished export, in the shapes of versions 3.0 and 4.0 of the guide, as the command uses it.

https://hl7.org/fhir/uv/bulkdata/export.html#response---output-manifest. 4.0 names `outcome` what 3.0 names `error`,
gives no type to files of deletions and outcomes, and knows `fileSize`.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import Literal, TypeAlias

import msgspec

from server.commands.export.order import is_instant
from server.commands.urls import origin_of

Section: TypeAlias = Literal["output", "deleted", "error"]

MAX_BYTES = 64 << 20  # of one manifest; files are then named in pages
_TYPE = re.compile(r"[A-Za-z]{1,64}")
_UNTOLD: dict[Section, str] = {"output": "output", "deleted": "Bundle", "error": "OperationOutcome"}


class BadManifest(Exception):
    """The server's manifest cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A file of a manifest. `count` of resources and `size` in bytes: as the server says, if it does."""

    section: Section
    type: str
    url: str
    count: int | None
    size: int | None


@dataclass(frozen=True, slots=True)
class Manifest:
    """One page. `next`: URL of the next one; None: there is none, or not yet."""

    transaction_time: str
    requires_access_token: bool
    files: dict[Section, tuple[Listed, ...]]
    next: str | None


class _Item(msgspec.Struct):
    url: str
    type: str | None = None
    count: int | None = None
    fileSize: int | None = None  # noqa: N815 - the guide's name


class _Link(msgspec.Struct):
    relation: str = ""
    url: str = ""


class _Manifest(msgspec.Struct):
    transactionTime: str  # noqa: N815 - the guide's name
    requiresAccessToken: bool  # noqa: N815 - the guide's name
    output: list[_Item]
    deleted: list[_Item] = []
    error: list[_Item] = []
    outcome: list[_Item] = []
    link: list[_Link] = []


def read_manifest(body: bytes) -> Manifest:
    """Returns the manifest. Raises BadManifest where a member that is needed is missing or is not what it must be."""
    try:
        found = msgspec.json.decode(body, type=_Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadManifest(f"the manifest is not one: {error}") from error
    if not is_instant(found.transactionTime):
        raise BadManifest("the manifest's transactionTime is no instant")
    told = {item.url: item for item in [*found.error, *found.outcome]}  # some servers give both
    links = [link.url for link in found.link if link.relation == "next"]
    for url in links:
        if origin_of(url) is None:
            raise BadManifest("the manifest's next link is no absolute URL")
    return Manifest(
        transaction_time=found.transactionTime,
        requires_access_token=found.requiresAccessToken,
        files={
            "output": _listed("output", found.output),
            "deleted": _listed("deleted", found.deleted),
            "error": _listed("error", list(told.values())),
        },
        next=links[0] if links else None,
    )


def is_manifest(body: bytes) -> bool:
    """Whether an answer that came with 202 is a manifest of the files so far."""
    try:
        return "output" in msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False


class Names:
    """Names files within the folder, by type and order: Patient.001.ndjson, deleted/Bundle.001.ndjson."""

    def __init__(self) -> None:
        self._given: Counter[tuple[Section, str]] = Counter()

    def name(self, listed: Listed) -> str:
        """Returns the name of the next file of that kind."""
        key = (listed.section, listed.type)
        self._given[key] += 1
        folder = "" if listed.section == "output" else f"{listed.section}/"
        return f"{folder}{listed.type}.{self._given[key]:03}.ndjson"


def _listed(section: Section, items: list[_Item]) -> tuple[Listed, ...]:
    listed = []
    for item in items:
        type_ = item.type or _UNTOLD[section]
        if origin_of(item.url) is None or not _TYPE.fullmatch(type_):
            raise BadManifest(f"an item of {section} in the manifest has no absolute URL, or an odd type")
        listed.append(Listed(section, type_, item.url, item.count, item.fileSize))
    return tuple(listed)
