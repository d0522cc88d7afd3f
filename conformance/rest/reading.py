"""read, conditional read and vread."""

from __future__ import annotations

import asyncio
from email.utils import formatdate, parsedate_to_datetime

from conformance.rest.check import rule
from conformance.rest.server import FHIR_JSON, Server, http_date, must, patient

READ = "http.html#read"
CREAD = "http.html#cread"
VREAD = "http.html#vread"
HEAD = "http.html#head"


@rule(READ, "The read interaction accesses the current contents of a resource.")
async def read_returns_the_resource(server: Server) -> None:
    made = await server.created(patient(gender="female"))
    answer = (await server.get(made.path)).expect(200)
    must(answer.resource("Patient").get("gender") == "female", "the content is not what was sent")


@rule(READ, "The returned resource SHALL have an id element with a value that is the [id].")
async def read_returns_the_id(server: Server) -> None:
    made = await server.created(patient())
    must((await server.get(made.path)).at("id") == made.id, "id is not the id in the URL")


@rule(READ, "Servers SHOULD return an ETag header with the versionId of the resource.")
async def read_has_an_etag(server: Server) -> None:
    answer = await server.get((await server.created(patient())).path)
    must(answer.version == answer.at("meta", "versionId"), "the ETag is not meta.versionId")


@rule(READ, "Servers SHOULD return … a Last-Modified header.")
async def read_has_last_modified(server: Server) -> None:
    must((await server.get((await server.created(patient())).path)).last_modified > 0, "no date")


@rule("http.html#versioning", "Last modified (.meta.lastUpdated): HTTP Last-Modified header.")
async def last_modified_is_meta_last_updated(server: Server) -> None:
    answer = await server.get((await server.created(patient())).path)
    updated = str(answer.at("meta", "lastUpdated"))
    shown = formatdate(answer.last_modified, usegmt=True)
    must(updated[:4] in shown and updated[11:16] in shown, "Last-Modified and meta.lastUpdated differ")


@rule("http.html#versioning", "ETag headers should be prefixed with W/ and enclosed in quotes.")
async def etags_are_weak(server: Server) -> None:
    etag = (await server.get((await server.created(patient())).path)).header("ETag")
    must(etag.startswith('W/"') and etag.endswith('"'), "the ETag is not weak")


@rule(READ, "A GET for an unknown resource returns 404.")
async def read_of_the_unknown_is_404(server: Server) -> None:
    (await server.get(f"Patient/{server.fresh()}")).expect(404).outcome()


@rule(READ, "A GET for a deleted resource returns a 410 status code.")
async def read_of_the_deleted_is_410(server: Server) -> None:
    made = await server.created(patient())
    await server.delete(made.path)
    (await server.get(made.path)).expect(410).outcome()


@rule(READ, "Servers MAY include an ETag on the error response when reading a deleted record.")
async def gone_has_an_etag(server: Server) -> None:
    made = await server.created(patient())
    await server.delete(made.path)
    must((await server.get(made.path)).version != made.version, "the ETag is that of the version before the deletion")


@rule("http.html#create", "404 Not Found - resource type not supported, or not a FHIR end-point.")
async def an_unknown_type_is_404(server: Server) -> None:
    (await server.get(f"Nonsense/{server.fresh()}")).expect(404).outcome()


@rule(
    "http.html#root", "All URLs (and ids that form part of the URL) defined by this specification are case sensitive."
)
async def types_are_case_sensitive(server: Server) -> None:
    made = await server.created(patient())
    (await server.get(f"patient/{made.id}")).expect(404)


@rule("http.html#root", "Ids that form part of the URL … are case sensitive.")
async def ids_are_case_sensitive(server: Server) -> None:
    id = server.fresh()
    await server.put(f"Patient/{id}", patient(id=id))
    (await server.get(f"Patient/{id.upper()}")).expect(404)


@rule("datatypes.html#id", "Ids: [A-Za-z0-9\\-\\.]{1,64}.")
async def a_malformed_id_is_refused(server: Server) -> None:
    (await server.get("Patient/" + "a" * 65)).expect(400, 404)


@rule(READ, "The read interaction accesses the current contents of a resource, after an update the new ones.")
async def read_sees_the_update(server: Server) -> None:
    made = await server.created(patient())
    await server.put(made.path, patient(id=made.id, active=False))
    must((await server.get(made.path)).at("active") is False, "an update that was answered is not seen")


@rule(HEAD, "Anywhere that a GET request can be used, a HEAD request is also allowed: same response, but with no body.")
async def head_is_a_get_without_a_body(server: Server) -> None:
    made = await server.created(patient())
    answer = (await server.head(made.path)).expect(200)
    must(not answer.body, "HEAD has a body")


