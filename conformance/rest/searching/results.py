"""The answer to a search: order, size, totals, includes, parts of resources.

https://hl7.org/fhir/R4/search.html#return
"""

from __future__ import annotations

from urllib.parse import quote

from conformance.rest.check import rule
from conformance.rest.searching.sample import INCLUDE, Sample, coded, observation, sample
from conformance.rest.searching.strings import named
from conformance.rest.server import Json, Server, member, must, patient

SORT = "search.html#sort"
COUNT = "search.html#count"
TOTAL = "search.html#total"
INCLUDES = "search.html#include"
SUMMARY = "search.html#summary"
PAGING = "http.html#paging"


async def people(server: Server) -> Sample:
    """Patients to be sorted."""
    return await sample(
        server,
        b=named("Baker") | {"birthDate": "1980-01-01", "gender": "male"},
        a=named("Adams") | {"birthDate": "1990-01-01", "gender": "female"},
        c=named("Clark") | {"birthDate": "1970-01-01", "gender": "female"},
        unborn=named("Dylan"),
    )


@rule(SORT, "_sort=[parameter]: results in ascending order of the parameter.")
async def sorted_by_a_string(server: Server) -> None:
    await (await people(server)).finds_in_order("Patient?_sort=family", "a", "b", "c", "unborn")


@rule(SORT, "A prefix '-' in front of the parameter: in decreasing order.")
async def sorted_downwards(server: Server) -> None:
    await (await people(server)).finds_in_order("Patient?_sort=-family", "unborn", "c", "b", "a")


@rule(SORT, "_sort by a date: those with a value are in the order of their values.")
async def sorted_by_a_date(server: Server) -> None:
    some = await people(server)
    await some.finds_in_order("Patient?birthdate:missing=false&_sort=birthdate", "c", "b", "a")
    await some.finds_in_order("Patient?birthdate:missing=false&_sort=-birthdate", "a", "b", "c")


@rule(SORT, "_sort=status,-date: items separated by commas, from the most significant to the least.")
async def sorted_by_several_keys(server: Server) -> None:
    some = await sample(
        server,
        old=observation(effectiveDateTime="2019", status="final"),
        new=observation(effectiveDateTime="2021", status="final"),
        draft=observation(effectiveDateTime="2020", status="preliminary"),
    )
    await some.finds_in_order("Observation?_sort=status,-date", "new", "old", "draft")


@rule(SORT, "_lastUpdated may be sorted by, as other parameters.")
async def sorted_by_the_time_of_change(server: Server) -> None:
    some = await sample(server, first=patient())
    await some.add(second=patient())
    await some.add(third=patient())
    await some.finds_in_order("Patient?_sort=_lastUpdated", "first", "second", "third")
    await some.finds_in_order("Patient?_sort=-_lastUpdated", "third", "second", "first")


@rule(SORT, "The order holds across pages.")
async def pages_keep_the_order(server: Server) -> None:
    some = await people(server)
    answer = await some.search("Patient?_sort=family&_count=1")
    found = some.names(answer)
    while (following := answer.link("next")) and len(found) < 6:
        answer = (await server.get(following)).expect(200)
        found += some.names(answer)
    must(found == ["a", "b", "c", "unborn"], f"the pages show {', '.join(found)}")


@rule(SORT, "A parameter that is none cannot be sorted by.")
async def sorting_by_nothing_is_refused(server: Server) -> None:
    await (await people(server)).refuses("Patient?_sort=no-such-parameter")


@rule(COUNT, "The server SHALL NOT return more resources than requested even if there are more.")
async def a_page_has_no_more_than_count(server: Server) -> None:
    some = await people(server)
    answer = await some.search("Patient?_count=3")
    must(len(some.names(answer)) == 3, "a page of 4 matches with _count=3 does not have 3")
    must(answer.link("next"), "there is no next link")


@rule(COUNT, "If _count has the value 0, this shall be treated the same as _summary=count.")
async def a_count_of_zero_is_the_total(server: Server) -> None:
    answer = await (await people(server)).search("Patient?_count=0")
    must(answer.at("total") == 4 and not answer.bundle("searchset"), "not just a total of 4")


