"""Direct transfer: a client sends content to the store itself, or in parts that resume; then it becomes a Binary.

| module | content |
|---|---|
| `record` | an upload's record, its state machine, what a client asks for |
| `keys` | the keys of an upload |
| `changing` | begin, and every change of the record: a compare-and-set |
| `parts` | content that comes in parts, through this library |
| `tickets` | signed, expiring permissions to send content through a server, for stores without URLs of their own |
| `completing` | from what was sent to a Binary: verify, admit, create, once |
| `sweep` | uploads that nobody completed expire; records are removed a day after their end |
| `transfers` | `Uploads`: all of it on one tenant |

Three ways to send, `method`: `post`, a form; `put`, one request; `parts`, any number of requests, which resume by the
id of the upload. On S3, forms and PUTs go to the bucket, presigned. A presigned PUT has `If-None-Match: *` and goes to
the payload's own key: nobody can replace what it wrote. S3 has no such condition for forms, so a form goes to
`binary/incoming/`, and is copied at completion to a key that no client can write.

Nothing is visible before completion. The commit point is that of the Binary, whose id derives from the upload's: any
number of completions make one Binary.
"""

from fhirstore.transfers.record import METHODS, Upload, UploadRequest
from fhirstore.transfers.tickets import Ticket
from fhirstore.transfers.transfers import BegunUpload, Completion, Uploads, UploadStatus

__all__ = [
    "METHODS",
    "BegunUpload",
    "Completion",
    "Ticket",
    "Upload",
    "UploadRequest",
    "UploadStatus",
    "Uploads",
]
