"""Builds and reads every key that fhirstore writes. The table of keys is in `fhirstore.format`.

Different names make different keys, and no name leaves its tenant's prefix: the builders refuse a malformed type, id or
tenant, so they do not depend on a check elsewhere.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

import msgspec

from fhirstore.errors import InvalidResource, UnknownTenant
from fhirstore.fhir.definitions.ids import is_id

RECEIPT = "Receipt"
"""A type beside the FHIR types: the answers to Bundles with an Idempotency-Key. No interaction or history shows it."""

COPIES = "_copy/"
"""The prefix of the states of copies into this store, at its root."""

WITHOUT_TENANT = "_audit/"
"""The prefix of the audit trail of requests that were refused before their tenant was known, at the store's root."""

_TYPE = re.compile(r"[A-Z][A-Za-z]{1,63}")
_TENANT = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_EVENT = re.compile(
    r"(?P<t>\d{13})_(?:(?P<type>[A-Z][A-Za-z]+)_)?(?P<id>[A-Za-z0-9.-]+)_(?P<version>\d+)_(?P<method>[A-Z]+)-(?P<op>[A-Za-z0-9]+)\.json"
)
_ENTRY = re.compile(
    r"(?P<type>[A-Z][A-Za-z]+)/(?P<name>[0-9a-f]{32}/(?:[0-9a-f]{16}|none)|system/[0-9a-f]{16})"
    r"_(?P<id>[A-Za-z0-9.-]+)_(?P<version>[1-9]\d*)"
)
_AUDIT = re.compile(r"(?P<t>\d{13})_[a-z]+_(?P<type>[A-Z][A-Za-z]+)_(?P<id>[A-Za-z0-9.-]+)_[A-Za-z0-9]+\.json")
_CLAIM = re.compile(r"[A-Z][A-Za-z]+/[0-9a-f]{32}\.claim")
_REFERENCE = re.compile(
    r"(?P<sha256>[0-9a-f]{64})/refs/(?P<type>[A-Z][A-Za-z]+)_(?P<id>[A-Za-z0-9.-]+)_(?P<version>[1-9]\d*)_(?P<op>[A-Za-z0-9]+)"
)
_PAYLOAD_ENTRY = re.compile(r"(?P<sha256>[0-9a-f]{64})/entry\.json")
_SEARCH_INDEX = re.compile(
    r"(?P<layout>[1-9]\d{0,5})/(?P<id>[0-9A-HJKMNP-TV-Z]{26})/(?P<name>manifest\.json|\d{5}\.zst)"
)
_KIND = re.compile(r"[a-z]{1,20}")
_JOB_ID = re.compile(r"[A-Za-z0-9-]{1,64}")
_QUEUED = re.compile(r"(?:~(?P<due>\d{13})_)?(?P<kind>[a-z]{1,20})_(?P<id>[A-Za-z0-9-]{1,64})\.json")
_PROGRESS = re.compile(r"[A-Za-z0-9._-]{1,100}")
_TELLABLE = re.compile(r"[A-Za-z0-9 ._-]{1,100}")
_PLAIN = re.compile(r"[A-Za-z0-9-]{1,100}")


def is_tenant_id(text: str) -> bool:
    """Returns whether `text` is a well-formed tenant id."""
    return _TENANT.fullmatch(text) is not None


def tenant_id(text: str) -> str:
    """Returns a tenant id: 1 to 63 of `a-z 0-9 -`, no dash at either end (a DNS label). Raises UnknownTenant."""
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
    """Returns a path segment that is unique to the text: plain names stay, others become `~` and a SHA-256 in hex."""
    if _PLAIN.fullmatch(text):
        return text
    return "~" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True)
class Event:
    """One history event: attempt `op` made version `version` of `type`/`id` at `t` (epoch ms) by `method`."""

    t: int
    type: str
    id: str
    version: int
    method: str
    op: str


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """One entry of the identity index: version `version` of `type`/`id` was to have the identifier or system `name`."""

    type: str
    name: str  # `{value}/{system}` or `system/{system}`
    id: str
    version: int


@dataclass(frozen=True, slots=True)
class Reference:
    """Attempt `op` at version `version` of `type`/`id` refers to the content with this hash, or did."""

    sha256: str
    type: str
    id: str
    version: int
    op: str


