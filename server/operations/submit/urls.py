"""The URLs of a submission's status, below the base URL of its tenant.

| URL | what it is |
|---|---|
| `[base]/_submission/[submission]/[watch]` | the polling location; `?status=separate`, `?page=` |
| `[base]/_submission/[submission]/[watch]/[name]` | a file of OperationOutcomes |
"""

from __future__ import annotations

from urllib.parse import quote

from fhirstore import SubmissionWatch
from server.http.call import Call

STATUS_PATH = "/_submission/{submission}/{watch}"
FILE_PATH = "/_submission/{submission}/{watch}/{file}"
SEPARATE = ("status", "separate")
PAGE = "page"


def status_url(call: Call, watch: SubmissionWatch, *, separate: bool = False) -> str:
    """Returns the polling location."""
    url = f"{call.base_url}/_submission/{watch.submission}/{watch.id}"
    return f"{url}?{'='.join(SEPARATE)}" if separate else url


def page_url(call: Call, watch: SubmissionWatch, page: int) -> str:
    """Returns the URL of another page of the status manifest."""
    return f"{status_url(call, watch)}?{PAGE}={page}"


def file_url(call: Call, watch: SubmissionWatch, name: str) -> str:
    """Returns the URL of a file."""
    return f"{status_url(call, watch)}/{quote(name, safe='')}"


def asked_watch(call: Call) -> SubmissionWatch:
    """Returns the polling location that the path names. Raises NotFound for what cannot be one."""
    return SubmissionWatch.named(call.parameters["submission"], call.parameters["watch"])
