"""capabilities: what the server says that it does, held against what it does."""

from __future__ import annotations

from conformance.rest.check import rule
from conformance.rest.server import SYSTEM, Json, Server, identified, member, must

CAPABILITIES = "http.html#capabilities"
STATEMENT = "capabilitystatement.html"


async def rest_of(server: Server) -> Json:
    """The server's entry of CapabilityStatement.rest."""
    rest = (await server.get("metadata")).expect(200).at("rest", 0)
    must(isinstance(rest, dict), "there is no CapabilityStatement.rest")
    return rest if isinstance(rest, dict) else {}


async def patient_of(server: Server) -> Json:
    """What the CapabilityStatement says of Patient."""
    resources = (await rest_of(server)).get("resource")
    for resource in resources if isinstance(resources, list) else []:
        if member(resource, "type") == "Patient":
            return dict(resource)
    must(False, "Patient is not in the CapabilityStatement")
    return {}


def codes(value: object) -> set[object]:
    """The codes of a list of interactions."""
    return {member(each, "code") for each in value} if isinstance(value, list) else set()


@rule(CAPABILITIES, "Applications SHALL return a resource that describes the functionality of the server end-point.")
async def metadata_is_a_capability_statement(server: Server) -> None:
    (await server.get("metadata")).expect(200).resource("CapabilityStatement")


@rule(STATEMENT, "CapabilityStatement: status, date, kind, fhirVersion and format are mandatory.")
async def mandatory_elements_are_there(server: Server) -> None:
    answer = await server.get("metadata")
    for name in ("status", "date", "kind", "fhirVersion", "format"):
        must(answer.at(name), f"CapabilityStatement.{name} is missing")


@rule(STATEMENT, "kind: instance … of a running server.")
async def it_speaks_of_an_instance(server: Server) -> None:
    answer = await server.get("metadata")
    must(answer.at("kind") == "instance" and answer.at("implementation"), "kind is not instance with implementation")


@rule(STATEMENT, "fhirVersion: R4 is 4.0.1.")
async def it_is_r4(server: Server) -> None:
    must(str((await server.get("metadata")).at("fhirVersion")).startswith("4.0"), "fhirVersion is not 4.0")


@rule(STATEMENT, "format: the formats supported by this implementation.")
async def its_formats_work(server: Server) -> None:
    formats = (await server.get("metadata")).at("format")
    must(isinstance(formats, list) and formats, "there is no format")
    for name in formats if isinstance(formats, list) else []:
        (await server.get("metadata?_format=" + str(name).replace("+", "%2B"))).expect(200)


@rule(STATEMENT, "rest.mode: server.")
async def rest_mode_is_server(server: Server) -> None:
    must((await rest_of(server)).get("mode") == "server", "rest.mode is not server")


@rule(STATEMENT, "rest.resource.interaction: what operations are supported.")
async def interactions_are_listed(server: Server) -> None:
    must({"read", "create"} <= codes((await patient_of(server)).get("interaction")), "read and create are not listed")


@rule(STATEMENT, "cpb-9: A given resource can only be described once per RESTful mode.")
async def resources_are_listed_once(server: Server) -> None:
    resources = (await rest_of(server)).get("resource")
    types = [member(each, "type") for each in resources] if isinstance(resources, list) else []
    must(len(types) == len(set(types)), "a resource type is listed twice")


@rule("http.html#versions", "Systems declare their support for versioning in their Capability Statements.")
async def versioning_is_declared(server: Server) -> None:
    versioning = (await patient_of(server)).get("versioning")
    must(versioning in ("no-version", "versioned", "versioned-update"), f"versioning is {versioning}")


@rule("http.html#upsert", "Servers … indicate such to the clients using updateCreate.")
async def update_create_is_declared_rightly(server: Server) -> None:
    id = server.fresh()
    answer = await server.put(f"Patient/{id}", {"resourceType": "Patient", "id": id})
    says = (await patient_of(server)).get("updateCreate")
    must(bool(says) == (answer.status == 201), f"updateCreate is {says}, but PUT answered {answer.status}")


@rule(STATEMENT, "conditionalCreate: If allows/uses conditional create.")
async def conditional_create_is_declared_rightly(server: Server) -> None:
    value = server.fresh()
    condition = {"If-None-Exist": f"identifier={SYSTEM}|{value}"}
    answer = await server.post("Patient", identified(value), condition)
    says = (await patient_of(server)).get("conditionalCreate")
    must(bool(says) == (answer.status == 201), f"conditionalCreate is {says}, but POST answered {answer.status}")