@dataclass(frozen=True, slots=True)
class QueueName:
    """What the key of a queue entry says of a job. `due`: when an ended job is removed, epoch ms; None: it is live."""

    kind: str
    id: str
    due: int | None = None


class JobKeys(msgspec.Struct, frozen=True):
    """The keys of one job, below its prefix, which ends with `/`."""

    prefix: str

    @property
    def state(self) -> str:
        return f"{self.prefix}state.json"

    @property
    def metadata(self) -> str:
        return f"{self.prefix}metadata.json"

    @property
    def logs(self) -> str:
        """The prefix of the parts of the log."""
        return f"{self.prefix}log/"

    def log(self, epoch: int, part: int) -> str:
        return f"{self.logs}{epoch:06d}-{part:06d}.jsonl"

    @property
    def file_records(self) -> str:
        """The prefix of the records of the job's files."""
        return f"{self.prefix}files/"

    def records_of(self, name: str) -> str:
        """The prefix of the records of one file: one for each run that wrote it. The name may be any text."""
        plain = name if _PROGRESS.fullmatch(name) and name.strip(".") else segment(name + "/")
        return f"{self.file_records}{plain}/"

    def file_record(self, name: str, epoch: int) -> str:
        return f"{self.records_of(name)}{epoch:06d}.json"

    def progress(self, name: str) -> str:
        """The key of a progress object. Raises ValueError for a name that no key can hold."""
        if not _PROGRESS.fullmatch(name):
            raise ValueError("a progress object is named by letters, digits, '.', '_' and '-'")
        return f"{self.prefix}progress/{name}.json"


class ResourceKeys(msgspec.Struct, frozen=True):
    """The keys of one resource. Made by `Keyspace.resource`, which checks `type` and `id`."""

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
        """The key of an index entry. `name`: as in `fhirstore.index.names`."""
        return f"{self.prefix}identity/{self.type}/{name}_{self.id}_{version}"

    def index_entries(self, name: str) -> str:
        """The prefix of this resource's entries with that name."""
        return f"{self.prefix}identity/{self.type}/{name}_{self.id}_"

    def reference(self, sha256: str, version: int, op: str) -> str:
        """The key of the reference of attempt `op` at `version` to the content with this hash."""
        return f"{Keyspace(self.prefix).references(sha256)}{self.type}_{self.id}_{version}_{op}"

    def payload_entry(self, sha256: str) -> str:
        """The key of the entry of a content that this resource refers to."""
        return Keyspace(self.prefix).payload_entry(sha256)

    def transaction(self, txid: str) -> str:
        """The key of the decision of a transaction that this resource takes part in."""
        return Keyspace(self.prefix).transaction(txid)


