"""The parameters, headers, bodies and statuses of each interaction, for the OpenAPI document.

https://hl7.org/fhir/R4/http.html#summary. openapi.py adds the parameters of every interaction (`_format` …) and the
statuses with which any request may fail.
"""

from __future__ import annotations

from dataclasses import dataclass

from fhirstore import JsonPatch, MergePatch, ValidateRequest
from server.content.media import FHIR_JSON, FHIR_XML


@dataclass(frozen=True, slots=True)
class Contract:
    """One interaction. `query`, `headers`: names that it reads. `body`: resource, bundle, parameters, patch, form,
    octets or empty. `answer`: resource (in any form), outcome, manifest or file.

    `success`, `failure`: its own statuses. `modes`: the values of the parameter `mode`. `searches`: it also has the
    parameters of searches of the type; `criteria`: those of them that are criteria.
    """

    success: tuple[int, ...] = (200,)
    failure: tuple[int, ...] = ()
    query: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    body: str = ""
    modes: tuple[str, ...] = ()
    answer: str = "resource"
    searches: bool = False
    criteria: bool = False


_EXPECTED = ("If-Match", "If-Unmodified-Since", "If-None-Match")
_PAGES = ("_count", "_since", "_at", "_sort")
_WRITES = (413, 415, 422)
PATCH_FORMATS = (JsonPatch.media_type, MergePatch.media_type, FHIR_JSON, FHIR_XML)

_PARTS = ("Range", "If-Range")
READ = Contract(
    (200, 206, 304, 307), (404, 410, 412, 413, 416), ("_attachments",), (*_EXPECTED, "If-Modified-Since", *_PARTS)
)
VREAD = READ
CREATE = Contract(
    (200, 201),
    (404, 409, 412, 501, *_WRITES),
    headers=("If-None-Exist", "Idempotency-Key", "Prefer"),
    body="resource",
    criteria=True,
)
UPDATE = Contract((200, 201), (404, 409, 412, *_WRITES), headers=(*_EXPECTED, "Prefer"), body="resource")
PATCH = Contract((200,), (404, 410, 412, *_WRITES), headers=(*_EXPECTED, "Prefer"), body="patch")
DELETE = Contract((200, 204), (404, 412), headers=(*_EXPECTED, "Prefer"))
CONDITIONAL_UPDATE = Contract(
    (200, 201), (404, 409, 412, 501, *_WRITES), headers=(*_EXPECTED, "Prefer"), body="resource", criteria=True
)
CONDITIONAL_PATCH = Contract(
    (200,), (404, 410, 412, 501, *_WRITES), headers=(*_EXPECTED, "Prefer"), body="patch", criteria=True
)
CONDITIONAL_DELETE = Contract((200, 204), (404, 412, 501), headers=(*_EXPECTED, "Prefer"), criteria=True)
HISTORY = Contract((200,), (404,), _PAGES, ("Prefer",))
SEARCH = Contract((200,), (404, 410, 501), ("_count",), ("Prefer",), searches=True)
SEARCH_ALL = Contract((200,), (410, 501), ("_type", "_count"), ("Prefer",), searches=True)
SEARCH_FORM = Contract((200,), (404, 410, 413, 415, 501), ("_count",), ("Prefer",), "form", searches=True)
SEARCH_ALL_FORM = Contract((200,), (410, 413, 415, 501), SEARCH_ALL.query, ("Prefer",), "form", searches=True)
SEARCH_COMPARTMENT = SEARCH
_EVERYTHING = ("start", "end", "_since", "_type", "_count")
EVERYTHING = Contract((200,), (404, 410, 501), _EVERYTHING, ("Prefer",))
LASTN = Contract((200,), (410, 501), ("max", "patient", "subject", "category", "code"), ("Prefer",))
EVERYTHING_POST = Contract((200,), (404, 410, 413, 415, 501), (), ("Prefer",), body="parameters")
BUNDLE = Contract(
    (200,), (404, 405, 409, 410, 412, 501, *_WRITES), headers=("Idempotency-Key", "Prefer"), body="bundle"
)
CAPABILITIES = Contract((200, 304), (), ("mode",), ("If-None-Match",), modes=("full", "normative", "terminology"))
VALIDATE = Contract((200,), (404, 410, *_WRITES), ("mode", "profile"), (), "resource", modes=ValidateRequest.MODES)
VALIDATE_STORED = Contract((200,), (404, 422), VALIDATE.query, modes=VALIDATE.modes)
JOBS = Contract((200,), (), ("kind",))
JOB = Contract((200,), (404,), ("id",))
JOB_FILE = Contract((200, 206, 304), (404, 416), ("id", "name"), ("Range", "If-Range", "If-None-Match"))
PRESIGN_UPLOAD = Contract((200,), (413, 415), body="parameters")
COMPLETE_UPLOAD = Contract((200, 201, 202), (404, 409, 410, 413, 415, 422), headers=("Prefer",), body="parameters")
UPLOAD_STATUS = Contract((200,), (404,))
UPLOAD_PART = Contract((204,), (404, 409, 410, 413, 415, 422), headers=("Content-Range",), body="octets")
UPLOAD_DELETE = Contract((200,), (404, 409), answer="outcome")
UPLOAD_CONTENT = Contract((204,), (403, 404, 405, 409, 410, 413, 415, 422), body="octets")
ADMIN = Contract((200,), (404, 501))
_EXPORT = (
    *("_outputFormat", "_since", "_until", "_type", "_elements", "_typeFilter", "includeAssociatedData"),
    *("organizeOutputBy", "allowPartialManifests"),
)
EXPORT = Contract((202,), (405, 429), _EXPORT, ("Prefer",), answer="outcome")
EXPORT_POST = Contract((202,), (413, 415, 429), (), ("Prefer",), body="parameters", answer="outcome")
EXPORT_GROUP = Contract((202,), (404, 405, 410, 429), _EXPORT, ("Prefer",), answer="outcome")
EXPORT_GROUP_POST = Contract((202,), (404, 410, 413, 415, 429), (), ("Prefer",), body="parameters", answer="outcome")
EXPORT_STATUS = Contract((200, 202), (404, 429), ("status", "page"), answer="manifest")
EXPORT_DELETE = Contract((202,), (404,), ("status",), answer="outcome")
SUBMIT = Contract((200,), (403, 404, 409, 413, 415, 429, 501), body="parameters", answer="outcome")
SUBMIT_STATUS = Contract((202,), (403, 404, 413, 415), headers=("Prefer",), body="parameters", answer="outcome")
UNDESCRIBED = Contract()
EXPORT_FILE = Contract((200, 206, 304), (404, 416), headers=("Range", "If-Range", "If-None-Match"), answer="file")