@rule(COUNT, "The number excludes included resources.")
async def included_resources_do_not_count(server: Server) -> None:
    some = await sample(server, one=patient(), two=patient())
    await some.add(x=observation(subject=some.reference("one")), y=observation(subject=some.reference("two")))
    answer = await some.search("Observation?_count=2&_include=Observation:subject")
    some.must_be("the matches", some.names(answer), ["x", "y"])
    some.must_be("the included", some.names(answer, INCLUDE), ["one", "two"])


@rule(COUNT, "A _count that is no number is an error.")
async def a_bad_count_is_refused(server: Server) -> None:
    (await server.get("Patient?_count=many")).expect(400).outcome()


@rule(TOTAL, "_total=accurate: a total of the matching resources, exactly.")
async def the_total_is_exact(server: Server) -> None:
    answer = await (await people(server)).search("Patient?_total=accurate&_count=1")
    must(answer.at("total") == 4, f"the total is {answer.at('total')}, not 4")


@rule("bundle-definitions.html#Bundle.total", "The total … does not include … include or outcome entries.")
async def the_total_counts_matches_alone(server: Server) -> None:
    some = await sample(server, one=patient())
    await some.add(x=observation(subject=some.reference("one")))
    answer = await some.search("Observation?_total=accurate&_include=Observation:subject")
    must(answer.at("total") == 1, f"the total is {answer.at('total')}, not 1")


@rule(TOTAL, "_total is none, estimate or accurate.")
async def other_totals_are_refused(server: Server) -> None:
    (await server.get("Patient?_total=perhaps")).expect(400).outcome()


async def prescribed(server: Server) -> Sample:
    """A prescription, its patient and its doctor, and where each of these belongs."""
    some = await sample(server, org={"resourceType": "Organization", "name": "Org"})
    await some.add(
        patient=patient(managingOrganization=some.reference("org")),
        doctor={"resourceType": "Practitioner", "active": True},
    )
    request: Json = {
        "resourceType": "MedicationRequest",
        "status": "active",
        "intent": "order",
        "medicationCodeableConcept": coded(("", "aspirin")),
        "subject": some.reference("patient"),
        "requester": some.reference("doctor"),
    }
    return await some.add(request=request)


@rule(INCLUDES, "MedicationRequest?_include=MedicationRequest:patient: the patients they refer to come along.")
async def an_include(server: Server) -> None:
    some = await prescribed(server)
    answer = await some.search("MedicationRequest?_include=MedicationRequest:patient")
    some.must_be("the matches", some.names(answer), ["request"])
    some.must_be("the included", some.names(answer, INCLUDE), ["patient"])


@rule(INCLUDES, "_include=MedicationRequest:requester:Practitioner: only targets of this type.")
async def an_include_of_a_type(server: Server) -> None:
    some = await prescribed(server)
    answer = await some.search("MedicationRequest?_include=MedicationRequest:requester:Practitioner")
    some.must_be("the included", some.names(answer, INCLUDE), ["doctor"])
    answer = await some.search("MedicationRequest?_include=MedicationRequest:requester:Organization")
    some.must_be("the included", some.names(answer, INCLUDE), [])


@rule(INCLUDES, "_include=*: all references.")
async def an_include_of_everything(server: Server) -> None:
    some = await prescribed(server)
    answer = await some.search("MedicationRequest?_include=MedicationRequest:*")
    some.must_be("the included", some.names(answer, INCLUDE), ["doctor", "patient"])


@rule(INCLUDES, "_include:iterate: also from what was included.")
async def an_include_that_iterates(server: Server) -> None:
    some = await prescribed(server)
    query = "MedicationRequest?_include=MedicationRequest:patient"
    answer = await some.search(f"{query}&_include:iterate=Patient:organization")
    some.must_be("the included", some.names(answer, INCLUDE), ["org", "patient"])


@rule("search.html#revinclude", "_revinclude=MedicationRequest:patient: what refers to the matches comes along.")
async def a_reverse_include(server: Server) -> None:
    some = await prescribed(server)
    answer = await some.search("Patient?_revinclude=MedicationRequest:patient")
    some.must_be("the matches", some.names(answer), ["patient"])
    some.must_be("the included", some.names(answer, INCLUDE), ["request"])


