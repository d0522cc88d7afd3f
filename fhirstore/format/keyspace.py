"""Every key fhirstore writes is built, and read back, here. This page is the format's specification.

Below a tenant's prefix (`{tenant}/` in a shared bucket, nothing in a bucket of its own):

| key | content |
|---|---|
| `resources/{type}/{id}/current.json` | record of the current version, perhaps fenced, perhaps with an intent |
| `resources/{type}/{id}/_history/{version}.json` | record of that version, immutable once committed |
| `history/type/{type}/{t}_{id}_{version}_{method}-{op}.json` | empty; the key says everything |
| `history/system/{t}_{type}_{id}_{version}_{method}-{op}.json` | empty; the key says everything |
| `tx/{txid}.json` | what became of a transaction: committed or aborted, for good |
| `identity/{type}/{value}/{system}_{id}_{version}` | empty; that version brought the resource this identifier |
| `identity/{type}/system/{system}_{id}_{version}` | empty; that version brought it this system |
| `identity/{type}/{value}.claim` | who was last about to create a resource for an identifier with this value |
| `resources/Receipt/{id}/…` | what a Bundle with an Idempotency-Key was answered (fhirstore/bundles/receipts.py) |
| `sweep/state.json` | the sweeper's lease and watermark |
| `audit/{t}_{action}_{type}_{id}_{op}.json` | an audit line: an administrator did this |
| `bulk/submit/{submitter}/{submission}/…` | state of a bulk submission |

At the store's root, names that start with `_` belong to no tenant (`_probe/…`).

`{t}` is 13-digit epoch milliseconds, so that it sorts as text. Types and ids cannot hold `_` or `/`, so event keys
split without escaping. `{value}` and `{system}` are hashes of 32 and 16 hex digits (see `identifiers`). A claim stays,
small as it is: the next one is taken over it, and a DELETE cannot tell it from the one that was read before. Names that
come from outside and have no such alphabet (`{submitter}`, `{submission}`) are written as `segment()` does. Different
names make different keys, and no name leaves its tenant's prefix: builders refuse what is not a type, an id or a
tenant, rather than trust that somebody checked.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

import msgspec

from fhirstore.errors import InvalidResource, UnknownTenant
from fhirstore.fhir.definitions.ids import is_id

RECEIPT = "Receipt"
"""Beside the FHIR types: what a Bundle with an Idempotency-Key was answered. No interaction and no history shows it."""

_TYPE = re.compile(r"[A-Z][A-Za-z]{1,63}")
_TENANT = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_EVENT = re.compile(
    r"(?P<t>\d{13})_(?:(?P<type>[A-Z][A-Za-z]+)_)?(?P<id>[A-Za-z0-9.-]+)_(?P<version>\d+)_(?P<method>[A-Z]+)-(?P<op>[A-Za-z0-9]+)\.json"
)
_ENTRY = re.compile(
    r"(?P<type>[A-Z][A-Za-z]+)/(?P<name>[0-9a-f]{32}/(?:[0-9a-f]{16}|none)|system/[0-9a-f]{16})"
    r"_(?P<id>[A-Za-z0-9.-]+)_(?P<version>[1-9]\d*)"
)
_CLAIM = re.compile(r"[A-Z][A-Za-z]+/[0-9a-f]{32}\.claim")
_TELLABLE = re.compile(r"[A-Za-z0-9 ._-]{1,100}")
_PLAIN = re.compile(r"[A-Za-z0-9-]{1,100}")


def is_tenant_id(text: str) -> bool:
    """Whether `text` is a well-formed tenant id."""
    return _TENANT.fullmatch(text) is not None


def tenant_id(text: str) -> str:
    """Check a tenant id: 1 to 63 of `a-z 0-9 -`, no dash at either end (a DNS label). Raises UnknownTenant."""
    if not is_tenant_id(text):
        raise UnknownTenant(
            f"{_shown(text)} is no tenant id; use 1 to 63 characters of a-z, 0-9 and '-', without '-' at either end",
            code="value",
        )
    return text


def _shown(text: str) -> str:
    """The text, in quotes, if it is safe to repeat in a message."""
    return f"'{text}'" if _TELLABLE.fullmatch(text) else "This"


def segment(text: str) -> str:
    """One path segment for any text, injectively: plain names stay, others become `~` and a SHA-256 in hex."""
    if _PLAIN.fullmatch(text):
        return text
    return "~" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True)
class Event:
    """One history event: version `version` of `type`/`id` came to be at `t` by `method`, in the attempt `op`."""

    t: int
    type: str
    id: str
    version: int
    method: str
    op: str


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """One entry of the identity index: version `version` of `type`/`id` was to carry what `name` stands for."""

    type: str
    name: str  # `{value}/{system}` or `system/{system}`
    id: str
    version: int


class ResourceKeys(msgspec.Struct, frozen=True):
    """The keys of one resource. `type` and `id` are checked when it is made (by `Keyspace.resource`)."""

    prefix: str
    type: str
    id: str

    @property
    def current(self) -> str:
        return f"{self.prefix}resources/{self.type}/{self.id}/current.json"

    def version(self, version: int) -> str:
        return f"{self.prefix}resources/{self.type}/{self.id}/_history/{version}.json"

    def type_event(self, t: int, version: int, method: str, op: str) -> str:
        return f"{self.prefix}history/type/{self.type}/{t:013d}_{self.id}_{version}_{method}-{op}.json"

    def system_event(self, t: int, version: int, method: str, op: str) -> str:
        return f"{self.prefix}history/system/{t:013d}_{self.type}_{self.id}_{version}_{method}-{op}.json"

    def index_entry(self, name: str, version: int) -> str:
        """`name`: as `identifiers.names` gives it."""
        return f"{self.prefix}identity/{self.type}/{name}_{self.id}_{version}"

    def index_entries(self, name: str) -> str:
        """Prefix of this resource's entries of that name."""
        return f"{self.prefix}identity/{self.type}/{name}_{self.id}_"

    def transaction(self, txid: str) -> str:
        """The record of a transaction that this resource takes part in."""
        return Keyspace(self.prefix).transaction(txid)


