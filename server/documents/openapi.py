"""The OpenAPI document, computed from the route table, at /openapi.json (https://spec.openapis.org/oas/v3.1.0).

It describes HTTP: paths, parameters, headers, statuses, media types. The schema of resources is FHIR's
(https://hl7.org/fhir/R4/fhir.schema.json.zip); here a resource is an object with a resourceType.

`/openapi.json?type=Patient,Observation` has paths of these types as well, with the search parameters of each: all types
together would be megabytes.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route as HttpRoute

from fhirstore import FORM_PARAMETERS, Definitions, SupportedSearch, __version__
from fhirstore.threads import offload
from server.access.forwarded import PREFIX
from server.access.tenant import HEADER as TENANT_HEADER
from server.content.media import FHIR_JSON, FHIR_XML
from server.documents.contract import PATCH_FORMATS, Contract
from server.documents.search_parameters import criteria, search_parameters
from server.http.call import FHIR_PATH
from server.http.refusal import Refused
from server.http.route import Route
from server.settings import Settings

_ID: dict[str, object] = {"type": "string", "pattern": r"^[A-Za-z0-9\-.]{1,64}$"}
_DATE: dict[str, object] = {"type": "string", "examples": ["2024", "2024-05-01", "2024-05-01T10:00:00Z"]}
_QUERY: dict[str, dict[str, object]] = {
    "_format": {"type": "string", "examples": ["json", "xml"]},
    "_pretty": {"type": "boolean"},
    "_summary": {"enum": ["true", "text", "data", "count", "false"]},
    "_elements": {"type": "string", "examples": ["id,meta"]},
    "_attachments": {"enum": ["inline", "url"]},
    "_count": {"type": "integer", "minimum": 0, "maximum": 999_999_999},
    "_since": {"type": "string", "format": "date-time"},
    "max": {"type": "integer", "minimum": 1, "maximum": 1_000},
    "patient": {"type": "string", "examples": ["Patient/1"]},
    "subject": {"type": "string", "examples": ["Patient/1"]},
    "category": {"type": "string", "examples": ["vital-signs"]},
    "code": {"type": "string", "examples": ["http://loinc.org|8867-4"]},
    "start": _DATE,
    "end": _DATE,
    "_at": _DATE,
    "_sort": {"enum": ["-_lastUpdated", "_lastUpdated", "none"]},
    "_id": _ID,
    "_lastUpdated": {"type": "string", "examples": ["ge2024-05-01"]},
    "_type": {"type": "string", "examples": ["Patient,Observation"]},
    "identifier": {"type": "string", "examples": ["http://hospital.example|42"]},
    "profile": {"type": "string"},
    "_outputFormat": {"enum": ["application/fhir+ndjson", "application/ndjson", "ndjson"]},
    "_until": {"type": "string", "format": "date-time"},
    "_typeFilter": {"type": "string", "examples": ["Observation?status=final"]},
    "includeAssociatedData": {"enum": ["LatestProvenanceResources", "RelevantProvenanceResources"]},
    "organizeOutputBy": {"enum": ["Patient"]},
    "allowPartialManifests": {"type": "boolean"},
    "status": {"enum": ["separate"]},
    "page": {"type": "string"},
    "kind": {"type": "string", "examples": ["export"]},
    "id": {"type": "string"},
    "name": {"type": "string"},
}
_HEADERS: dict[str, dict[str, object]] = {
    "If-Match": {"type": "string", "examples": ['W/"1"', "*"]},
    "If-None-Match": {"type": "string", "examples": ['W/"1"', "*"]},
    "If-Unmodified-Since": {"type": "string", "examples": ["Sat, 02 Feb 2013 12:02:47 GMT"]},
    "If-Modified-Since": {"type": "string", "examples": ["Sat, 02 Feb 2013 12:02:47 GMT"]},
    "If-None-Exist": {"type": "string", "examples": ["identifier=http://hospital.example|42"]},
    "Idempotency-Key": {"type": "string", "minLength": 1, "maxLength": 255},
    "Range": {"type": "string", "examples": ["bytes=0-1023"]},
    "If-Range": {"type": "string", "examples": ['"1"']},
    "Content-Range": {"type": "string", "examples": ["bytes 0-8388607/16777216"]},
    # Not return=minimal: OpenAPI cannot say that a body may be missing.
    "Prefer": {
        "type": "string",
        "examples": ["return=representation", "return=OperationOutcome", "handling=lenient", "respond-async"],
    },
}
_MOST_TYPES = 20
_OF_A_TYPE = ("/{type}", "/{type}/_search")
_BEARER = {
    "type": "http",
    "scheme": "bearer",
    "bearerFormat": "JWT",
    "description": "An access token with SMART scopes; [base]/.well-known/smart-configuration says where to get one",
}
_REFUSED = (401, 403)  # where tokens are needed
_ANY_REQUEST_MAY = (400, 404, 406, 429, 500, 503, 504)
_BODYLESS = (204, 304, 307)
_SCHEMAS = {"bundle": "Bundle", "parameters": "Parameters"}
_ANSWERS: dict[str, dict[str, object]] = {
    "manifest": {"application/json": {"schema": {"type": "object"}}},
    "file": {"application/fhir+ndjson": {"schema": {"type": "string"}}},
}


def openapi_route(table: Sequence[Route], settings: Settings, definitions: Definitions) -> HttpRoute:
    """Returns the route GET /openapi.json."""
    supported = SupportedSearch.of(definitions, texts=settings.index_text)

    async def openapi(request: Request) -> Response:
        types = [one for value in request.query_params.getlist("type") for one in value.split(",")]
        if len(types) > _MOST_TYPES or not definitions.resources.issuperset(types):
            raise Refused(400, f"type names up to {_MOST_TYPES} resource types, separated by commas", code="value")
        prefix = request.scope.get(PREFIX, "")
        return JSONResponse(await offload(openapi_document, table, settings, supported, prefix=prefix, types=types))

    return HttpRoute("/openapi.json", openapi)


def openapi_document(
    table: Sequence[Route],
    settings: Settings,
    supported: SupportedSearch,
    *,
    prefix: str = "",
    types: Collection[str] = (),
) -> dict[str, object]:
    """Returns the document, as JSON values. `prefix`: the path below which a proxy has this server.

    `types`: those that have paths of their own.
    """
    definitions = supported.definitions
    paths: dict[str, dict[str, object]] = {}
    for route in table:
        if not route.is_documented(settings):
            continue
        method = route.method.lower()
        paths.setdefault(route.path or "/", {})[method] = _operation(route, settings, supported)
        for type_ in types if route.path in _OF_A_TYPE else ():
            path = route.path.replace("{type}", type_)
            paths.setdefault(path, {})[method] = _operation(route, settings, supported, type_)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "fhirstore",
            "version": __version__,
            "description": f"FHIR {definitions.version} on object storage; /metadata tells it in FHIR's words",
        },
        "servers": [_server(settings, prefix)],
        "paths": paths,
        **({"security": [{"bearer": []}]} if settings.authenticates else {}),
        "components": {
            **({"securitySchemes": {"bearer": _BEARER}} if settings.authenticates else {}),
            "schemas": {
                "ResourceType": {"enum": sorted(definitions.resources)},
                "Resource": {
                    "type": "object",
                    "required": ["resourceType"],
                    "properties": {"resourceType": {"$ref": "#/components/schemas/ResourceType"}, "id": _ID},
                    "examples": [{"resourceType": "Patient", "active": True}],
                },
                "Bundle": {
                    "type": "object",
                    "required": ["resourceType", "type"],
                    "properties": {
                        "resourceType": {"const": "Bundle"},
                        "type": {"enum": ["batch", "transaction"]},
                        "entry": {"type": "array", "items": {"type": "object"}},
                    },
                },
                "Parameters": {
                    "type": "object",
                    "required": ["resourceType"],
                    "properties": {
                        "resourceType": {"const": "Parameters"},
                        "parameter": {"type": "array", "items": {"type": "object", "required": ["name"]}},
                    },
                    "examples": [
                        {"resourceType": "Parameters", "parameter": [{"name": "_type", "valueString": "Patient"}]}
                    ],
                },
            },
        },
    }


def _server(settings: Settings, prefix: str) -> dict[str, object]:
    root = settings.base_url or f"{prefix}{FHIR_PATH}"
    if settings.tenant_source != "path":
        return {"url": root}
    return {"url": f"{root}/{{tenant}}", "variables": {"tenant": {"default": settings.only_tenant or "default"}}}


def _operation(
    route: Route, settings: Settings, supported: SupportedSearch, type: str | None = None
) -> dict[str, object]:
    """`type`: the operation on this type alone."""
    contract = route.contract
    path = route.path if type is None else route.path.replace("{type}", type)
    name = "-".join(part.strip("{}$_") for part in path.split("/") if part) or "base"
    operation: dict[str, object] = {
        "operationId": f"{route.method.lower()}-{name}",
        "summary": route.doc,
        "parameters": _parameters(path, contract, settings, supported, type),
        "responses": _responses(contract, others=_REFUSED if settings.authenticates else ()),
    }
    if settings.authenticates and route.access != "token":
        operation["security"] = []
    if contract.body:
        operation["requestBody"] = {"required": contract.body != "form", "content": _content(contract.body)}
    return operation


def _parameters(
    path: str, contract: Contract, settings: Settings, supported: SupportedSearch, type: str | None
) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    for part in path.split("/"):
        if part.startswith("{"):
            name = part.strip("{}")
            schema = {
                "type": {"$ref": "#/components/schemas/ResourceType"},
                "compartment": {"enum": sorted(supported.definitions.compartments)},
                "id": _ID,
                "vid": {"type": "string", "pattern": "^[1-9][0-9]{0,17}$"},
                "job": {"type": "string", "pattern": "^[0-7][0-9A-HJKMNP-TV-Z]{25}$"},
                "upload": {"type": "string", "pattern": "^[0-7][0-9A-HJKMNP-TV-Z]{25}$"},
                "file": {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$"},
            }[name]
            found.append({"name": name, "in": "path", "required": True, "schema": schema})
    schemas = _QUERY | {"mode": {"enum": list(contract.modes)}}
    forms = FORM_PARAMETERS if contract.answer == "resource" else ()
    found += criteria(supported, type) if contract.criteria else []
    found += search_parameters(supported, type) if contract.searches else []
    found += [{"name": name, "in": "query", "schema": schemas[name]} for name in (*contract.query, *forms)]
    found += [{"name": name, "in": "header", "schema": _HEADERS[name]} for name in contract.headers]
    if settings.tenant_source == "header":
        found.append({"name": TENANT_HEADER, "in": "header", "required": True, "schema": {"type": "string"}})
    return found


def _content(body: str) -> dict[str, object]:
    if body == "patch":
        return {name: {"schema": {"type": ["object", "array"]}} for name in PATCH_FORMATS}
    if body == "octets":
        return {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
    if body == "form":
        return {"application/x-www-form-urlencoded": {"schema": {"type": "object"}}}
    schema = {"$ref": f"#/components/schemas/{_SCHEMAS.get(body, 'Resource')}"}
    return {FHIR_JSON: {"schema": schema}, FHIR_XML: {"schema": {"type": "string"}}}


def _responses(contract: Contract, others: tuple[int, ...] = ()) -> dict[str, object]:
    resource: dict[str, object] = {FHIR_JSON: {"schema": {"$ref": "#/components/schemas/Resource"}}}
    if contract.answer == "resource":
        resource[FHIR_XML] = {"schema": {"type": "string"}}
    own = _ANSWERS.get(contract.answer, resource)
    found: dict[str, object] = {}
    for status in sorted({*contract.success, *contract.failure, *others, *_ANY_REQUEST_MAY}):
        answer: dict[str, object] = {"description": HTTPStatus(status).phrase}
        if status not in _BODYLESS:
            answer["content"] = own if status in contract.success else resource
        found[str(status)] = answer
    return found
