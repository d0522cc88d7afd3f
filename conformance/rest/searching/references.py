"""References, chains and `_has`: https://hl7.org/fhir/R4/search.html#reference, …#chaining, …#has."""

from __future__ import annotations

from urllib.parse import quote

from conformance.rest.check import rule
from conformance.rest.searching.sample import Sample, coded, observation, sample
from conformance.rest.searching.strings import named
from conformance.rest.server import SYSTEM, Json, Server, patient

REFERENCE = "search.html#reference"
CHAIN = "search.html#chaining"
HAS = "search.html#has"
MRN = "http://acme.org/fhir/identifier/mrn"


async def subjects(server: Server) -> Sample:
    """Two patients and a group, and an Observation of each."""
    group: Json = {"resourceType": "Group", "type": "person", "actual": True, "name": "Peter's group"}
    some = await sample(server, peter=named("Chalmers", "Peter"), anne=named("Jones", "Anne"), group=group)
    return await some.add(
        of_peter=observation(subject=some.reference("peter"), code=coded(("", "1234-5"))),
        of_anne=observation(subject=some.reference("anne"), code=coded(("", "9999-9"))),
        of_group=observation(subject=some.reference("group"), code=coded(("", "1234-5"))),
    )


@rule(REFERENCE, "[parameter]=[type]/[id]: the logical id of a resource of a specified type.")
async def a_reference_by_type_and_id(server: Server) -> None:
    some = await subjects(server)
    await some.finds(f"Observation?subject={some.path('peter')}", "of_peter")


@rule(REFERENCE, "[parameter]=[id]: the logical id of a resource; the type is that of the parameter's targets.")
async def a_reference_by_id(server: Server) -> None:
    some = await subjects(server)
    await some.finds(f"Observation?subject={some.id('peter')}", "of_peter")
    await some.finds(f"Observation?patient={some.id('anne')}", "of_anne")


@rule(REFERENCE, "[parameter]=[url]: an absolute URL; a relative reference to the same server matches it.")
async def a_reference_by_url(server: Server) -> None:
    some = await subjects(server)
    url = f"{server.base}/{some.path('peter')}"
    await some.finds(f"Observation?subject={quote(url)}", "of_peter")


@rule(REFERENCE, "subject:Patient=23: a modifier gives the type of the target.")
async def a_reference_by_type_as_a_modifier(server: Server) -> None:
    some = await subjects(server)
    await some.finds(f"Observation?subject:Patient={some.id('peter')}", "of_peter")
    await some.finds(f"Observation?subject:Group={some.id('peter')}")
    await some.finds(f"Observation?subject:Group={some.id('group')}", "of_group")


@rule(REFERENCE, "subject=Patient/1,Patient/2: several references are an OR.")
async def references_in_a_list(server: Server) -> None:
    some = await subjects(server)
    await some.finds(f"Observation?subject={some.path('peter')},{some.path('anne')}", "of_peter", "of_anne")


@rule(REFERENCE, "subject:identifier=[system]|[value]: references by identifier (Reference.identifier).")
async def references_by_identifier(server: Server) -> None:
    some = await sample(
        server,
        logical=observation(subject={"identifier": {"system": MRN, "value": "123456"}}),
        other=observation(subject={"identifier": {"system": MRN, "value": "1"}}),
    )
    await some.finds(f"Observation?subject:identifier={quote(f'{MRN}|123456')}", "logical")


@rule("search.html#canonical", "A canonical reference matches by its URL, with or without the version.")
async def canonical_references(server: Server) -> None:
    def answers(url: str) -> Json:
        return {"resourceType": "QuestionnaireResponse", "status": "completed", "questionnaire": url}

    some = Sample(server)
    url = f"http://acme.org/{some.mark}/Questionnaire/phq"
    await some.add(one=answers(f"{url}|1.0"), two=answers(f"{url}|2.0"), plain=answers(url), no=answers(f"{url}-other"))
    await some.finds(f"QuestionnaireResponse?questionnaire={url}", "one", "two", "plain")
    await some.finds(f"QuestionnaireResponse?questionnaire={quote(f'{url}|2.0')}", "two")


@rule(CHAIN, "DiagnosticReport?subject.name=peter: resources whose subject has a name that includes “peter”.")
async def a_chain(server: Server) -> None:
    await (await subjects(server)).finds("Observation?patient.name=peter", "of_peter")