@rule(INCLUDES, "Each resource is there once, though several matches refer to it; a match is no include.")
async def included_resources_are_there_once(server: Server) -> None:
    some = await sample(server, one=patient())
    await some.add(parent=observation(subject=some.reference("one")))
    await some.add(child=observation(subject=some.reference("one"), hasMember=[some.reference("parent")]))
    answer = await some.search("Observation?_include=Observation:subject&_include=Observation:has-member")
    some.must_be("the matches", some.names(answer), ["child", "parent"])
    some.must_be("the included", some.names(answer, INCLUDE), ["one"])


@rule(INCLUDES, "An _include that cannot be read is an error.")
async def bad_includes_are_refused(server: Server) -> None:
    some = await sample(server, one=patient())
    for value in ("Nonsense:subject", "Patient:gender", "Patient:no-such-parameter"):
        await some.refuses(f"Patient?_include={value}")


@rule(SUMMARY, "_summary=true: just the elements marked as summary, tagged SUBSETTED.")
async def a_summary_of_matches(server: Server) -> None:
    some = await sample(server, one=patient(gender="male", communication=[{"language": {"text": "French"}}]))
    resource = member((await some.search("Patient?_summary=true")).bundle("searchset"), 0, "resource")
    must(member(resource, "gender") == "male" and member(resource, "communication") is None, "not just the summary")
    tags = member(resource, "meta", "tag")
    codes = {member(tag, "code") for tag in tags} if isinstance(tags, list) else set()
    must("SUBSETTED" in codes, "the resource is not tagged SUBSETTED")


@rule(SUMMARY, "_summary=data: without the text element. _summary=text: only text, id, meta and mandatory elements.")
async def summaries_of_text_and_data(server: Server) -> None:
    div = '<div xmlns="http://www.w3.org/1999/xhtml">x</div>'
    some = await sample(server, one=patient(gender="male", text={"status": "generated", "div": div}))
    data = member((await some.search("Patient?_summary=data")).bundle("searchset"), 0, "resource")
    must(member(data, "gender") and member(data, "text") is None, "_summary=data has the text, or lacks the data")
    text = member((await some.search("Patient?_summary=text")).bundle("searchset"), 0, "resource")
    must(member(text, "text") and member(text, "gender") is None, "_summary=text lacks the text, or has data")


@rule("search.html#elements", "_elements: … also where resources are included.")
async def elements_with_includes(server: Server) -> None:
    some = await prescribed(server)
    answer = await some.search("MedicationRequest?_include=MedicationRequest:patient&_elements=subject")
    some.must_be("the included", some.names(answer, INCLUDE), ["patient"])
    resource = member(answer.bundle("searchset"), 0, "resource")
    must(member(resource, "subject") and member(resource, "requester") is None, "not just the asked elements")


@rule(PAGING, "A search is a snapshot: pages neither repeat nor skip while others write.")
async def pages_do_not_shift(server: Server) -> None:
    some = await people(server)
    answer = await some.search("Patient?_sort=family&_count=2")
    found = some.names(answer)
    await some.add(early=named("Aaron"))
    following = answer.link("next")
    must(following, "there is no next link")
    found += some.names((await server.get(str(following))).expect(200))
    some.must_be("the pages", found, ["a", "b", "c", "unborn"])


@rule("search.html#conformance", "The server SHALL return the parameters that were actually used in the self link.")
async def the_self_link_has_what_was_used(server: Server) -> None:
    some = await people(server)
    answer = await server.get(some.url("Patient?gender=female&nonsense=1"), {"Prefer": "handling=lenient"})
    link = str(answer.expect(200).link("self"))
    must("gender=female" in link and "nonsense" not in link, "the self link does not show what was used")
    some.must_be("the self link", some.names((await server.get(link)).expect(200)), ["a", "c"])


@rule("search.html#conformance", "Modifiers are part of the self link as well.")
async def the_self_link_has_modifiers(server: Server) -> None:
    some = await people(server)
    link = str((await some.search("Patient?family:exact=Baker")).link("self"))
    must("family:exact=Baker" in link or quote("family:exact") in link, "the self link lacks the modifier")
