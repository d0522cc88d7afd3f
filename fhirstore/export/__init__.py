"""Bulk export: a snapshot of a tenant at a time T as NDJSON files, written by a job that survives its workers.

| module | content |
|---|---|
| `request` | what a client asks, checked: `ExportRequest` → `Plan` |
| `manifest` | the manifest: one model, both shapes on the wire |
| `exports` | `clinic.exports`: start, status, cancel, files |

https://hl7.org/fhir/uv/bulkdata/export.html
"""
