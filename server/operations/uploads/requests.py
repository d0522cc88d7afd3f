"""Binary/$presign-upload begins an upload, and Binary/$complete-upload makes the Binary of what was sent.

Nothing of an upload is visible before it is completed. A repeated completion makes nothing, and has the same answer,
with 200 instead of 201.
"""

from __future__ import annotations

from starlette.responses import Response

from fhirstore import BegunUpload
from fhirstore.objects import PresignedPost, PresignedPut
from server.auditing.touched import touch_job
from server.http.answers import resource_answer, stored
from server.http.call import Call
from server.http.parameters import refuse_others
from server.operations.uploads.parameters import (
    Parameter,
    asked_completion,
    asked_upload,
    facts_of,
    pair,
    parameters_of,
)
from server.operations.uploads.urls import content_url, upload_url

_AGAIN = "2"  # seconds until a completion that goes on is asked for again
_WAIT = 10.0  # seconds, or a third of a request's time, that a completion is waited for


async def presign_upload(call: Call) -> Response:
    """POST [base]/Binary/$presign-upload: 200 with what to send, and where to.

    Raises InvalidResource, MalformedContent, Refused (415), RequestRefused, Unavailable.
    """
    refuse_others(call)
    begun = await call.tenant.uploads.begin(await asked_upload(call), largest=call.settings.max_binary)
    touch_job(call.scope, begun.upload.id)
    shown = [*facts_of(begun.upload), *_how(call, begun)]
    headers = {"Location": upload_url(call, begun.upload.id)}
    return resource_answer(call, parameters_of(shown), headers=headers)


async def complete_upload(call: Call) -> Response:
    """POST [base]/Binary/$complete-upload: 201 with the Binary, 200 for one that was made before.

    202 with what is known of the upload while its content is being verified: the client asks again. Raises
    UploadConflict (409: not all is there), UploadGone (410), UploadRefused (422: not what was promised), NotFound.
    """
    refuse_others(call)
    id_, sha256, size = await asked_completion(call)
    touch_job(call.scope, id_)
    wait = min(_WAIT, call.settings.request_timeout / 3)
    done = await call.tenant.uploads.complete(id_, sha256=sha256, size=size, wait=wait)
    if done.version is not None:
        return await stored(call, done.version, status=201 if done.created else 200)
    shown = facts_of(done.upload)
    headers = {"Retry-After": _AGAIN, "Content-Location": upload_url(call, id_)}
    if done.upload.checked:
        headers["X-Progress"] = f"{done.upload.checked:,} bytes are verified"
    return resource_answer(call, parameters_of(shown), status=202, headers=headers)


def _how(call: Call, begun: BegunUpload) -> list[Parameter]:
    """Returns the URL, and the headers or fields to send with the content."""
    id_, how = begun.upload.id, begun.how
    if isinstance(how, PresignedPut):
        return [_url(how.url), *(pair("header", *one) for one in how.headers.items())]
    if isinstance(how, PresignedPost):
        return [_url(how.url), *(pair("field", *one) for one in how.fields.items())]
    if how is None:
        return [_url(upload_url(call, id_))]
    if begun.upload.method == "put":
        return [_url(content_url(call, id_, how)), pair("header", "content-type", begun.upload.content_type)]
    return [_url(content_url(call, id_)), *(pair("field", *one) for one in how.items())]


def _url(url: str) -> Parameter:
    return {"name": "url", "valueUrl": url}
