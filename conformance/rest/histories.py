"""history of an instance, a type and the system, and its paging."""

from __future__ import annotations

from urllib.parse import quote

from conformance.rest.check import rule
from conformance.rest.server import Server, member, must, patient

HISTORY = "http.html#history"
PAGING = "http.html#paging"


async def three_versions(server: Server) -> str:
    """The path of a Patient that was created, updated and deleted."""
    made = await server.created(patient())
    await server.put(made.path, patient(id=made.id, active=False))
    await server.delete(made.path)
    return made.path


@rule(HISTORY, "The return content is a Bundle with type set to history.")
async def history_is_a_bundle(server: Server) -> None:
    (await server.get(f"{await three_versions(server)}/_history")).expect(200).bundle("history")


@rule(HISTORY, "… containing the specified version history, … including deleted resources.")
async def history_has_every_version(server: Server) -> None:
    entries = (await server.get(f"{await three_versions(server)}/_history")).bundle("history")
    must(len(entries) == 3, f"{len(entries)} entries instead of 3")


@rule(HISTORY, "Sorted with oldest versions last.")
async def history_is_newest_first(server: Server) -> None:
    entries = (await server.get(f"{await three_versions(server)}/_history")).bundle("history")
    methods = [member(entry, "request", "method") for entry in entries]
    must(methods == ["DELETE", "PUT", "POST"], f"the order is {methods}")


@rule(HISTORY, "If the entry.request.method is a PUT or a POST, the entry SHALL contain a resource.")
async def history_entries_have_their_resource(server: Server) -> None:
    entries = (await server.get(f"{await three_versions(server)}/_history")).bundle("history")
    must(all("resource" in entry for entry in entries[1:]), "an entry of PUT or POST has no resource")


@rule(HISTORY, "A delete interaction is represented: no resource included for a delete.")
async def history_of_a_deletion_has_no_resource(server: Server) -> None:
    entries = (await server.get(f"{await three_versions(server)}/_history")).bundle("history")
    must("resource" not in entries[0], "the deletion has a resource")


@rule(HISTORY, "request.url: [type] for a create, [type]/[id] for a delete.")
async def history_requests_have_urls(server: Server) -> None:
    path = await three_versions(server)
    entries = (await server.get(f"{path}/_history")).bundle("history")
    must(member(entries, 2, "request", "url") == "Patient", "the create's request.url is not Patient")
    must(member(entries, 0, "request", "url") == path, "the delete's request.url is not [type]/[id]")


@rule(HISTORY, "The server SHOULD populate at least response.lastModified.")
async def history_has_last_modified(server: Server) -> None:
    entries = (await server.get(f"{await three_versions(server)}/_history")).bundle("history")
    must(all(member(entry, "response", "lastModified") for entry in entries), "an entry has no response.lastModified")


@rule("bundle.html", "bdl-4: entry.response mandatory for batch-response/transaction-response/history (with a status).")
async def history_responses_have_a_status(server: Server) -> None:
    entries = (await server.get(f"{await three_versions(server)}/_history")).bundle("history")
    must(all(member(entry, "response", "status") for entry in entries), "an entry has no response.status")


@rule("bundle.html", "bdl-3: entry.request mandatory for history.")
async def history_entries_have_a_request(server: Server) -> None:
    entries = (await server.get(f"{await three_versions(server)}/_history")).bundle("history")
    must(all(member(entry, "request", "method") for entry in entries), "an entry has no request")


@rule("bundle.html", "bdl-8: fullUrl cannot be a version specific reference.")
async def history_full_urls_are_not_versioned(server: Server) -> None:
    path = await three_versions(server)
    entries = (await server.get(f"{path}/_history")).bundle("history")
    urls = [str(entry.get("fullUrl", "")) for entry in entries]
    must(all(url.endswith(path) for url in urls), "a fullUrl is not that of the resource")


@rule(HISTORY, "The resource in the entry is the resource as processed by the server (its version then).")
async def history_shows_each_version(server: Server) -> None:
    made = await server.created(patient(active=True))
    await server.put(made.path, patient(id=made.id, active=False))
    entries = (await server.get(f"{made.path}/_history")).bundle("history")
    seen = [member(entry, "resource", "active") for entry in entries]
    must(seen == [False, True], f"the versions show {seen}")


@rule(HISTORY, "A request for the history of a resource that never was: 404 Not Found.")
async def history_of_the_unknown_is_404(server: Server) -> None:
    (await server.get(f"Patient/{server.fresh()}/_history")).expect(404).outcome()


@rule("http.html#create", "404 Not Found - resource type not supported.")
async def history_of_an_unknown_type_is_404(server: Server) -> None:
    (await server.get("Nonsense/_history")).expect(404).outcome()


@rule(HISTORY, "GET [base]/[type]/_history: all resources of a given type.")
async def type_history_has_what_just_happened(server: Server) -> None:
    made = await server.created(patient())
    entries = (await server.get("Patient/_history?_count=250")).expect(200).bundle("history")
    must(any(member(entry, "resource", "id") == made.id for entry in entries), "what was just created is not in it")


@rule(HISTORY, "GET [base]/[type]/_history: of that type only.")
async def type_history_has_one_type(server: Server) -> None:
    await server.created({"resourceType": "Basic", "code": {"text": "x"}})
    entries = (await server.get("Patient/_history?_count=250")).bundle("history")
    types = {member(entry, "resource", "resourceType") for entry in entries if "resource" in entry}
    must(types <= {"Patient"}, f"there are {types}")


