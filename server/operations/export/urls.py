"""The URLs of an export, below the base URL of its tenant.

| URL | what it is |
|---|---|
| `[base]/_export/[id]` | the polling location; `?status=separate` where that was preferred, `?page=` of a manifest |
| `[base]/_export/[id]/[name]` | a file |

There is no `$` in them, so that they can be pasted into a shell.
"""

from __future__ import annotations

import re
from urllib.parse import quote

from fhirstore.errors import NotFound
from server.http.call import Call

STATUS_PATH = "/_export/{job}"
FILE_PATH = "/_export/{job}/{file}"
SEPARATE = ("status", "separate")
PAGE = "page"

_ID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_GONE = "There is no such export: it was cancelled or has expired, or there never was one"


def status_url(call: Call, id_: str, *, separate: bool = False) -> str:
    """Returns the polling location of an export."""
    url = f"{call.base_url}/_export/{id_}"
    return f"{url}?{'='.join(SEPARATE)}" if separate else url


def page_url(call: Call, id_: str, name: str) -> str:
    """Returns the URL of another page of its manifest."""
    return f"{call.base_url}/_export/{id_}?{PAGE}={quote(name, safe='')}"


def file_url(call: Call, id_: str, name: str) -> str:
    """Returns the URL of one of its files."""
    return f"{call.base_url}/_export/{id_}/{quote(name, safe='')}"


def asked_id(call: Call) -> str:
    """Returns the id of the export that the path names. Raises NotFound for what cannot be one."""
    id_ = call.parameters["job"]
    if not _ID.fullmatch(id_):
        raise NotFound(_GONE)
    return id_


def checked_name(name: str) -> str:
    """Returns the name of a file or page. Raises NotFound for what cannot be one."""
    if not _NAME.fullmatch(name):
        raise NotFound("The export has no such file")
    return name