@rule(HEAD, "HEAD requests are treated as specified in HTTP: same response as a GET.")
async def head_has_the_headers_of_get(server: Server) -> None:
    made = await server.created(patient())
    get, head = await server.get(made.path), await server.head(made.path)
    for name in ("ETag", "Last-Modified", "Content-Type"):
        must(get.headers.get(name) == head.headers.get(name), f"{name} differs between GET and HEAD")


@rule(HEAD, "HEAD requests … same response as a GET: also where there is nothing.")
async def head_of_the_unknown_is_404(server: Server) -> None:
    must(not (await server.head(f"Patient/{server.fresh()}")).expect(404).body, "HEAD has a body")


@rule(CREAD, "Servers can return 304 Not Modified where the If-None-Match ETag was specified.")
async def if_none_match_gives_304(server: Server) -> None:
    made = await server.created(patient())
    etag = (await server.get(made.path)).header("ETag")
    answer = (await server.get(made.path, {"If-None-Match": etag})).expect(304)
    must(not answer.body, "304 has a body")


@rule("https://www.rfc-editor.org/rfc/rfc9110#section-15.4.5", "The server generating a 304 response MUST send ETag.")
async def a_304_has_the_etag(server: Server) -> None:
    made = await server.created(patient())
    etag = (await server.get(made.path)).header("ETag")
    must((await server.get(made.path, {"If-None-Match": etag})).header("ETag") == etag, "another ETag")


@rule(CREAD, "304 … or full content (the content has changed).")
async def if_none_match_with_an_older_version_gives_200(server: Server) -> None:
    made = await server.created(patient())
    etag = (await server.get(made.path)).header("ETag")
    await server.put(made.path, patient(id=made.id, active=False))
    (await server.get(made.path, {"If-None-Match": etag})).expect(200).resource("Patient")


@rule("https://www.rfc-editor.org/rfc/rfc9110#section-13.1.2", "If-None-Match is a list of entity tags.")
async def if_none_match_takes_a_list(server: Server) -> None:
    made = await server.created(patient())
    etag = (await server.get(made.path)).header("ETag")
    (await server.get(made.path, {"If-None-Match": f'W/"other", {etag}'})).expect(304)


@rule("https://www.rfc-editor.org/rfc/rfc9110#section-13.1.2", "If-None-Match uses the weak comparison.")
async def if_none_match_compares_weakly(server: Server) -> None:
    made = await server.created(patient())
    etag = (await server.get(made.path)).header("ETag")
    (await server.get(made.path, {"If-None-Match": etag.removeprefix("W/")})).expect(304)


@rule("https://www.rfc-editor.org/rfc/rfc9110#section-13.1.2", "If-None-Match: * is false if a representation exists.")
async def if_none_match_star_gives_304(server: Server) -> None:
    made = await server.created(patient())
    (await server.get(made.path, {"If-None-Match": "*"})).expect(304)


@rule(CREAD, "Servers can return 304 Not Modified because the If-Modified-Since date-time was specified.")
async def if_modified_since_gives_304(server: Server) -> None:
    made = await server.created(patient())
    shown = (await server.get(made.path)).header("Last-Modified")
    (await server.get(made.path, {"If-Modified-Since": shown})).expect(304)


@rule(CREAD, "The content has changed: full content.")
async def if_modified_since_an_earlier_date_gives_200(server: Server) -> None:
    made = await server.created(patient())
    earlier = formatdate((await server.get(made.path)).last_modified - 60, usegmt=True)
    (await server.get(made.path, {"If-Modified-Since": earlier})).expect(200)


@rule(
    "https://www.rfc-editor.org/rfc/rfc9110#section-13.1.3",
    "A recipient MUST ignore If-Modified-Since if it has If-None-Match.",
)
async def if_none_match_goes_before_if_modified_since(server: Server) -> None:
    made = await server.created(patient())
    shown = (await server.get(made.path)).header("Last-Modified")
    headers = {"If-None-Match": 'W/"other"', "If-Modified-Since": shown}
    (await server.get(made.path, headers)).expect(200)


@rule(
    "https://www.rfc-editor.org/rfc/rfc9110#section-13.1.3", "MUST ignore If-Modified-Since if it is not a valid date."
)
async def a_bad_if_modified_since_is_ignored(server: Server) -> None:
    made = await server.created(patient())
    (await server.get(made.path, {"If-Modified-Since": "yesterday"})).expect(200)


@rule(CREAD, "Clients may use If-None-Match on a read request: of something that is not there, too.")
async def a_conditional_read_of_the_unknown_is_404(server: Server) -> None:
    for tag in ('W/"1"', "*"):
        (await server.get(f"Patient/{server.fresh()}", {"If-None-Match": tag})).expect(404)


