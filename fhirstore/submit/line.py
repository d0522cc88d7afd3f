"""Reads one line of a file: which resources it writes, and what it makes of each. It does no I/O.

A resource keeps the id of its source, or gets one derived from it (`Rules.ids`). References are resolved against the
source's base URL: what refers to a resource of the source, by a relative or by an absolute URL, refers to the same
resource here afterwards. Other URLs stay as they are.

https://hl7.org/fhir/uv/bulkdata/submit.html · https://www.rfc-editor.org/rfc/rfc7396 (merge-patch)
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, cast

from fhirstore.commit.single import Decide, Draft
from fhirstore.errors import ContentTooLarge, FhirError, InvalidResource, Issue
from fhirstore.fhir import json
from fhirstore.fhir.json import JsonObject
from fhirstore.fhir.patch import MergePatch
from fhirstore.fhir.validation import Validator
from fhirstore.fhir.validation.nodes import typed_nodes
from fhirstore.fhir.validation.references import refuse_references_by_search
from fhirstore.format.record import Record
from fhirstore.index.names import is_whole
from fhirstore.interactions.preconditions import Preconditions
from fhirstore.interactions.resources import (
    MAX_PATCHED,
    builder,
    deletion,
    id_for_update,
    known_type,
    type_of,
    update,
    well_formed_id,
)
from fhirstore.submit.submitters import Mode

MOST_ENTRIES = 1_000
"""Entries of one Bundle of deletions."""

_LOCAL = re.compile(r"(?P<type>[A-Z][A-Za-z]*)/(?P<id>[A-Za-z0-9.-]{1,64})(?P<rest>(?:/_history/[A-Za-z0-9.-]{1,64})?)")
_UNCHANGED = Preconditions(skip_unchanged=True)


@dataclass(frozen=True, slots=True)
class Rules:
    """How the lines of one manifest are read. `base`: the source's, without a slash at its end.

    `submitter`: `system|value`; with `base` it makes remapped ids unique to the source.
    """

    validator: Validator
    base: str
    submitter: str
    mode: Mode = "replace"
    ids: Literal["keep", "remap"] = "keep"

    def id(self, type: str, id: str) -> str:
        """Returns the id here of a resource of the source."""
        if self.ids == "keep":
            return id
        digest = hashlib.sha256("\0".join((self.submitter, self.base, type, id)).encode()).digest()
        return base64.b32encode(digest[:20]).decode("ascii")


@dataclass(frozen=True, slots=True)
class Item:
    """One write of a line. `source`: its `Type/id` at the source. `template`: its content; None deletes.

    `patch`: merged into the content that is there, instead.
    """

    type: str
    id: str
    source: str
    entry: int = 0
    template: json.Template | None = field(default=None, repr=False)
    patch: MergePatch | None = field(default=None, repr=False)

    @property
    def size(self) -> int:
        """About how many bytes of JSON it is."""
        return 0 if self.template is None else self.template.size


@dataclass(frozen=True, slots=True)
class Read:
    """What a line says: its writes, and what is to be told of it though it is not refused."""

    items: tuple[Item, ...] = ()
    notes: tuple[Issue, ...] = ()


class Refused(Exception):
    """The line is refused. `source`: `Type/id`, as far as it is known."""

    def __init__(self, issues: tuple[Issue, ...], source: str = "") -> None:
        super().__init__()
        self.issues = issues
        self.source = source


def read_line(line: bytes, rules: Rules, *, type: str | None, deleted: bool, organized: bool) -> Read:
    """Reads a line. `type`: of all resources in the file, as the manifest says. `deleted`: a file of deletions.

    `organized`: blocks of resources have a Parameters resource as header, which is not stored. Raises Refused.
    """
    source = ""
    try:
        content, compact = json.read(line)
        if deleted:
            return Read(tuple(_deletions(content, rules)))
        if organized and _is_header(content):
            return Read()
        type_ = type_of(content, None, rules.validator.definitions.resources)
        id_ = id_for_update(content, type_, None)
        source = f"{type_}/{id_}"
        notes = () if type in (None, type_) else (_another_type(str(type)),)
        if rules.mode == "merge-patch":
            return Read((_patch(content, type_, id_, rules),), notes)
        changed = rules.ids == "remap" or rules.base.encode() in line
        if changed:
            resolve(content, rules)
        padded = rules.validator.check(content)
        if rules.validator.level == "off" and (b"?" in compact or b"\\u" in compact):
            refuse_references_by_search(rules.validator.definitions, content)
        template = json.Template(content, None if padded or changed else compact)
        return Read((Item(type_, rules.id(type_, id_), source, template=template),), notes)
    except FhirError as error:
        raise Refused(error.issues, source) from None


def decision(item: Item, rules: Rules) -> Decide:
    """Returns what the item makes of the current version, by the mode. The decision raises FhirError."""
    if item.patch is not None:
        return _merging(item, item.patch, rules)
    if item.template is None:
        return deletion()
    build = builder(item.template, item.id)
    if rules.mode == "create-only":
        return lambda current: Draft("PUT", build) if current is None or current.deleted else None
    return update(build, _UNCHANGED) if rules.mode == "skip-unchanged" else update(build)


def _merging(item: Item, patch: MergePatch, rules: Rules) -> Decide:
    def decide(current: Record | None) -> Draft | None:
        if current is not None and current.resource is not None and not is_whole(current.resource):
            return None  # a remembered record lacks its content; the caller reads it, and decides again
        here = current is not None and current.resource is not None
        before: JsonObject = {"resourceType": item.type, "id": item.id}
        if current is not None and current.resource is not None:
            before = json.parse(current.resource, max_values=None)
        after = patch.apply(before)
        rules.validator.check(after)
        if rules.validator.level == "off":
            refuse_references_by_search(rules.validator.definitions, after)
        template = json.Template(after)
        if template.size > MAX_PATCHED:
            raise ContentTooLarge(f"The merged resource would have more than {MAX_PATCHED:,} bytes")
        return Draft("PATCH" if here else "PUT", builder(template, item.id))

    return decide


def _patch(content: JsonObject, type: str, id: str, rules: Rules) -> Item:
    """A line that is merged is validated when the result is known; it may have nulls."""
    if rules.ids == "remap" or rules.base:
        resolve(content, rules)
    here = rules.id(type, id)
    content["id"] = here
    return Item(type, here, f"{type}/{id}", patch=MergePatch(content))


# --- references -------------------------------------------------------------------------------------------------


def resolve(resource: JsonObject, rules: Rules) -> None:
    """Makes all references to resources of the source, and attachments in its Binaries, refer to those here."""
    for node in typed_nodes(rules.validator.definitions, resource):
        name = {"Reference": "reference", "Attachment": "url"}.get(node.type)
        value = node.members.get(name) if name is not None else None
        if name is None or not isinstance(value, str):
            continue
        resolved = resolved_reference(value, rules, only="Binary" if node.type == "Attachment" else None)
        if resolved is not None:
            node.members[name] = resolved


def resolved_reference(text: str, rules: Rules, *, only: str | None = None) -> str | None:
    """Returns a reference to a resource of the source as it is here; None: it stays. `only`: of this type."""
    start = f"{rules.base}/"
    relative = text.removeprefix(start)
    path, hash_, fragment = relative.partition("#")
    match = _LOCAL.fullmatch(path)
    if match is None or match["type"] not in rules.validator.definitions.resources:
        return None
    if only is not None and match["type"] != only:
        return None
    if rules.ids == "keep":
        return relative if relative is not text else None
    return f"{match['type']}/{rules.id(match['type'], match['id'])}{hash_}{fragment}"


# --- deletions, headers -----------------------------------------------------------------------------------------


def _deletions(bundle: JsonObject, rules: Rules) -> Iterator[Item]:
    """Yields the deletions of a Bundle in a file of the manifest's `deleted`."""
    entries = bundle.get("entry")
    if bundle.get("resourceType") != "Bundle" or not isinstance(entries, list) or not entries:
        told = "A line of a file of deletions is a Bundle of type transaction with entries"
        raise InvalidResource(told, code="invalid", expression=("Bundle.entry",))
    if len(entries) > MOST_ENTRIES:
        raise InvalidResource(f"A Bundle of deletions has at most {MOST_ENTRIES:,} entries", code="too-costly")
    for index, entry in enumerate(entries):
        request = entry.get("request") if isinstance(entry, dict) else None
        where = f"Bundle.entry[{index}].request"
        if not isinstance(request, dict) or request.get("method") != "DELETE":
            raise InvalidResource("An entry of such a Bundle has method DELETE", code="invalid", expression=(where,))
        url = request.get("url")
        type_, _, id_ = (url.removeprefix(f"{rules.base}/") if isinstance(url, str) else "").partition("/")
        try:
            known_type(type_, rules.validator.definitions.resources)
            well_formed_id(id_)
        except FhirError:
            told = "An entry of such a Bundle has a url of the form Type/id"
            raise InvalidResource(told, code="value", expression=(f"{where}.url",)) from None
        yield Item(type_, rules.id(type_, id_), f"{type_}/{id_}", entry=index)


def _is_header(content: JsonObject) -> bool:
    if content.get("resourceType") != "Parameters":
        return False
    parameters = content.get("parameter")
    return isinstance(parameters, list) and any(
        isinstance(one, dict) and one.get("name") == "header" for one in cast("list[object]", parameters)
    )


def _another_type(type: str) -> Issue:
    shown = type if type.isascii() and type.isalnum() else "another type"
    return Issue("business-rule", f"The manifest says that this file has resources of type {shown}", (), "warning")
