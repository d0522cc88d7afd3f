"""The files of an export: through this server, or as presigned URLs of the bucket (FHIRSTORE_EXPORT_URLS).

https://hl7.org/fhir/uv/bulkdata/export.html#bulk-data-output-file-request
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import time

from starlette.responses import Response

from fhirstore import ExportManifest
from server.content.files import File, file_answer
from server.http.call import Call
from server.operations.export.urls import asked_id, checked_name, file_url

NDJSON = "application/fhir+ndjson"
_LEAST = 60  # seconds that a presigned URL is valid


async def export_file(call: Call) -> Response:
    """GET and HEAD [base]/_export/[id]/[name]: one file, or a part of it. Raises NotFound."""
    id_, name = asked_id(call), checked_name(call.parameters["file"])
    exports = call.tenant.exports
    file = await exports.file(id_, name)
    facts = File(file.size, NDJSON, file.sha256, file.encoding, name)
    return await file_answer(call, facts, lambda start, end: exports.open_file(id_, name, start=start, end=end))


@dataclass(frozen=True, slots=True)
class FileUrls:
    """Where a client finds files. `of`: the URL by name; `expire_at`: epoch ms from which they are not valid."""

    of: Callable[[str], str]
    expire_at: int | None


async def urls_of(call: Call, id_: str, manifest: ExportManifest, *, expires_at: int | None) -> FileUrls:
    """Returns the URLs of the files of a manifest. `expires_at`: epoch ms at which the files are removed.

    Presigned URLs are made anew for each answer: a client that was too slow asks for the manifest again.
    """
    if call.settings.export_urls == "server":
        return FileUrls(lambda name: file_url(call, id_, name), expires_at)
    now = int(time() * 1000)
    seconds = call.settings.export_url_expiry
    if expires_at is not None:
        seconds = max(_LEAST, min(seconds, (expires_at - now) // 1000))
    urls = await call.tenant.exports.presigned(id_, [file.name for file in manifest.files], expires_in=seconds)
    return FileUrls(urls.__getitem__, now + seconds * 1000)
