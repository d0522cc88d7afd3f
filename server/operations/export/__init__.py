"""Bulk export over HTTP: kick-off, status, DELETE and files, in the wire versions 3 and 4 of the IG.

| module | content |
|---|---|
| `parameters` | what a kick-off asks: the URL or a Parameters resource → `ExportRequest` |
| `kickoff` | $export of the system, of all Patients, of a Group |
| `status` | polls and DELETE, the manifest |
| `files` | output files |

https://hl7.org/fhir/uv/bulkdata/export.html
"""
