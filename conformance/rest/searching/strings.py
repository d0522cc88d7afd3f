"""Strings and URIs: https://hl7.org/fhir/R4/search.html#string, https://hl7.org/fhir/R4/search.html#uri."""

from __future__ import annotations

from conformance.rest.check import rule
from conformance.rest.searching.sample import Sample, sample
from conformance.rest.server import Json, Server, patient

STRING = "search.html#string"
URI = "search.html#uri"


def named(family: str, *given: str) -> Json:
    """A Patient of this name."""
    return patient(name=[{"family": family, **({"given": list(given)} if given else {})}])


async def eves(server: Server) -> Sample:
    """The patients of the page's examples."""
    return await sample(
        server, eve=named("Smith", "Eve"), evelyn=named("Smith", "Evelyn"), severine=named("Smith", "Severine")
    )


@rule(STRING, "Any patients with a name containing a given part with “eve” at the start of the name.")
async def a_string_matches_at_its_start(server: Server) -> None:
    await (await eves(server)).finds("Patient?given=eve", "eve", "evelyn")


@rule(STRING, "given:contains=eve: any patients with a name with a given part containing “eve” at any position.")
async def contains_matches_anywhere(server: Server) -> None:
    await (await eves(server)).finds("Patient?given:contains=eve", "eve", "evelyn", "severine")


@rule(STRING, "given:exact=Eve: a given part that is exactly “Eve”. Note: this would not include “eve” or “EVE”.")
async def exact_is_case_sensitive(server: Server) -> None:
    some = await sample(server, eve=named("Smith", "Eve"), shout=named("Smith", "EVE"), evelyn=named("S", "Evelyn"))
    await some.finds("Patient?given:exact=Eve", "eve")
    await some.finds("Patient?given:exact=eve")


@rule(STRING, "The default is case-insensitive … and accent-insensitive.")
async def case_and_accents_make_no_difference(server: Server) -> None:
    some = await sample(server, accented=named("Müller"), plain=named("MULLER"), other=named("Miller"))
    await some.finds("Patient?family=muller", "accented", "plain")
    await some.finds("Patient?family=MÜLLER", "accented", "plain")


@rule(STRING, ":exact … the entire string, including casing and accents.")
async def exact_sees_accents(server: Server) -> None:
    some = await sample(server, accented=named("Müller"), plain=named("Muller"))
    await some.finds("Patient?family:exact=Müller", "accented")


@rule("patient.html#search", "name: a server defined search that may match any of the string fields in the HumanName.")
async def a_name_is_found_by_each_of_its_parts(server: Server) -> None:
    some = await sample(server, anne=named("Chalmers", "Anne", "Marie"), other=named("Jones", "Peter"))
    for text in ("chalm", "anne", "marie"):
        await some.finds(f"Patient?name={text}", "anne")


@rule("patient.html#search", "address: a server defined search that may match any of the string fields in the Address.")
async def an_address_is_found_by_its_parts(server: Server) -> None:
    where: Json = {"line": ["534 Erewhon St"], "city": "PleasantVille", "postalCode": "3999"}
    some = await sample(server, there=patient(address=[where]), nowhere=patient())
    for text in ("pleasant", "3999", "534"):
        await some.finds(f"Patient?address={text}", "there")
    await some.finds("Patient?address-city=pleasantville", "there")
    await some.finds("Patient?address-postalcode=39", "there")


@rule(STRING, "A string of several words matches what begins with all of it.")
async def several_words_are_one_string(server: Server) -> None:
    some = await sample(server, van=named("van der Berg"), berg=named("Berg"))
    await some.finds("Patient?family=van%20der", "van")


async def sets(server: Server) -> Sample:
    """Value sets with the URLs of the page's examples, made unique by the sample's mark."""
    some = Sample(server)
    base = f"http://acme.org/{some.mark}/fhir/ValueSet"

    def made(url: str) -> Json:
        return {"resourceType": "ValueSet", "status": "active", "url": url}

    return await some.add(one=made(f"{base}/123"), other=made(f"{base}/124"), oid=made(f"urn:oid:1.2.3.4.{0}"))


@rule(URI, "url=http://acme.org/fhir/ValueSet/123: the match is precise (e.g. case, accent, and escape) sensitive.")
async def a_uri_matches_as_a_whole(server: Server) -> None:
    some = await sets(server)
    url = f"http://acme.org/{some.mark}/fhir/ValueSet/123"
    await some.finds(f"ValueSet?url={url}", "one")
    await some.finds(f"ValueSet?url={url.upper()}")
    await some.finds(f"ValueSet?url={url.removesuffix('3')}")
    await some.finds("ValueSet?url=urn:oid:1.2.3.4.0", "oid")


@rule(URI, "url:below=http://acme.org/fhir/: any value set with a URL that starts with it.")
async def a_uri_below_another(server: Server) -> None:
    some = await sets(server)
    await some.finds(f"ValueSet?url:below=http://acme.org/{some.mark}/fhir/", "one", "other")


@rule(URI, "url:above=http://acme.org/fhir/ValueSet/123/_history/5: any value set above it in the hierarchy.")
async def a_uri_above_another(server: Server) -> None:
    some = await sets(server)
    await some.finds(f"ValueSet?url:above=http://acme.org/{some.mark}/fhir/ValueSet/123/_history/5", "one")
