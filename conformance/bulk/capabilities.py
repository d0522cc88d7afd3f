"""Server Capability Documentation, privacy and security: what the server says that it does."""

from __future__ import annotations

from urllib.parse import urlsplit

from conformance.bulk.check import both, rule, stu3, stu4
from conformance.bulk.export import Skipped
from conformance.bulk.kickoff import Kickoff
from conformance.bulk.provider import Provider
from conformance.rest.server import Json, member, must

_DOCUMENTED = ("#server-capability-documentation", "#data-provider-capability-documentation")
_SECURITY = "#privacy-and-security-considerations"
_LOOPBACK = ("localhost", "::1")


async def _rest(provider: Provider) -> Json:
    rest = member(await provider.statement(), "rest", 0)
    must(isinstance(rest, dict), "there is no CapabilityStatement.rest")
    return dict(rest) if isinstance(rest, dict) else {}


async def _resource(provider: Provider, type_: str) -> Json:
    resources = (await _rest(provider)).get("resource")
    for resource in resources if isinstance(resources, list) else []:
        if member(resource, "type") == type_:
            return dict(resource)
    must(False, f"{type_} is not in the CapabilityStatement")
    return {}


def _names(value: object, key: str) -> set[str]:
    return {str(member(each, key)) for each in value} if isinstance(value, list) else set()


@rule(
    stu3(
        _DOCUMENTED[0],
        "server providers SHALL ensure that their Capability Statement accurately reflects the implemented Bulk Data "
        "Operations.",
    ),
    stu4(
        _DOCUMENTED[1],
        "Data Providers SHALL ensure that their CapabilityStatement accurately reflects the implemented Bulk Data "
        "Operations.",
    ),
)
async def what_is_advertised_can_be_kicked_off_and_nothing_else(provider: Provider) -> None:
    seeds = await provider.seeds()
    for level in ("", "Patient", seeds.group):
        kickoff = Kickoff(level, (("_type", "Patient"),))
        if await provider.advertised(level.partition("/")[0]):
            await provider.start(kickoff)
            continue
        method, path, body = kickoff.request(provider.version)
        answer = await provider.server.request(method, path, body, headers=kickoff.headers())
        must(answer.status >= 400, f"{answer.asked} answered {answer.status}, but is not in the CapabilityStatement")


@rule(
    stu3(
        _DOCUMENTED[0],
        "the server's Capability Statement SHOULD list the resource types available for export in the "
        "`rest.resource` element",
    ),
    stu4(
        _DOCUMENTED[1],
        "the Data Provider's CapabilityStatement SHOULD list the resource types available for export in the "
        "`rest.resource` element",
    ),
)
async def the_exported_types_are_listed(provider: Provider) -> None:
    export = await provider.export(Kickoff())
    listed = _names((await _rest(provider)).get("resource"), "type")
    types = {str(one.get("resourceType")) for one in await export.lines()}
    must(types <= listed, f"exported, but not in rest.resource: {', '.join(sorted(types - listed))}")


@rule(
    both(
        *_DOCUMENTED,
        "SHOULD list the search parameters that can be used in the `_typeFilter` parameter in "
        "`rest.resource.searchParam` elements",
    )
)
async def the_parameters_of_type_filters_are_listed(provider: Provider) -> None:
    await provider.optional(Kickoff("", (("_typeFilter", "Observation?status=final"),)), "_typeFilter")
    names = _names((await _resource(provider, "Observation")).get("searchParam"), "name")
    must("status" in names, "_typeFilter=Observation?status=… works, but rest.resource.searchParam lacks status")


_VALUES = {
    "token": "true",
    "date": "2020",
    "string": "x",
    "reference": "Patient/x",
    "number": "1",
    "quantity": "1",
    "uri": "http://example.org/x",
}
_NOT_SUPPORTED = "/Extension/operation-not-supported"


@rule(
    stu3(
        _DOCUMENTED[0],
        "Servers SHOULD indicate resource types and search parameters that are accessible on the server with the "
        "REST API, but not available using the Bulk Export operation, with one or more extensions",
    ),
    stu4(
        _DOCUMENTED[1],
        "Data Providers SHOULD indicate resource types and search parameters that are accessible through the REST "
        "API, but not available using the Bulk Export operation, with one or more extensions",
    ),
)
async def what_is_listed_without_an_exception_can_be_used_in_filters(provider: Provider) -> None:
    await provider.optional(Kickoff("", (("_typeFilter", "Observation?status=final"),)), "_typeFilter")
    for type_ in ("Observation", "Patient"):
        listed = (await _resource(provider, type_)).get("searchParam")
        usable = [
            f"{member(each, 'name')}={_VALUES[str(member(each, 'type'))]}"
            for each in (listed if isinstance(listed, list) else [])
            if member(each, "type") in _VALUES and _NOT_SUPPORTED not in str(member(each, "extension"))
        ]
        await provider.start(Kickoff("", (("_type", type_), ("_typeFilter", f"{type_}?{'&'.join(usable)}"))))


@rule(
    both(
        "#endpoint---group-of-patients",
        "#endpoint---group-of-patients",
        "SHOULD support reading and searching for",
    )
)
async def groups_can_be_read_and_searched(provider: Provider) -> None:
    await provider.require("Group")
    group = (await provider.seeds()).group
    (await provider.server.get(group)).expect(200).resource("Group")
    found = (await provider.server.get(f"Group?_id={group.partition('/')[2]}")).expect(200).bundle("searchset")
    must(
        any(member(entry, "resource", "id") == group.partition("/")[2] for entry in found),
        "the search does not find it",
    )


@rule(
    both(
        _SECURITY,
        _SECURITY,
        "All exchanges described herein between a {client} and a {server} SHALL be secured using Transport Layer "
        "Security (TLS) Protocol Version 1.2 (RFC5246) or a more recent version of TLS.",
    )
)
async def it_is_https(provider: Provider) -> None:
    url = urlsplit(provider.server.base)
    host = url.hostname or ""
    if url.scheme == "http" and (host in _LOOPBACK or host.startswith("127.")):
        raise Skipped("the base URL is that of this machine: TLS is for what stands before the server")
    must(url.scheme == "https", "the base URL is not https")


@rule(
    both(
        _SECURITY,
        _SECURITY,
        "SHOULD implement OAuth 2.0 access management in accordance with the SMART Backend Services Authorization "
        "Profile",
    )
)
async def smart_is_configured(provider: Provider) -> None:
    services = str(member(await _rest(provider), "security", "service"))
    if "SMART-on-FHIR" not in services:
        raise Skipped("the CapabilityStatement has no security.service SMART-on-FHIR")
    answer = (await provider.server.get(".well-known/smart-configuration")).expect(200)
    must(answer.at("token_endpoint"), "the SMART configuration has no token_endpoint")


@rule(
    both(
        _SECURITY,
        _SECURITY,
        "SHALL be protected the same way",
    )
)
async def what_requires_a_token_is_not_there_without_one(provider: Provider) -> None:
    export = await provider.export(Kickoff())
    if export.manifest.get("requiresAccessToken") is not True:
        raise Skipped("requiresAccessToken is false")
    for url in (export.status_url, *(str(item.get("url")) for item in export.items())):
        answer = await provider.server.get(url, anonymous=True)
        must(answer.status in (401, 403), f"{answer.asked} answered {answer.status} without a token")