@dataclass(frozen=True, slots=True)
class Keyspace:
    """All keys of one tenant; `prefix` is empty or ends with `/`."""

    prefix: str

    @classmethod
    def of_tenant(cls, tenant: str) -> Keyspace:
        """A tenant in a shared bucket."""
        return cls(tenant_id(tenant) + "/")

    def resource(self, type: str, id: str) -> ResourceKeys:
        """The keys of `type`/`id`. Raises InvalidResource when either is malformed."""
        if not _TYPE.fullmatch(type):
            raise InvalidResource("Malformed resource type: letters only, starting with a capital", code="value")
        if not is_id(id):
            raise InvalidResource(
                "Malformed id: use 1 to 64 characters of A-Z, a-z, 0-9, '-' and '.', and not '.' or '..' alone",
                code="value",
            )
        return ResourceKeys(self.prefix, type, id)

    def type_history(self, type: str) -> str:
        """Prefix of a type's events, oldest first."""
        return f"{self.prefix}history/type/{type}/"

    def system_history(self) -> str:
        """Prefix of the tenant's events, oldest first."""
        return f"{self.prefix}history/system/"

    def resources(self, type: str | None = None, id: str | None = None) -> str:
        """Prefix of all resources, of a type's, or of one resource's objects."""
        below = "".join(f"{name}/" for name in (type, id) if name is not None)
        return f"{self.prefix}resources/{below}"

    def history_types(self) -> str:
        """Prefix below which each type's events are a folder."""
        return f"{self.prefix}history/type/"

    def transactions(self) -> str:
        """Prefix of the transactions' records."""
        return f"{self.prefix}tx/"

    def transaction(self, txid: str) -> str:
        """The record of one transaction; ids are op tokens."""
        return f"{self.prefix}tx/{txid}.json"

    def index(self, type: str, name: str) -> str:
        """Prefix of the entries with this name, or, where it is only a `{value}`, with this value in any system."""
        return f"{self.prefix}identity/{type}/{name}{'_' if '/' in name else '/'}"

    def index_after(self, type: str, name: str, id: str) -> str:
        """A place after all entries of `id` with this name, and before all that follow them."""
        return f"{self.index(type, name)}{id}_:"  # after all digits

    def identity_claim(self, type: str, value: str) -> str:
        """The claim on all identifiers whose value has this hash."""
        return f"{self.prefix}identity/{type}/{value}.claim"

    def identity(self) -> str:
        """Prefix of the whole identity index, claims included."""
        return f"{self.prefix}identity/"

    @property
    def sweep_state(self) -> str:
        """The sweeper's lease and watermark."""
        return f"{self.prefix}sweep/state.json"

    def audit_line(self, t: int, action: str, keys: ResourceKeys, op: str) -> str:
        """One audit line; `action` is a word of lower-case letters."""
        return f"{self.prefix}audit/{t:013d}_{action}_{keys.type}_{keys.id}_{op}.json"

    def submission(self, submitter: str, submission: str) -> str:
        """Prefix of one bulk submission; both names may be any text."""
        return f"{self.prefix}bulk/submit/{segment(submitter)}/{segment(submission)}/"


def parse_event(key: str) -> Event:
    """Read an event back from its key, of either kind. Raises ValueError when it is no event's key."""
    folder, _, name = key.rpartition("/")
    match = _EVENT.fullmatch(name)
    kind, _, last = folder.rpartition("/")
    if match is None or not (last == "system" or kind.endswith("history/type")):
        raise ValueError(f"not an event key: {key}")
    type_ = match["type"] or last
    return Event(int(match["t"]), type_, match["id"], int(match["version"]), match["method"], match["op"])


def parse_index_entry(keys: Keyspace, key: str) -> IndexEntry:
    """Read an entry of the identity index back from its key. Raises ValueError when it is none."""
    match = _ENTRY.fullmatch(key.removeprefix(keys.identity()))
    if match is None or not is_id(match["id"]):
        raise ValueError(f"not an index entry's key: {key}")
    return IndexEntry(match["type"], match["name"], match["id"], int(match["version"]))


def is_claim(keys: Keyspace, key: str) -> bool:
    """Is this the key of a claim on an identifier's value?"""
    return _CLAIM.fullmatch(key.removeprefix(keys.identity())) is not None
