"""Direct transfer over HTTP: content goes to the store itself, or in parts that resume, and then becomes a Binary.

| module | content |
|---|---|
| `parameters` | what the two operations are asked, and Parameters that answer |
| `requests` | Binary/$presign-upload and Binary/$complete-upload |
| `status` | what was received of an upload; giving it up |
| `content` | parts of an upload, and content that comes with a ticket where the store has no URLs |
| `form` | multipart/form-data, as a browser sends it, in a stream |
| `urls` | the URLs of an upload |

FHIR defines none of this; docs/binary.md does.
"""
