"""Attachments whose data lies outside of their resource, in a Binary of its own.

    {"contentType": "application/pdf", "data": "JVBERi0x…"}
    {"contentType": "application/pdf", "url": "Binary/7KQ…", "size": 2000000, "hash": "…"}

`take_out` makes the second of the first, for each attachment whose data is above a limit: anywhere in the resource, in
its contained resources and extensions, as the definitions say. Not in the resources of a Bundle or of Parameters, whose
URLs have another base; nor where the attachment has a URL already that is not that of a Binary here. The Binary's id is
made of the resource's id and of the content: whoever writes the same data again writes the same URL.

`Binary.securityContext` refers to the resource, so that who may not read the one may not read the other.

https://hl7.org/fhir/R4/datatypes.html#attachment · https://hl7.org/fhir/R4/binary.html
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from fhirstore.commit.single import Draft
from fhirstore.commit.transaction import Part
from fhirstore.fhir.definitions.facts import Definitions
from fhirstore.fhir.json import JsonObject, with_identity
from fhirstore.fhir.validation.nodes import typed_nodes
from fhirstore.format.keyspace import Keyspace
from fhirstore.format.record import Record

MOST = 32
"""Attachments of one resource whose data is moved; that of others stays in the resource."""

_OCTETS = "application/octet-stream"
_ANY_BASE = ("Bundle", "Parameters")
_BINARY_URL = re.compile(r"Binary/([A-Za-z0-9.-]{1,64})(?:/_history/([1-9][0-9]{0,17}))?")


@dataclass(frozen=True, slots=True)
class Taken:
    """Data that was taken out of an attachment. `type`: the content type. `sha256`: hex."""

    type: str
    data: bytes = field(repr=False)
    sha256: str
    _attachment: JsonObject = field(repr=False)

    def refer(self, to: str) -> None:
        """Sets the attachment's URL: to the Binary with this id."""
        self._attachment["url"] = f"Binary/{to}"


def take_out(resource: JsonObject, definitions: Definitions, *, above: int) -> list[Taken]:
    """Takes the data of attachments with more than `above` bytes out of the resource, in place; sets size and hash.

    The resource is valid. The caller must `refer` each to its Binary.
    """
    found = [] if resource.get("resourceType") in _ANY_BASE else list(_long(resource, definitions, above))
    as_text = definitions.types["Attachment"].elements["size"].type == "integer64"  # which is a string in JSON
    return [_taken(attachment, data, as_text=as_text) for attachment, data in found[:MOST]]


def binary_id(type: str, id: str, taken: Taken) -> str:
    """Returns the id of the Binary for data of this resource: the same for the same data and content type."""
    text = "\0".join(("attachment", type, id, taken.type, taken.sha256))
    return base64.b32encode(hashlib.sha256(text.encode()).digest()[:20]).decode("ascii")


def with_binaries(owner: Part, taken: Sequence[Taken], keys: Keyspace, *, unchanged: bool) -> list[Part]:
    """Returns the parts of a transaction: the resource, which refers to its Binaries now, and each of these.

    A Binary that is there with this content is left as it is; none is written where the resource is not. `unchanged`:
    where the resource is not written, it says the same already; so a Binary that was deleted comes back.
    """
    type_, id_ = owner.keys.type, owner.keys.id
    drafted = False

    def deciding(current: Record | None) -> Draft | None:
        nonlocal drafted
        draft = owner.decide(current)
        drafted = unchanged or draft is not None
        return draft

    def binary(one: Taken, to: str) -> Part:
        content: JsonObject = {
            "resourceType": "Binary",
            "id": to,
            "contentType": one.type,
            "securityContext": {"reference": f"{type_}/{id_}"},
            "data": base64.b64encode(one.data).decode("ascii"),
        }

        def decide(current: Record | None) -> Draft | None:
            there = current is not None and current.payload is not None and current.payload.sha256 == one.sha256
            if there or not drafted:  # the resource is decided before its Binaries
                return None
            return Draft("PUT", lambda version, t: with_identity(content, id=to, version=version, last_updated=t))

        return Part(keys.resource("Binary", to), decide, fresh=owner.fresh)

    binaries: dict[str, Part] = {}
    for one in taken:
        to = binary_id(type_, id_, one)
        one.refer(to)
        if to not in binaries:
            binaries[to] = binary(one, to)
    return [Part(owner.keys, deciding, fresh=owner.fresh), *binaries.values()]


def _long(resource: JsonObject, definitions: Definitions, above: int) -> Iterator[tuple[JsonObject, bytes]]:
    for node in typed_nodes(definitions, resource):
        data, url = node.members.get("data"), node.members.get("url")
        if node.type != "Attachment" or not isinstance(data, str) or len(data) // 4 * 3 <= above:
            continue
        if "_data" in node.members or (url is not None and not _is_binary(url)):
            continue
        octets = _octets(data)
        if octets is not None and len(octets) > above:
            yield node.members, octets


def _taken(attachment: JsonObject, data: bytes, *, as_text: bool) -> Taken:
    content_type = attachment.get("contentType")
    members = dict(attachment)
    del members["data"]
    members |= {"size": str(len(data)) if as_text else len(data), "hash": sha1(data)}
    members.setdefault("url", "")  # set by `refer`
    attachment.clear()
    attachment.update(members)
    type_ = content_type if isinstance(content_type, str) else _OCTETS
    return Taken(type_, data, hashlib.sha256(data).hexdigest(), attachment)


def sha1(data: bytes) -> str:
    """Returns `Attachment.hash` of these bytes: "the hash of the data using SHA-1 … represented using base64"."""
    return base64.b64encode(hashlib.sha1(data, usedforsecurity=False).digest()).decode("ascii")


def _is_binary(url: object) -> bool:
    return isinstance(url, str) and _BINARY_URL.fullmatch(url) is not None


def _octets(data: str) -> bytes | None:
    try:
        return base64.b64decode(re.sub(r"\s", "", data), validate=True)
    except (binascii.Error, ValueError):
        return None


# --- putting back ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Outside:
    """An attachment without data whose URL names a Binary here. `version`: None for the current one."""

    id: str
    version: int | None
    size: int | None
    _attachment: JsonObject = field(repr=False)

    def put_back(self, data: bytes) -> bool:
        """Sets the data. Returns False, and leaves the attachment as it is, where it has another hash or size."""
        hash_ = self._attachment.get("hash")
        if (self.size is not None and len(data) != self.size) or (hash_ is not None and hash_ != sha1(data)):
            return False
        self._attachment["data"] = base64.b64encode(data).decode("ascii")
        return True


def outside(resource: JsonObject, definitions: Definitions, *, base_url: str | None = None) -> list[Outside]:
    """Returns the attachments whose data is in a Binary here. `base_url`: our own, without a slash at the end."""
    found = []
    for node in typed_nodes(definitions, resource):
        url = node.members.get("url")
        if node.type != "Attachment" or not isinstance(url, str) or "data" in node.members:
            continue
        match = _BINARY_URL.fullmatch(url.removeprefix(f"{base_url}/") if base_url else url)
        if match is not None:
            version = None if match[2] is None else int(match[2])
            found.append(Outside(match[1], version, _whole(node.members.get("size")), node.members))
    return found


def _whole(value: object) -> int | None:
    """Returns a size, which is a number, or from R5 on a string."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 18:
        return int(value)
    return value if isinstance(value, int) else None