@rule(VREAD, "This returns a single instance with the content specified for the resource type for that version.")
async def vread_returns_that_version(server: Server) -> None:
    made = await server.created(patient(gender="male"))
    await server.put(made.path, patient(id=made.id, gender="female"))
    answer = (await server.get(f"{made.path}/_history/{made.version}")).expect(200)
    must(answer.at("gender") == "male", "not the content of that version")


@rule(VREAD, "The returned resource SHALL have an id element with a value that is the [id].")
async def vread_returns_the_id(server: Server) -> None:
    made = await server.created(patient())
    must((await server.get(f"{made.path}/_history/{made.version}")).at("id") == made.id, "another id")


@rule(VREAD, "The returned resource SHALL have a meta.versionId element with a value of [vid].")
async def vread_returns_the_version_id(server: Server) -> None:
    made = await server.created(patient())
    await server.put(made.path, patient(id=made.id, active=False))
    answer = await server.get(f"{made.path}/_history/{made.version}")
    must(answer.at("meta", "versionId") == made.version, "another version id")


@rule(VREAD, "Servers SHOULD return an ETag header with the versionId and a Last-Modified header.")
async def vread_has_etag_and_last_modified(server: Server) -> None:
    made = await server.created(patient())
    answer = await server.get(f"{made.path}/_history/{made.version}")
    must(answer.version == made.version and answer.last_modified > 0, "another version in the ETag")


@rule(VREAD, "Servers are encouraged to support a version specific retrieval of the current version.")
async def vread_of_the_current_version(server: Server) -> None:
    made = await server.created(patient())
    current = await server.get(made.path)
    must((await server.get(f"{made.path}/_history/{made.version}")).json() == current.json(), "differs from the read")


@rule(VREAD, "If the version referred to is one where the resource was deleted, the server should return a 410.")
async def vread_of_a_deletion_is_410(server: Server) -> None:
    made = await server.created(patient())
    await server.delete(made.path)
    version = (await server.get(made.path)).version
    (await server.get(f"{made.path}/_history/{version}")).expect(410).outcome()


@rule("http.html#delete", "The delete interaction does not remove a resource's version history.")
async def vread_still_shows_what_was_deleted(server: Server) -> None:
    made = await server.created(patient())
    await server.delete(made.path)
    (await server.get(f"{made.path}/_history/{made.version}")).expect(200).resource("Patient")


@rule(VREAD, "A version that never was: 404 Not Found.")
async def vread_of_the_unknown_is_404(server: Server) -> None:
    made = await server.created(patient())
    (await server.get(f"{made.path}/_history/4711")).expect(404).outcome()


@rule(VREAD, "The vid is an opaque identifier: one that the server did not make is 404 (or 400).")
async def vread_of_an_odd_version_id_is_refused(server: Server) -> None:
    made = await server.created(patient())
    (await server.get(f"{made.path}/_history/no-such-version")).expect(400, 404).outcome()


@rule(HEAD, "A HEAD request can also be used on vread.")
async def head_of_a_version(server: Server) -> None:
    made = await server.created(patient())
    must(not (await server.head(f"{made.path}/_history/{made.version}")).expect(200).body, "HEAD has a body")


@rule("http.html#mime-type", "The formal MIME-type for FHIR resources … SHALL be used by clients and servers.")
async def json_is_called_fhir_json(server: Server) -> None:
    made = await server.created(patient())
    must((await server.get(made.path)).media_type == FHIR_JSON, "the Content-Type is not application/fhir+json")


@rule("https://www.rfc-editor.org/rfc/rfc9110#section-6.6.1", "An origin server with a clock MUST generate Date.")
async def answers_have_a_date(server: Server) -> None:
    made = await server.created(patient())
    must(http_date((await server.get(made.path)).header("Date")) > 0, "no date")


@rule(READ, "Many reads at a time get the resource that each of them asked for.")
async def reads_do_not_mix(server: Server) -> None:
    made = [await server.created(patient(birthDate=f"19{number}-01-01")) for number in range(70, 80)]
    answers = await asyncio.gather(*(server.get(each.path) for each in made * 3))
    for each, answer in zip(made * 3, answers, strict=True):
        must(answer.at("id") == each.id, "an answer belongs to another request")


@rule(
    "https://www.rfc-editor.org/rfc/rfc9110#section-8.8.2.1",
    "An origin server MUST NOT generate a Last-Modified date that is later than the time of message origination.",
)
async def last_modified_is_not_later_than_date(server: Server) -> None:
    made = await server.created(patient())
    for answer in (await server.put(made.path, patient(id=made.id)), await server.get(made.path)):
        date, modified = (parsedate_to_datetime(answer.header(name)) for name in ("Date", "Last-Modified"))
        must(modified <= date, f"{answer.asked}: Last-Modified is later than Date")