@rule(STATEMENT, "conditionalRead: not-supported, modified-since, not-match, full-support.")
async def conditional_read_is_declared_rightly(server: Server) -> None:
    made = await server.created({"resourceType": "Patient"})
    etag = (await server.get(made.path)).header("ETag")
    answer = await server.get(made.path, {"If-None-Match": etag})
    says = (await patient_of(server)).get("conditionalRead")
    must((says in ("not-match", "full-support")) == (answer.status == 304), f"{says}, but answered {answer.status}")


@rule(STATEMENT, "searchParam: the search parameters that are supported.")
async def search_parameters_are_listed(server: Server) -> None:
    parameters = (await patient_of(server)).get("searchParam")
    names = {member(each, "name") for each in parameters} if isinstance(parameters, list) else set()
    must({"_id", "identifier"} <= names, "_id and identifier are not listed")


@rule(STATEMENT, "searchParam: … a server shall support what it lists.")
async def listed_search_parameters_are_answered(server: Server) -> None:
    parameters = (await patient_of(server)).get("searchParam")
    listed = parameters if isinstance(parameters, list) else []
    must(listed, "Patient has no search parameters")
    samples = {
        "token": "true",
        "date": "2020-01-01",
        "number": "1",
        "quantity": "1",
        "reference": "Patient/1",
        "uri": "urn:x",
    }
    for each in listed:
        value = samples.get(str(member(each, "type")), "x")
        (await server.get(f"Patient?{member(each, 'name')}={value}&_count=1")).expect(200).bundle("searchset")


@rule(STATEMENT, "searchInclude, searchRevInclude: the _include and _revinclude values supported by the server.")
async def listed_includes_are_answered(server: Server) -> None:
    patient = await patient_of(server)
    for parameter, name in (("_include", "searchInclude"), ("_revinclude", "searchRevInclude")):
        values = patient.get(name)
        must(isinstance(values, list) and values, f"{name} is empty")
        for value in (values if isinstance(values, list) else [])[:10]:
            (await server.get(f"Patient?_count=1&{parameter}={value}")).expect(200).bundle("searchset")


@rule(STATEMENT, "patchFormat: the patch mime types supported.")
async def patch_formats_are_listed(server: Server) -> None:
    formats = (await server.get("metadata")).at("patchFormat")
    must(isinstance(formats, list) and "application/json-patch+json" in formats, "JSON Patch is not listed")


@rule(STATEMENT, "rest.interaction: transaction | batch | search-system | history-system.")
async def system_interactions_are_listed(server: Server) -> None:
    must({"transaction", "batch"} <= codes((await rest_of(server)).get("interaction")), "batch and transaction are not")


@rule(CAPABILITIES, "An ETag header SHOULD be returned with the Response.")
async def metadata_has_an_etag(server: Server) -> None:
    must((await server.get("metadata")).header("ETag"), "the ETag is empty")


@rule(
    CAPABILITIES,
    "The value of the ETag header SHALL change if the returned resource changes (and else it does not).",
)
async def the_etag_of_metadata_is_stable(server: Server) -> None:
    one, two = await server.get("metadata"), await server.get("metadata")
    must(one.header("ETag") == two.header("ETag"), "two ETags for one CapabilityStatement")


@rule(CAPABILITIES, "terminology: A TerminologyCapabilities resource (servers MAY ignore the mode).")
async def terminology_mode(server: Server) -> None:
    answer = (await server.get("metadata?mode=terminology")).expect(200)
    must(answer.at("resourceType") in ("TerminologyCapabilities", "CapabilityStatement"), "another resource")


@rule("http.html#head", "Anywhere that a GET request can be used, a HEAD request is also allowed.")
async def head_of_metadata(server: Server) -> None:
    must(not (await server.head("metadata")).expect(200).body, "HEAD has a body")


@rule("http.html#parameters", "_summary and _format are defined for all of the interactions.")
async def metadata_takes_summary(server: Server) -> None:
    answer = (await server.get("metadata?_summary=true")).expect(200)
    must(answer.resource("CapabilityStatement").get("fhirVersion"), "fhirVersion is missing in the summary")
