"""Bulk export: a snapshot of a tenant at a time T as NDJSON files, written by a job that survives its workers.

Read the modules in this order. What decides does no I/O, and runs in the simulator (`tests/simulation/exports`).

| module | content |
|---|---|
| `request` | what a client asks, checked: `ExportRequest` → `Plan` |
| `manifest` | the manifest: one model, both shapes on the wire |
| `snapshot` | which version of a resource is visible at T |
| `scan` | the candidates: all ids of a type, those that changed, or given ones |
| `selection`, `attachments` | which versions are exported, and the lines that they become |
| `steps` | what an export needs done, as values |
| `tasks` | a type: from candidates to files, segment by segment |
| `provenance`, `blocks`, `spool` | Provenance by its targets; output organized by Patient; facts on the worker's disk |
| `members` | the patients of a Group |
| `outcomes` | what the error files say |
| `progress`, `pages` | what is stored of how far it is; a manifest in pages |
| `export` | the whole, from the first wait to the seal |
| `act`, `job` | takes the steps on a store; the kind of job |
| `exports` | `clinic.exports`: start, status, cancel, files |

Below a job's prefix, `bulk/export/{id}/` (its `state.json`, `metadata.json`, `log/`: `fhirstore.jobs`):

| key | content |
|---|---|
| `members.json` | the ids of a Group's patients, frozen; IfAbsent |
| `progress/{task}.json` | how far a task is, and its files; `progress/words.json`: for X-Progress |
| `output/{task}.{part}.{epoch}.ndjson` | a file; `deleted.…` and `error.…` for those of other kinds |
| `manifest/{n}.json` | a page of the manifest, where a client may read it in pages; IfAbsent |
| `manifest.json` | the manifest; IfAbsent; the seal |

https://hl7.org/fhir/uv/bulkdata/export.html
"""