@rule(HISTORY, "GET [base]/_history: all resources supported by the system.")
async def system_history_has_every_type(server: Server) -> None:
    one = await server.created(patient())
    other = await server.created({"resourceType": "Basic", "code": {"text": "x"}})
    entries = (await server.get("_history?_count=250")).expect(200).bundle("history")
    ids = {member(entry, "resource", "id") for entry in entries}
    must({one.id, other.id} <= ids, "what was just created is not in it")


@rule(HISTORY, "_count: The server is not bound to return the number requested, but cannot return more.")
async def count_limits_the_page(server: Server) -> None:
    entries = (await server.get(f"{await three_versions(server)}/_history?_count=2")).bundle("history")
    must(len(entries) <= 2, f"{len(entries)} entries on a page of 2")


@rule(PAGING, "Links with relation next lead to the next page.")
async def next_links_lead_through_all(server: Server) -> None:
    answer = await server.get(f"{await three_versions(server)}/_history?_count=1")
    methods: list[object] = []
    for _ in range(5):
        methods += [member(entry, "request", "method") for entry in answer.bundle("history")]
        following = answer.link("next")
        if following is None:
            break
        answer = await server.get(following)
    must(methods == ["DELETE", "PUT", "POST"], f"the pages show {methods}")


@rule(PAGING, "All searches SHALL return the self link.")
async def pages_have_a_self_link(server: Server) -> None:
    must((await server.get(f"{await three_versions(server)}/_history")).link("self"), "there is no self link")


@rule(PAGING, "The last page has no link to a next one.")
async def the_last_page_has_no_next(server: Server) -> None:
    must((await server.get(f"{await three_versions(server)}/_history")).link("next") is None, "there is a next link")


@rule(HISTORY, "_since: Only include resource versions that were created at or after the given instant in time.")
async def since_cuts_off_older_versions(server: Server) -> None:
    made = await server.created(patient())
    await server.put(made.path, patient(id=made.id, active=False))
    since = str((await server.get(made.path)).at("meta", "lastUpdated"))
    entries = (await server.get(f"{made.path}/_history?_since={quote(since)}")).bundle("history")
    must(len(entries) == 1, f"{len(entries)} entries at or after the second version")


@rule(HISTORY, "_at: Only include resource versions that were current at some point during the time period.")
async def at_shows_what_was_current(server: Server) -> None:
    made = await server.created(patient())
    await server.put(made.path, patient(id=made.id, active=False))
    updated = str((await server.get(made.path)).at("meta", "lastUpdated"))
    entries = (await server.get(f"{made.path}/_history?_at={quote(updated)}")).bundle("history")
    must(member(entries, 0, "resource", "active") is False, "the version of that instant is not in it")


@rule(HISTORY, "Each of these parameters SHALL NOT appear more than once.")
async def parameters_twice_are_refused(server: Server) -> None:
    made = await server.created(patient())
    (await server.get(f"{made.path}/_history?_count=1&_count=2")).expect(400).outcome()


@rule(HISTORY, "_since … contains a full date time with time zone.")
async def since_that_is_no_instant_is_refused(server: Server) -> None:
    made = await server.created(patient())
    (await server.get(f"{made.path}/_history?_since=yesterday")).expect(400).outcome()


@rule(HISTORY, "_count is an integer.")
async def count_that_is_no_number_is_refused(server: Server) -> None:
    made = await server.created(patient())
    (await server.get(f"{made.path}/_history?_count=many")).expect(400).outcome()


@rule(HISTORY, "A HEAD request can also be used.")
async def head_of_a_history(server: Server) -> None:
    made = await server.created(patient())
    must(not (await server.head(f"{made.path}/_history")).expect(200).body, "HEAD has a body")


@rule("http.html#delete", "A deleted resource keeps its version history.")
async def history_of_the_deleted_is_200(server: Server) -> None:
    (await server.get(f"{await three_versions(server)}/_history")).expect(200)


@rule(HISTORY, "entry.response: the result of the interaction, as it was answered; 201 for what was created anew, too.")
async def history_statuses_are_those_that_were_answered(server: Server) -> None:
    made = await server.created(patient())
    answered = [201]
    for _ in range(2):
        answered.append((await server.put(made.path, patient(id=made.id))).status)
        await server.delete(made.path)
    answered.append((await server.put(made.path, patient(id=made.id))).status)
    entries = (await server.get(f"{made.path}/_history")).bundle("history")
    told = [str(member(entry, "response", "status"))[:3] for entry in entries]
    kept = [int(status) for status, entry in zip(told, entries, strict=True) if "resource" in entry]
    must(kept == answered[::-1], f"the history says {kept} of what was answered {answered[::-1]}")


@rule("bundle.html#Bundle.total", "total: the number over all pages, which are those of one result.")
async def the_total_is_the_same_on_all_pages(server: Server) -> None:
    path = await three_versions(server)
    first = await server.get(f"{path}/_history?_count=1")
    total, following = first.at("total"), first.link("next")
    must(first.bundle("history") and following, "there is no second page")
    await server.put(path, patient(id=path.partition("/")[2]))
    must((await server.get(str(following))).at("total") == total, "the total is another one on the second page")


@rule(PAGING, "previous: the page before, which shows what it showed.")
async def a_previous_link_leads_to_the_page_before(server: Server) -> None:
    first = await server.get(f"{await three_versions(server)}/_history?_count=1")
    second = await server.get(str(first.link("next")))
    previous = second.link("previous") or second.link("prev")
    shown = [member(entry, "response") for entry in first.bundle("history")]
    must(len(shown) == 1 and second.bundle("history"), "the pages do not have one entry each")
    if previous is not None:  # it may be left out
        again = [member(entry, "response") for entry in (await server.get(previous)).bundle("history")]
        must(again == shown, "the previous link does not lead to the page before")
