"""Compartments, and the operations that are searches: `$everything` and `$lastn`.

https://hl7.org/fhir/R4/compartmentdefinition.html · https://hl7.org/fhir/R4/patient-operation-everything.html ·
https://hl7.org/fhir/R4/observation-operation-lastn.html
"""

from __future__ import annotations

from conformance.rest.check import rule
from conformance.rest.searching.sample import Sample, coded, observation, sample
from conformance.rest.server import Answer, Json, Server, member, must, patient

COMPARTMENT = "search.html#Introduction"
EVERYTHING = "patient-operation-everything.html"
LASTN = "observation-operation-lastn.html"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


async def two_patients(server: Server) -> Sample:
    """Two patients with what is theirs."""
    some = await sample(server, anne=patient(), bert=patient())
    condition: Json = {"resourceType": "Condition", "subject": some.reference("anne"), "code": coded(("", "c"))}
    encounter: Json = {
        "resourceType": "Encounter",
        "status": "finished",
        "class": {"code": "AMB"},
        "subject": some.reference("anne"),
        "period": {"start": "2020-03-01", "end": "2020-03-02"},
    }
    return await some.add(
        first=observation(subject=some.reference("anne"), effectiveDateTime="2020-01-01"),
        second=observation(subject=some.reference("anne"), effectiveDateTime="2021-01-01"),
        performed=observation(performer=[some.reference("anne")], effectiveDateTime="2021-02-01"),
        other=observation(subject=some.reference("bert")),
        condition=condition,
        encounter=encounter,
    )


@rule(COMPARTMENT, "GET [base]/Patient/[id]/[type]: a compartment, with a specified resource type in it.")
async def a_type_in_a_compartment(server: Server) -> None:
    some = await two_patients(server)
    await some.finds(f"{some.path('anne')}/Observation", "first", "second", "performed")
    await some.finds(f"{some.path('anne')}/Condition", "condition")
    await some.finds(f"{some.path('bert')}/Condition")


@rule(COMPARTMENT, "GET [base]/Patient/[id]/[type]?parameter(s).")
async def a_compartment_with_criteria(server: Server) -> None:
    some = await two_patients(server)
    await some.finds(f"{some.path('anne')}/Observation?date=ge2021", "second", "performed")
    await some.finds(f"{some.path('anne')}/Observation?subject={some.path('anne')}", "first", "second")


@rule(COMPARTMENT, "GET [base]/Patient/[id]/*?parameter(s): all resource types in the compartment.")
async def all_types_in_a_compartment(server: Server) -> None:
    some = await two_patients(server)
    inside = ("first", "second", "performed", "condition", "encounter")
    answer = await some.search(f"{some.path('anne')}/*")
    found = [name for name in some.names(answer) if name != "anne"]  # it is in its own compartment, servers differ
    some.must_be("Patient/[id]/*", found, inside)
    answer = await some.search(f"{some.path('anne')}/*?_type=Condition,Encounter")
    some.must_be("Patient/[id]/*?_type=…", some.names(answer), ("condition", "encounter"))


@rule("http.html#search", "POST [base]/[compartment]/[id]/[type]/_search.")
async def a_compartment_by_post(server: Server) -> None:
    some = await two_patients(server)
    url = some.url(f"{some.path('anne')}/Observation/_search")
    answer = await server.request("POST", url, content=b"date=ge2021", headers=FORM)
    some.must_be("by POST", some.names(answer.expect(200)), ("second", "performed"))


@rule(COMPARTMENT, "The links of a search in a compartment stay in it.")
async def pages_of_a_compartment(server: Server) -> None:
    some = await two_patients(server)
    answer = await some.search(f"{some.path('anne')}/Observation?_count=1")
    found = some.names(answer)
    while (following := answer.link("next")) and len(found) < 5:
        answer = (await server.get(following)).expect(200)
        found += some.names(answer)
    some.must_be("the pages", found, ("first", "second", "performed"))


@rule("compartmentdefinition.html", "A type that is never in the compartment, or no compartment, is no such search.")
async def what_is_no_compartment_is_refused(server: Server) -> None:
    made = await server.created(patient())
    (await server.get(f"{made.path}/Nonsense")).expect(404).outcome()
    answer = (await server.get(f"{made.path}/Organization")).expect(200, 400, 404)
    must(answer.status != 200 or not answer.bundle("searchset"), "an Organization is in the compartment of a Patient")


def paths(answer: Answer) -> list[str]:
    """The types and ids of all entries."""
    entries = answer.expect(200).bundle("searchset")
    found = [member(entry, "resource") for entry in entries if member(entry, "search", "mode") != "outcome"]
    return [f"{member(resource, 'resourceType')}/{member(resource, 'id')}" for resource in found]


