"""Bulk submit: a provider names manifests of NDJSON files, and the tenant takes their resources over.

https://hl7.org/fhir/uv/bulkdata/ (4.0.0-ballot, submit). Read the modules in this order:

| module | content |
|---|---|
| `submitters` | who may submit: the configuration |
| `request`, `parameters` | what a request says; how it is read from a Parameters resource |
| `state` | the states of a submission and of its manifests, as tables; the submission's document |
| `keys`, `tokens` | the names of all objects of a submission; the op tokens by which a line's version is recognised |
| `source`, `local` | where manifests and files are read from: the interface, and files of this machine |
| `fetching` | the same over the network, guarded |
| `given` | manifests that are given and not fetched |
| `manifest` | reads one page of a manifest |
| `lines`, `line` | splits a file into bounded lines and segments; reads a line, and decides what it writes |
| `segment` | the bookkeeping of a segment: its plan, written before its first commit, and its results |
| `once`, `undo` | the protocols (no I/O): writes a line once; takes what a manifest wrote back |
| `ingest`, `withdrawal` | carry them out: a manifest from its first page to its summary, and its undoing |
| `outcomes`, `summary`, `report` | OperationOutcomes of lines; what became of a manifest |
| `status` | the status manifest |
| `work` | the job |
| `watches` | polling locations |
| `submissions` | the library's face, `clinic.submissions` |

What makes it safe to kill a process anywhere: the plan of a segment names its raw lines, and the version that each
resource had, before any of its lines is committed. So whoever comes after can find out, by op tokens above that
version, whether a line was committed, and undo it.
"""
