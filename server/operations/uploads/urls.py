"""The URLs of an upload, below the base URL of its tenant.

| URL | what it is |
|---|---|
| `[base]/_upload/[id]` | GET, HEAD: what was received; PUT: a part; DELETE: gives it up |
| `[base]/_upload/[id]/content` | PUT and POST (a form) of all its content, with a ticket; where the store has no URLs |
"""

from __future__ import annotations

import re
from urllib.parse import urlencode

from fhirstore.errors import NotFound
from server.http.call import Call

UPLOAD_PATH = "/_upload/{upload}"
CONTENT_PATH = "/_upload/{upload}/content"

_ID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")


def upload_url(call: Call, id_: str) -> str:
    """Returns the URL of an upload."""
    return f"{call.base_url}/_upload/{id_}"


def content_url(call: Call, id_: str, signed: dict[str, str] | None = None) -> str:
    """Returns the URL that takes the content. `signed`: what a ticket says, for a PUT."""
    url = f"{call.base_url}/_upload/{id_}/content"
    return url if signed is None else f"{url}?{urlencode(signed)}"


def asked_id(call: Call) -> str:
    """Returns the id of the upload that the path names. Raises NotFound for what cannot be one."""
    id_ = call.parameters["upload"]
    if not _ID.fullmatch(id_):
        raise NotFound("There is no such upload: it was removed some time after its end, or there never was one")
    return id_