@dataclass(frozen=True, slots=True)
class Keyspace:
    """All keys of one tenant; `prefix` is empty or ends with `/`."""

    prefix: str

    @classmethod
    def of_tenant(cls, tenant: str) -> Keyspace:
        """Returns the keys of a tenant in a shared bucket. Raises UnknownTenant."""
        return cls(tenant_id(tenant) + "/")

    def resource(self, type: str, id: str) -> ResourceKeys:
        """Returns the keys of `type`/`id`. Raises InvalidResource where either is malformed."""
        if not _TYPE.fullmatch(type):
            raise InvalidResource("Malformed resource type: letters only, starting with a capital", code="value")
        if not is_id(id):
            raise InvalidResource(
                "Malformed id: use 1 to 64 characters of A-Z, a-z, 0-9, '-' and '.', and not '.' or '..' alone",
                code="value",
            )
        return ResourceKeys(self.prefix, type, id)

    def type_history(self, type: str) -> str:
        """The prefix of a type's events, oldest first."""
        return f"{self.prefix}history/type/{type}/"

    def system_history(self) -> str:
        """The prefix of the tenant's events, oldest first."""
        return f"{self.prefix}history/system/"

    def resources(self, type: str | None = None, id: str | None = None) -> str:
        """The prefix of the objects of all resources, of a type, or of one resource."""
        below = "".join(f"{name}/" for name in (type, id) if name is not None)
        return f"{self.prefix}resources/{below}"

    def history_types(self) -> str:
        """The prefix below which the events of each type are a folder."""
        return f"{self.prefix}history/type/"

    def transactions(self) -> str:
        """The prefix of the decisions of transactions."""
        return f"{self.prefix}tx/"

    def transaction(self, txid: str) -> str:
        """The key of the decision of a transaction. Its id is an op token."""
        return f"{self.prefix}tx/{txid}.json"

    def index(self, type: str, name: str) -> str:
        """The prefix of the entries with this name or, where it is only a `{value}`, with this value in any system."""
        return f"{self.prefix}identity/{type}/{name}{'_' if '/' in name else '/'}"

    def identity_claim(self, type: str, value: str) -> str:
        """The key of the claim on all identifiers whose value has this hash, or on the condition that has it."""
        return f"{self.prefix}identity/{type}/{value}.claim"

    def identity(self) -> str:
        """The prefix of the whole identity index, claims included."""
        return f"{self.prefix}identity/"

    @property
    def sweep_state(self) -> str:
        """The key of the sweeper's lease and watermark."""
        return f"{self.prefix}sweep/state.json"

    def audit_line(self, t: int, action: str, keys: ResourceKeys, op: str) -> str:
        """The key of an audit line. `action`: a word of lower-case letters."""
        return f"{self.prefix}audit/{t:013d}_{action}_{keys.type}_{keys.id}_{op}.json"

    def audit(self) -> str:
        """The prefix of the audit lines, oldest first."""
        return f"{self.prefix}audit/"

    def audit_trail(self) -> str:
        """The prefix of the segments of the audit trail (`fhirstore.audit`), oldest first."""
        return f"{self.prefix}auditlog/"

    def job(self, kind: str, id: str) -> str:
        """The prefix of a job whose kind has no other place for it. Raises ValueError where either is malformed."""
        return f"{self.prefix}bulk/{_job_name(kind, id).replace('_', '/', 1)}/"

    def jobs(self) -> str:
        """The prefix of all that jobs store."""
        return f"{self.prefix}bulk/"

    def job_queue(self) -> str:
        """The prefix of the queue: the entries of live jobs in order, then those of ended ones by time of removal."""
        return f"{self.prefix}bulk/queue/"

    def queued_job(self, name: QueueName) -> str:
        """The key of a job's entry in the queue. Raises ValueError where the name is malformed."""
        due = "" if name.due is None else f"~{name.due:013d}_"
        return f"{self.job_queue()}{due}{_job_name(name.kind, name.id)}.json"

    def runs(self) -> str:
        """The prefix of all sealed runs (`fhirstore.format.runs`)."""
        return f"{self.prefix}runs/"

    @property
    def run_sweep_state(self) -> str:
        """The key of how far the sweeper has walked the runs."""
        return f"{self.prefix}sweep/runs.json"

    def payloads(self) -> str:
        """The prefix of all that belongs to payloads (`fhirstore.format.payload`)."""
        return f"{self.prefix}binary/"

    def payload_objects(self) -> str:
        """The prefix of the payload objects."""
        return f"{self.prefix}binary/payload/"

    def payload_entry(self, sha256: str) -> str:
        """The key of the entry of the content with this hash."""
        return f"{self.prefix}binary/{sha256}/entry.json"

    def references(self, sha256: str) -> str:
        """The prefix of the references to the content with this hash."""
        return f"{self.prefix}binary/{sha256}/refs/"

    @property
    def payload_sweep_state(self) -> str:
        """The key of how far the sweeper has walked the payloads."""
        return f"{self.prefix}sweep/payloads.json"

    def search_index(self) -> str:
        """The prefix of all copies of the search index, and of the lease of who makes one."""
        return f"{self.prefix}index/"

    @property
    def search_index_state(self) -> str:
        """The key of the lease of who makes a copy of the search index."""
        return f"{self.prefix}index/state.json"

    def search_index_copies(self, layout: int) -> str:
        """The prefix of the copies whose tables have this layout, oldest first."""
        return f"{self.prefix}index/{layout}/"

    def search_index_copy(self, layout: int, id: str) -> str:
        """The prefix of one copy. `id`: a ULID."""
        return f"{self.prefix}index/{layout}/{id}/"

    def access(self) -> str:
        """The prefix of what the server's token endpoint stores."""
        return f"{self.prefix}access/"

    def clients(self) -> str:
        """The prefix of the registered clients."""
        return f"{self.prefix}access/clients/"

    def client(self, id: str) -> str:
        """The key of a registered client. Its id may be any text."""
        return f"{self.clients()}{segment(id)}.json"

    @property
    def signing_keys(self) -> str:
        """The key of the keys that access tokens are signed with."""
        return f"{self.prefix}access/keys.json"

    def used_assertions(self) -> str:
        """The prefix of the assertions that were used."""
        return f"{self.prefix}access/assertions/"

    def used_assertion(self, digest: str) -> str:
        """The key of an assertion that was used. `digest`: SHA-256 of client and `jti`, in hex."""
        return f"{self.used_assertions()}{digest}"

    def submission(self, submitter: str, submission: str) -> str:
        """The prefix of a bulk submission. Both names may be any text."""
        return f"{self.submissions}{segment(submitter)}/{segment(submission)}/"

    @property
    def submissions(self) -> str:
        """The prefix of all bulk submissions."""
        return f"{self.prefix}bulk/submit/"