async def everything(some: Sample, query: str = "") -> list[str]:
    """The names of what `$everything` answers for the first patient, over all pages."""
    known = {made.path: name for name, made in some.made.items()}
    answer = await some.server.get(f"{some.path('anne')}/$everything{query}")
    found = paths(answer)
    while (following := answer.link("next")) and len(found) < 100:
        answer = await some.server.get(following)
        found += paths(answer)
    return [known.get(path, path) for path in found]


ANNES = ("anne", "first", "second", "performed", "condition", "encounter")


@rule(EVERYTHING, "Returns all resources that are in the compartment of the patient, and the patient.")
async def everything_of_a_patient(server: Server) -> None:
    some = await two_patients(server)
    some.must_be("$everything", await everything(some), ANNES)


@rule(EVERYTHING, "… as well as any that they reference: practitioners, organizations, medications.")
async def everything_has_what_is_referred_to(server: Server) -> None:
    some = await sample(server, doctor={"resourceType": "Practitioner", "active": True})
    await some.add(anne=patient(generalPractitioner=[some.reference("doctor")]))
    some.must_be("$everything", await everything(some), ("anne", "doctor"))


@rule(EVERYTHING, "start, end: the date range relates to care dates, not record currency dates.")
async def everything_between_dates(server: Server) -> None:
    some = await two_patients(server)
    found = await everything(some, "?start=2020-02-01&end=2020-12-31")
    must("encounter" in found, "the encounter of March is missing")
    must(not {"first", "second"} & set(found), "an Observation of another time is there")


@rule(EVERYTHING, "_type: comma-delimited resource types to include.")
async def everything_of_some_types(server: Server) -> None:
    some = await two_patients(server)
    some.must_be("$everything", await everything(some, "?_type=Condition,Encounter"), ("condition", "encounter"))


@rule(EVERYTHING, "_since: resources updated after this point in time.")
async def everything_since(server: Server) -> None:
    some = await two_patients(server)
    some.must_be("$everything", await everything(some, "?_since=2099-01-01T00:00:00Z"), ())


@rule(EVERYTHING, "_count: the operation is paged as a search is.")
async def everything_in_pages(server: Server) -> None:
    some = await two_patients(server)
    some.must_be("$everything", await everything(some, "?_count=2"), ANNES)


@rule(EVERYTHING, "A patient that does not exist has nothing.")
async def everything_of_nobody(server: Server) -> None:
    (await server.get(f"Patient/{server.fresh()}/$everything")).expect(404).outcome()


async def measured(server: Server) -> Sample:
    """Several Observations of two codes."""
    some = await sample(server, anne=patient())

    def of(code: str, date: str) -> Json:
        vital = coded(("http://terminology.hl7.org/CodeSystem/observation-category", "vital-signs"))
        return observation(
            subject=some.reference("anne"),
            effectiveDateTime=date,
            code=coded(("http://loinc.org", code)),
            category=[vital],
        )

    return await some.add(
        pulse1=of("8867-4", "2020-01-01"),
        pulse2=of("8867-4", "2020-02-01"),
        pulse3=of("8867-4", "2020-03-01"),
        weight1=of("29463-7", "2019-01-01"),
        weight2=of("29463-7", "2019-02-01"),
    )


async def last(some: Sample, query: str) -> list[str]:
    """The names of what `$lastn` answers for the patient of the sample."""
    known = {made.path: name for name, made in some.made.items()}
    answer = await some.server.get(f"Observation/$lastn?patient={some.path('anne')}&{query}")
    return [known.get(path, path) for path in paths(answer)]


@rule(LASTN, "Returns the most recent Observation of each code, where max is not given.")
async def the_last_of_each_code(server: Server) -> None:
    some = await measured(server)
    some.must_be("$lastn", await last(some, "category=vital-signs"), ("pulse3", "weight2"))


@rule(LASTN, "max: the maximum number of Observations to return from each group.")
async def the_last_two_of_each_code(server: Server) -> None:
    some = await measured(server)
    wanted = ("pulse2", "pulse3", "weight1", "weight2")
    some.must_be("$lastn", await last(some, "category=vital-signs&max=2"), wanted)


@rule(LASTN, "code: only Observations with these codes.")
async def the_last_of_one_code(server: Server) -> None:
    some = await measured(server)
    some.must_be("$lastn", await last(some, "code=8867-4&max=2"), ("pulse2", "pulse3"))