@rule(CHAIN, "subject:Patient.name=peter: the type disambiguates where a reference has several.")
async def a_chain_of_a_type(server: Server) -> None:
    await (await subjects(server)).finds("Observation?subject:Patient.name=peter", "of_peter")


@rule(CHAIN, "subject.identifier=…: a chain leads to a token as to a string.")
async def a_chain_to_an_identifier(server: Server) -> None:
    some = Sample(server)
    await some.add(known=patient(identifier=[{"system": SYSTEM, "value": some.mark}]), unknown=patient())
    await some.add(one=observation(subject=some.reference("known")), two=observation(subject=some.reference("unknown")))
    await some.finds(f"Observation?subject.identifier={quote(f'{SYSTEM}|{some.mark}')}", "one")


async def organised(server: Server) -> Sample:
    """Organizations, their parent, and patients of theirs."""
    some = await sample(server, parent={"resourceType": "Organization", "name": "Parent", "active": True})
    org: Json = {"resourceType": "Organization", "name": "Ward", "partOf": some.reference("parent")}
    await some.add(ward=org, other={"resourceType": "Organization", "name": "Other"})
    await some.add(
        inside=patient(managingOrganization=some.reference("ward")),
        outside=patient(managingOrganization=some.reference("other")),
    )
    return await some.add(
        of_inside=observation(subject=some.reference("inside")),
        of_outside=observation(subject=some.reference("outside")),
    )


@rule(CHAIN, "Chains may be of several links: subject.organization.name.")
async def a_chain_of_several_links(server: Server) -> None:
    some = await organised(server)
    await some.finds("Observation?subject:Patient.organization.name=ward", "of_inside")
    await some.finds("Observation?subject:Patient.organization.partof.name=parent", "of_inside")


@rule(CHAIN, "Two chains over one parameter are evaluated independently: both may be met by different targets.")
async def chains_are_independent(server: Server) -> None:
    def doctor(family: str, state: str) -> Json:
        return {"resourceType": "Practitioner", "name": [{"family": family}], "address": [{"state": state}]}

    some = await sample(server, joe=doctor("Joe", "CA"), ann=doctor("Ann", "MN"))
    await some.add(
        both=patient(generalPractitioner=[some.reference("joe"), some.reference("ann")]),
        one=patient(generalPractitioner=[some.reference("joe")]),
    )
    query = "general-practitioner:Practitioner.name=Joe&general-practitioner:Practitioner.address-state=MN"
    await some.finds(f"Patient?{query}", "both")


@rule(HAS, "Patient?_has:Observation:patient:code=1234-5: patients that have an Observation of this code.")
async def a_reverse_chain(server: Server) -> None:
    await (await subjects(server)).finds("Patient?_has:Observation:patient:code=1234-5", "peter")


@rule(HAS, "_has:…=123,456: either of the values.")
async def a_reverse_chain_with_several_values(server: Server) -> None:
    await (await subjects(server)).finds("Patient?_has:Observation:patient:code=1234-5,9999-9", "peter", "anne")


@rule(HAS, "_has may be nested: Patient?_has:Observation:patient:_has:AuditEvent:entity:agent=….")
async def a_nested_reverse_chain(server: Server) -> None:
    some = await subjects(server)
    report: Json = {
        "resourceType": "DiagnosticReport",
        "status": "final",
        "code": coded(("", "panel")),
        "result": [some.reference("of_anne")],
    }
    await some.add(report=report)
    await some.finds("Patient?_has:Observation:patient:_has:DiagnosticReport:result:code=panel", "anne")


@rule(HAS, "_has may be chained: Encounter?patient._has:Group:member:_id=….")
async def a_reverse_chain_behind_a_chain(server: Server) -> None:
    some = await subjects(server)
    members = {
        "resourceType": "Group",
        "type": "person",
        "actual": True,
        "member": [{"entity": some.reference("anne")}],
    }
    await some.add(club=members)
    await some.finds(f"Observation?patient._has:Group:member:_id={some.id('club')}", "of_anne")


@rule(HAS, "Two _has are an AND.")
async def two_reverse_chains(server: Server) -> None:
    some = await subjects(server)
    await some.add(second=observation(subject=some.reference("peter"), code=coded(("", "9999-9"))))
    query = "_has:Observation:patient:code=1234-5&_has:Observation:patient:code=9999-9"
    await some.finds(f"Patient?{query}", "peter")