def _job_name(kind: str, id: str) -> str:
    if not _KIND.fullmatch(kind) or not _JOB_ID.fullmatch(id):
        raise ValueError("a kind of job has lower-case letters only; a job's id has letters, digits and '-'")
    return f"{kind}_{id}"


def is_job_id(text: str) -> bool:
    """Returns whether `text` may be a job's id."""
    return _JOB_ID.fullmatch(text) is not None


def parse_queue_key(key: str) -> QueueName:
    """Returns what the key of a queue entry says. Raises ValueError where it is not the key of one."""
    match = _QUEUED.fullmatch(key.rpartition("/")[2])
    if match is None:
        raise ValueError(f"not the key of a queue entry: {key}")
    return QueueName(match["kind"], match["id"], None if match["due"] is None else int(match["due"]))


def parse_event(key: str) -> Event:
    """Returns the event of a key, of either folder. Raises ValueError where it is not the key of an event."""
    folder, _, name = key.rpartition("/")
    match = _EVENT.fullmatch(name)
    kind, _, last = folder.rpartition("/")
    if match is None or not (last == "system" or kind.endswith("history/type")):
        raise ValueError(f"not an event key: {key}")
    type_ = match["type"] or last
    return Event(int(match["t"]), type_, match["id"], int(match["version"]), match["method"], match["op"])


def copy_state(tenant: str) -> str:
    """The key of the state of a copy into this store, of the tenant's data. At the root of the store."""
    return f"{COPIES}{tenant}.json"


def parse_audit_line(key: str) -> tuple[int, str, str] | None:
    """Returns the time (epoch ms), type and id in the key of an audit line; None where it is not the key of one."""
    match = _AUDIT.fullmatch(key.rpartition("/")[2])
    return None if match is None else (int(match["t"]), match["type"], match["id"])


def parse_search_index_key(keys: Keyspace, key: str) -> tuple[int, str, str] | None:
    """Returns the layout, the id and the name within it of an object of a copy of the search index, or None."""
    match = _SEARCH_INDEX.fullmatch(key.removeprefix(keys.search_index()))
    return None if match is None else (int(match["layout"]), match["id"], match["name"])


def parse_index_entry(keys: Keyspace, key: str) -> IndexEntry:
    """Returns the index entry of a key. Raises ValueError where it is not the key of one."""
    match = _ENTRY.fullmatch(key.removeprefix(keys.identity()))
    if match is None or not is_id(match["id"]):
        raise ValueError(f"not an index entry's key: {key}")
    return IndexEntry(match["type"], match["name"], match["id"], int(match["version"]))


def is_claim(keys: Keyspace, key: str) -> bool:
    """Returns whether this is the key of a claim on an identifier value."""
    return _CLAIM.fullmatch(key.removeprefix(keys.identity())) is not None


def parse_reference(keys: Keyspace, key: str) -> Reference | None:
    """Returns the reference of a key; None where it is not the key of one."""
    match = _REFERENCE.fullmatch(key.removeprefix(keys.payloads()))
    if match is None or not is_id(match["id"]):
        return None
    return Reference(match["sha256"], match["type"], match["id"], int(match["version"]), match["op"])


def parse_payload_entry(keys: Keyspace, key: str) -> str | None:
    """Returns the hash in the key of an entry; None where it is not the key of one."""
    match = _PAYLOAD_ENTRY.fullmatch(key.removeprefix(keys.payloads()))
    return None if match is None else match["sha256"]
