"""Parameters of all resources, and searches of several types. https://hl7.org/fhir/R4/search.html#all"""

from __future__ import annotations

from urllib.parse import quote

from conformance.rest.check import rule
from conformance.rest.searching.sample import Sample, coded, observation, sample
from conformance.rest.server import SYSTEM, Json, Server, patient

ALL = "search.html#all"


@rule("search.html#tag", "_tag, _security: search for a tag or a security label of the resource, as a token.")
async def tags_and_labels(server: Server) -> None:
    label = {"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "R"}
    some = await sample(server, restricted=patient(meta={"security": [label]}), open=patient())
    await some.finds("Patient?_security=R", "restricted")
    await some.finds(f"Patient?_tag={quote(f'{SYSTEM}|{some.mark}')}", "restricted", "open")
    await some.finds(f"Patient?_tag={some.mark}", "restricted", "open")


@rule("search.html#profile", "_profile: resources that claim to conform to the profile.")
async def profiles(server: Server) -> None:
    url = "http://hl7.org/fhir/StructureDefinition/vitalsigns"
    some = await sample(server, vital=observation(meta={"profile": [url]}), other=observation())
    await some.finds(f"Observation?_profile={url}", "vital")


@rule(ALL, "_source: where the resource comes from (meta.source), a URI.")
async def sources(server: Server) -> None:
    some = await sample(server, there=patient(meta={"source": "http://acme.org/feed"}), nowhere=patient())
    await some.finds("Patient?_source=http://acme.org/feed", "there")


@rule("search.html#text", "_text: a search on the narrative of the resource; a server need not have it.")
async def narratives(server: Server) -> None:
    def told(text: str) -> Json:
        div = f'<div xmlns="http://www.w3.org/1999/xhtml"><p>{text}</p></div>'
        return patient(text={"status": "generated", "div": div})

    some = await sample(server, liver=told("metastases in the liver"), bone=told("a broken bone"))
    await some.finds_or_refuses("Patient?_text=liver", "liver")


@rule("search.html#content", "_content: a search on the entire content of the resource; a server need not have it.")
async def contents(server: Server) -> None:
    some = await sample(
        server, noted=observation(note=[{"text": "a quixotic remark"}]), other=observation(note=[{"text": "nothing"}])
    )
    await some.finds_or_refuses("Observation?_content=quixotic", "noted")


@rule("search.html#list", "Patient?_list=42: patients that are referenced from the List resource with this id.")
async def members_of_a_list(server: Server) -> None:
    some = await sample(server, inside=patient(), outside=patient())
    entries = [{"item": some.reference("inside")}]
    await some.add(list={"resourceType": "List", "status": "current", "mode": "working", "entry": entries})
    await some.finds(f"Patient?_list={some.id('list')}", "inside")


@rule("search.html#type", "GET [base]?_type=…: several types; other parameters are those that all of them share.")
async def several_types(server: Server) -> None:
    some = await sample(
        server, person=patient(), seen=observation(), basic={"resourceType": "Basic", "code": coded(("", "x"))}
    )
    await some.finds("?_type=Patient,Observation", "person", "seen")
    await some.finds(f"?_id={some.id('seen')}", "seen")


@rule("search.html#type", "If _type is not included, all parameters SHALL be common to all resource types.")
async def parameters_of_one_type_are_refused_for_all(server: Server) -> None:
    await (await sample(server, person=patient())).refuses("?family=Check")


@rule("search.html#type", "If the _type parameter is included, all others SHALL be common to all provided types.")
async def parameters_of_one_of_the_types_are_refused(server: Server) -> None:
    await (await sample(server, person=patient())).refuses("?_type=Patient,Observation&family=Check")


@rule("search.html#contained", "By default, search results only include resources that are not contained.")
async def contained_resources_are_no_matches(server: Server) -> None:
    some = Sample(server)
    inner = {"resourceType": "Patient", "id": "p", "name": [{"family": f"X{some.mark}"}]}
    await some.add(outer=observation(contained=[inner], subject={"reference": "#p"}))
    answer = await server.get(f"Patient?family=X{some.mark}")
    some.must_be("Patient?family=…", some.names(answer.expect(200)), [])
