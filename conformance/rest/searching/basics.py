"""search by _id, _lastUpdated and identifier, and how searches are answered in general."""

from __future__ import annotations

from urllib.parse import quote

from conformance.rest.check import rule
from conformance.rest.server import SYSTEM, Answer, Server, identified, member, must, patient

SEARCH = "http.html#search"
PAGE = "search.html"
FORM = "application/x-www-form-urlencoded"


def ids(answer: Answer) -> list[object]:
    """The ids of the matches."""
    entries = answer.expect(200).bundle("searchset")
    return [member(entry, "resource", "id") for entry in entries if member(entry, "search", "mode") in (None, "match")]


@rule(SEARCH, "The server SHALL return a 200 OK and the return content SHALL be a Bundle with type = searchset.")
async def a_search_is_a_searchset(server: Server) -> None:
    made = await server.created(patient())
    must(ids(await server.get(f"Patient?_id={made.id}")) == [made.id], "the resource is not found")


@rule("search.html#id", "_id: several, separated by commas.")
async def several_ids_are_found(server: Server) -> None:
    made = [await server.created(patient()) for _ in range(2)]
    found = ids(await server.get("Patient?_id=" + ",".join(each.id for each in made)))
    must(sorted(map(str, found)) == sorted(each.id for each in made), "not both are found")


@rule(SEARCH, "Zero or more resources: no match is no error.")
async def no_match_is_an_empty_searchset(server: Server) -> None:
    must(not ids(await server.get(f"Patient?_id={server.fresh()}")), "something is found")


@rule("bundle.html", "bdl-2: entry.search only when a search; bdl-1: total only when a search or history.")
async def matches_are_marked(server: Server) -> None:
    made = await server.created(patient())
    entries = (await server.get(f"Patient?_id={made.id}")).bundle("searchset")
    must(member(entries, 0, "search", "mode") == "match", "entry.search.mode is not match")


@rule("bundle-definitions.html#Bundle.entry.fullUrl", "The Absolute URL for the resource.")
async def matches_have_a_full_url(server: Server) -> None:
    made = await server.created(patient())
    entries = (await server.get(f"Patient?_id={made.id}")).bundle("searchset")
    url = str(member(entries, 0, "fullUrl"))
    must(url.startswith("http") and url.endswith(made.path), "the fullUrl is not absolute and of the resource")


@rule("http.html#paging", "All searches SHALL return the self link.")
async def searches_have_a_self_link(server: Server) -> None:
    made = await server.created(patient())
    link = (await server.get(f"Patient?_id={made.id}")).link("self")
    must(link and "_id=" in link, "the self link does not show the parameters")


@rule("search.html#token", "[parameter]=[system]|[code]: the value of [code] matches, and the system.")
async def identifier_by_system_and_value(server: Server) -> None:
    value = server.fresh()
    made = await server.created(identified(value))
    must(ids(await server.get(f"Patient?identifier={quote(f'{SYSTEM}|{value}')}")) == [made.id], "not found")


@rule("search.html#token", "[parameter]=[code]: irrespective of the value of the system property.")
async def identifier_by_value(server: Server) -> None:
    value = server.fresh()
    made = await server.created(identified(value))
    must(ids(await server.get(f"Patient?identifier={value}")) == [made.id], "not found")


@rule("search.html#token", "[parameter]=|[code]: the Identifier has no system property.")
async def identifier_without_a_system(server: Server) -> None:
    value = server.fresh()
    await server.created(identified(value))
    made = await server.created(patient(identifier=[{"value": value}]))
    must(ids(await server.get(f"Patient?identifier={quote(f'|{value}')}")) == [made.id], "not just the one without")


@rule("search.html#token", "[parameter]=[system]|[code]: another system is no match.")
async def identifier_in_another_system(server: Server) -> None:
    value = server.fresh()
    await server.created(identified(value))
    must(not ids(await server.get(f"Patient?identifier={quote(f'urn:other|{value}')}")), "another system matches")


@rule("search.html#token", "[parameter]=[system]|: any element where the value of [system] matches.")
async def identifier_by_system(server: Server) -> None:
    value = server.fresh()
    system = f"http://example.org/{value}"
    made = await server.created(patient(identifier=[{"system": system, "value": "1"}]))
    must(ids(await server.get(f"Patient?identifier={quote(f'{system}|')}")) == [made.id], "not found")


@rule("search.html#combining", "Comma separated values are an OR.")
async def identifiers_in_a_list(server: Server) -> None:
    values = [server.fresh(), server.fresh()]
    made = [await server.created(identified(value)) for value in values]
    found = ids(await server.get(f"Patient?identifier={','.join(values)}"))
    must(sorted(map(str, found)) == sorted(each.id for each in made), "not both are found")


@rule("search.html#combining", "Repeated parameters are an AND (intersection).")
async def identifiers_of_one_resource(server: Server) -> None:
    one, two = server.fresh(), server.fresh()
    both = await server.created(patient(identifier=[{"value": one}, {"value": two}]))
    await server.created(patient(identifier=[{"value": one}]))
    must(ids(await server.get(f"Patient?identifier={one}&identifier={two}")) == [both.id], "not just the one with both")


@rule(PAGE, "Search shows current versions: what an update took away is not found any more.")
async def an_identifier_that_was_removed_is_not_found(server: Server) -> None:
    value = server.fresh()
    made = await server.created(identified(value))
    await server.put(made.path, patient(id=made.id))
    must(not ids(await server.get(f"Patient?identifier={value}")), "the old version is found")


