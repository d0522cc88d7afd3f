"""Bulk submit over HTTP: a provider's requests, its questions about their status, and the files that answer them.

| module | content |
|---|---|
| `requests` | $bulk-submit and $bulk-submit-status |
| `status` | polls and DELETE, the status manifest, files of OperationOutcomes |
| `urls` | polling locations and files |

https://hl7.org/fhir/uv/bulkdata/ (4.0.0-ballot, submit)
"""
