"""The format: what lies in the bucket. This page is its specification; docs/format.md has the glossary of its terms.

Below a tenant's prefix (`{tenant}/` in a shared bucket, nothing in a bucket of its own):

| key | content |
|---|---|
| `resources/{type}/{id}/current.json` | the record of the current version; may carry a fence or an intent |
| `resources/{type}/{id}/_history/{version}.json` | the record of that version; immutable once committed |
| `history/type/{type}/{t}_{id}_{version}_{method}-{op}.json` | an event: empty, the key holds everything; the hash of the payload, where the version has one |
| `history/system/{t}_{type}_{id}_{version}_{method}-{op}.json` | the same event; every version has both |
| `tx/{txid}.json` | the decision of a transaction: committed or aborted, final |
| `identity/{type}/{value}/{system}_{id}_{version}` | empty; that version introduced this identifier |
| `identity/{type}/system/{system}_{id}_{version}` | empty; that version introduced an identifier of this system |
| `identity/{type}/{value}.claim` | the last writer that wanted to create a resource for this identifier value |
| `resources/Receipt/{id}/…` | the answer to a Bundle that was sent with an `Idempotency-Key` |
| `binary/{sha256}/entry.json` | which object has the content with this hash, and the state of it (`payload`) |
| `binary/{sha256}/refs/{type}_{id}_{version}_{op}` | empty; attempt `op` at that version refers to the content |
| `binary/payload/{ulid}` | the bytes of one upload; written once |
| `binary/uploads/{ulid}.json`, `binary/uploads/{ulid}/…` | a direct upload; the parts of it that the store has (`fhirstore.transfers.keys`) |
| `binary/uploads/signing-key.json` | the key of the tenant's upload tickets |
| `binary/incoming/{ulid}` | what a form has sent to the store |
| `sweep/state.json` | lease and watermark of the sweeper |
| `sweep/runs.json`, `sweep/payloads.json` | how far the sweeper has walked the runs, and the payloads |
| `audit/{t}_{action}_{type}_{id}_{op}.json` | an audit line: a purge, or a repair by fsck |
| `auditlog/{t}_{process}_{number}.ndjson.zst` | a segment of the audit trail: AuditEvents, sealed and chained (`fhirstore.audit`) |
| `bulk/queue/{kind}_{id}.json`, `bulk/queue/~{due}_{kind}_{id}.json` | where a live job is; where an ended one is, which is removed when due |
| `bulk/{kind}/{id}/…` | a job: `state.json`, `metadata.json`, `log/`, `files/`, `progress/` (`fhirstore.jobs`), and what its kind writes |
| `bulk/submit/{submitter}/{submission}/…` | the same of a bulk submission, whose keys `fhirstore.submit.keys` names |
| `access/clients/{client}.json` | a registered client of the server's token endpoint (`fhirstore.credentials`) |
| `access/keys.json` | the keys that the server signs access tokens with |
| `access/assertions/{sha256}` | empty; the assertion of a client with this hash was used |
| `index/state.json` | the lease of who makes a copy of the search index |
| `index/{layout}/{ulid}/…` | a copy of the search index: its parts, and the manifest that seals it (`fhirstore.indexing.copies`) |
| `runs/{dataset}/{key}={value}/…/run_id={id}/…` | a sealed run: claim, files and seal (`runs`) |

At the root of the store, names that begin with `_` belong to no tenant:

| key | content |
|---|---|
| `_probe/…` | what the probe of the store writes and removes |
| `_tenants/registry.json` | the tenants that are served, where the store itself says so (`registry`) |
| `_tenants/log/{t}_{event}_{tenant}_{op}` | empty; one for each change of the registry |
| `_audit/auditlog/…` | the audit trail of requests that were refused before their tenant was known |
| `_copy/{tenant}.json` | the state of a copy of that tenant's data into this store (`fhirstore.upkeep.copy`) |

* `{t}` is 13 digits of epoch milliseconds, so keys sort by time.
* Types and ids contain neither `_` nor `/`, so keys split without escaping.
* `{value}` and `{system}` are hashes of 32 and 16 hex digits, or `none` (`fhirstore.index.names`).
* Names from outside without such an alphabet (`{submitter}`, `{submission}`, `{client}`) are written by `keyspace.segment`.
* A claim stays when its writer is done. The next writer takes it over; a DELETE could not tell a claim that was read
  from the next one.

`keyspace` builds and reads every key. `record` defines the record of a version, member by member, and `decision` the
decision of a transaction. `digest` hashes them. `runs` defines sealed runs, `payload` payloads, `registry` the registry of
tenants. `kinds` says what lies at a key.
"""  # noqa: E501 - a table row is one line