@rule(PAGE, "Search shows current versions: what an update added is found at once.")
async def an_identifier_that_was_added_is_found(server: Server) -> None:
    value = server.fresh()
    made = await server.created(patient())
    await server.put(made.path, identified(value) | {"id": made.id})
    must(ids(await server.get(f"Patient?identifier={value}")) == [made.id], "not found")


@rule("search.html#lastUpdated", "_lastUpdated: select resources based on the last time they were changed.")
async def last_updated_after(server: Server) -> None:
    made = await server.created(patient())
    updated = str((await server.get(made.path)).at("meta", "lastUpdated"))
    found = ids(await server.get(f"Patient?_lastUpdated=ge{quote(updated)}"))
    must(made.id in found, "a resource updated at that time is not found")


@rule("search.html#prefix", "gt: the value for the parameter in the resource is greater than the provided value.")
async def last_updated_in_the_future(server: Server) -> None:
    await server.created(patient())
    must(not ids(await server.get("Patient?_lastUpdated=gt2099-01-01")), "something was updated in the future")


@rule("search.html#date", "A date that is none is refused.")
async def a_bad_last_updated_is_refused(server: Server) -> None:
    (await server.get("Patient?_lastUpdated=yesterday")).expect(400).outcome()


@rule(SEARCH, "Servers that support search SHALL also support a POST based search.")
async def search_by_post(server: Server) -> None:
    made = await server.created(patient())
    body = f"_id={made.id}".encode()
    answer = await server.request("POST", "Patient/_search", content=body, headers={"Content-Type": FORM})
    must(ids(answer) == [made.id], "not found")


@rule(SEARCH, "In the POST variant, parameters may appear in both the URL and the body.")
async def search_by_post_with_a_query(server: Server) -> None:
    value = server.fresh()
    made = await server.created(identified(value))
    await server.created(identified(value))
    body = f"identifier={value}".encode()
    url = f"Patient/_search?_id={made.id}"
    answer = await server.request("POST", url, content=body, headers={"Content-Type": FORM})
    must(ids(answer) == [made.id], "the parameters were not combined")


@rule("search.html#errors", "Unknown parameters: servers SHALL NOT ignore them under Prefer: handling=strict.")
async def strict_handling_refuses_unknown_parameters(server: Server) -> None:
    answer = await server.get("Patient?no-such-parameter=1", {"Prefer": "handling=strict"})
    must(400 <= answer.status < 600, f"answered {answer.status}")
    must("no-such-parameter" in str(answer.outcome()), "the outcome does not name the parameter")


@rule("search.html#errors", "handling=lenient: the server ignores unknown parameters, and the self link shows it.")
async def lenient_handling_ignores_unknown_parameters(server: Server) -> None:
    made = await server.created(patient())
    answer = await server.get(f"Patient?_id={made.id}&no-such-parameter=1", {"Prefer": "handling=lenient"})
    must(ids(answer) == [made.id], "not found")
    must("no-such-parameter" not in str(answer.link("self")), "the self link shows what was ignored")


@rule("search.html#count", "_count: the number of resources in a page.")
async def count_limits_a_search(server: Server) -> None:
    value = server.fresh()
    for _ in range(3):
        await server.created(identified(value))
    answer = await server.get(f"Patient?identifier={value}&_count=2")
    must(len(ids(answer)) <= 2, "more than _count")


@rule("http.html#paging", "The client must use the server supplied links in order to traverse the pages.")
async def searches_are_paged(server: Server) -> None:
    value = server.fresh()
    made = {(await server.created(identified(value))).id for _ in range(3)}
    answer = await server.get(f"Patient?identifier={value}&_count=1")
    found: list[object] = []
    for _ in range(6):
        found += ids(answer)
        following = answer.link("next")
        if following is None:
            break
        answer = await server.get(following)
    must(len(found) == 3 and set(found) == made, f"the pages show {len(found)} matches, {len(set(found))} different")


@rule("search.html#summary", "_summary=count: just return a count of the matching resources.")
async def summary_count_has_no_entries(server: Server) -> None:
    made = await server.created(patient())
    answer = await server.get(f"Patient?_id={made.id}&_summary=count")
    must(not answer.expect(200).bundle("searchset") and answer.at("total") == 1, "not just a total of 1")


@rule("search.html#elements", "_elements: only these elements of the matches.")
async def elements_in_a_search(server: Server) -> None:
    made = await server.created(patient(gender="male"))
    entries = (await server.get(f"Patient?_id={made.id}&_elements=gender")).expect(200).bundle("searchset")
    resource = member(entries, 0, "resource")
    must(member(resource, "gender") == "male" and member(resource, "name") is None, "not just the asked elements")


@rule("http.html#head", "A HEAD request can also be used on search.")
async def head_of_a_search(server: Server) -> None:
    made = await server.created(patient())
    must(not (await server.head(f"Patient?_id={made.id}")).expect(200).body, "HEAD has a body")


@rule(SEARCH, "404 Not Found - resource type not supported.")
async def search_of_an_unknown_type_is_404(server: Server) -> None:
    (await server.get("Nonsense?_id=1")).expect(404).outcome()


@rule("http.html#root", "Servers SHALL support both forms (with a trailing slash and without).")
async def a_trailing_slash_makes_no_difference(server: Server) -> None:
    made = await server.created(patient())
    must(ids(await server.get(f"Patient/?_id={made.id}")) == [made.id], "not found with a trailing slash")
