"""A client with a patient's scopes learns nothing of other patients: its answers are the same whether they exist.

Two stores get the same writes of the patient p. One of them gets writes of others, too: under ids that the client
tries, with identifiers that it searches for, and with Idempotency-Keys that it uses. Then the client asks both, while
the others go on. All that it is told is compared, errors and cursors included; only ids that the server made and times
may differ.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fhirstore import (
    Access,
    BundleOptions,
    ExportRequest,
    FhirStore,
    HistoryQuery,
    JsonPatch,
    MergePatch,
    TenantStore,
    ValidateRequest,
    parse_scopes,
)
from fhirstore.access.sight import Sight
from fhirstore.clock import SystemClock
from fhirstore.fhir.json import JsonObject
from fhirstore.objects.memory import MemoryStore
from fhirstore.search.criteria.limits import everything
from fhirstore.search.criteria.query import parse_query
from fhirstore.tenancy import PrefixTenancy
from tests.access.asking import Telling

IDS = ("x1", "x2", "x3")
VALUES = ("a", "b")
KEYS = ("k1", "k2")
OWN, OTHER = "p", "q"

Write = Callable[[TenantStore], Awaitable[object]]


def observation(patient: str, value: str, id: str | None = None, *, more: str = "") -> JsonObject:
    """An Observation of a patient, with an identifier."""
    resource: JsonObject = {
        "resourceType": "Observation",
        "status": "final",
        "code": {"text": f"of {patient}{more}"},
        "subject": {"reference": f"Patient/{patient}"},
        "identifier": [{"system": "urn:s", "value": value}],
        "category": [{"coding": [{"system": "urn:c", "code": value}]}],
    }
    return resource if id is None else {"id": id, **resource}


def linked(patient: str, id: str, target: str) -> JsonObject:
    """An Observation of a patient that refers to another, which may be somebody else's."""
    derived = {"derivedFrom": [{"reference": f"Observation/{target}"}]}
    return {**observation(patient, "a", f"l{id}"), **derived}


def access(patient: str) -> Access:
    """The same app, used by a patient."""
    scopes, others, _ = parse_scopes("patient/*.cruds launch/patient")
    return Access(f"user of {patient}", "app", "default", scopes, patient, others)


ids, values, keys, numbers = (st.sampled_from(some) for some in (IDS, VALUES, KEYS, (1, 2, 3)))


def writes_of(patient: str) -> st.SearchStrategy[tuple[str, ...]]:
    """Writes of resources of this patient."""
    return st.one_of(
        st.tuples(st.just("put"), st.just(patient), ids, values),
        st.tuples(st.just("post"), st.just(patient), values),
        st.tuples(st.just("keyed"), st.just(patient), keys, values),
        st.tuples(st.just("link"), st.just(patient), ids, st.one_of(ids, ids.map(lambda id_: f"h{id_}"))),
    )


foreign_writes = st.one_of(
    writes_of(OTHER),
    st.tuples(st.just("move"), ids, values),
    st.tuples(st.just("delete"), ids),
    st.tuples(st.just("bundle"), ids, values),
    st.tuples(st.just("binary"), ids),
    st.tuples(st.just("link"), ids, ids),
    st.tuples(st.just("rename"), values),
)


async def write_foreign(clinic: TenantStore, write: tuple[str, ...]) -> None:
    """Writes what belongs to others; ids of the patient are left alone."""
    match write:
        case "put", _, id_, value:
            await clinic.update(observation(OTHER, value, f"h{id_}"))
        case "post", _, value:
            await clinic.create(observation(OTHER, value))
        case "keyed", _, key, value:
            await Telling().told(clinic.acting(access(OTHER)).create(observation(OTHER, value), idempotency_key=key))
        case "link", _, id_, target:
            await clinic.update(linked(OTHER, f"h{id_}", target))
        case "move", id_, value:  # it was the patient's once
            await clinic.update(observation(OWN, value, f"h{id_}"))
            await clinic.update(observation(OTHER, value, f"h{id_}"))
        case "delete", id_:
            await clinic.delete("Observation", f"h{id_}")
        case "link", id_, target:
            await clinic.update(linked(OTHER, f"h{id_}", target))
        case "rename", value:
            await clinic.update({"resourceType": "Patient", "id": OTHER, "name": [{"family": value}]})
        case "binary", id_:
            secret = {"resourceType": "Binary", "id": f"h{id_}", "contentType": "text/plain", "data": "c2VjcmV0"}
            await clinic.update({**secret, "securityContext": {"reference": f"Patient/{OTHER}"}})
        case _, id_, value:
            entry = {
                "resource": observation(OTHER, value, f"h{id_}"),
                "request": {"method": "PUT", "url": f"Observation/h{id_}"},
            }
            options = BundleOptions(idempotency_key=KEYS[0])
            bundle: JsonObject = {"resourceType": "Bundle", "type": "transaction", "entry": [entry]}
            await Telling().told(clinic.acting(access(OTHER)).process(bundle, options=options))


async def write_own(clinic: TenantStore, write: tuple[str, ...]) -> None:
    """Writes what belongs to the patient."""
    match write:
        case "put", _, id_, value:
            await clinic.update(observation(OWN, value, id_))
        case "post", _, value:
            await clinic.update(observation(OWN, value, f"posted-{value}"))
        case "link", _, id_, target:
            await clinic.update(linked(OWN, id_, target))
        case _, _, key, value:
            await clinic.update(observation(OWN, value, f"keyed-{key}"))


SEARCHES = (
    "category=urn:c|{v}",
    "category:not={v}&status=final&_sort=-_id",
    "status=final&_sort=_lastUpdated&_include=*&_revinclude=*&_include:iterate=*",
    "subject:Patient.name={v}",
    "subject:Patient.name:missing=true",
    "patient._id=q,p&code:text=of",
    "derived-from:Observation.category={v}",
    "derived-from:Observation.subject:Patient.name={v}",
    "derived-from:missing=false&_include=Observation:derived-from",
    "_has:Observation:derived-from:category={v}",
    "_has:Observation:derived-from:subject=Patient/q",
    "_has:Observation:derived-from:_has:Observation:derived-from:status=final",
    "_id=x1,hx1,lx1,lhx1&_revinclude=Observation:derived-from",
    "subject=Patient/q",
    "identifier:of-type=a|b|c",
    "_lastUpdated=gt2000&_sort=-_lastUpdated,_id",
)
"""Of Observations, as the patient asks."""
CRITERIA = (
    "category=urn:c|{v}",
    "category=urn:c|{v}&status=final&subject=Patient/p",
    "identifier=urn:s|{v}&category={v}",
    "subject:Patient.name={v}",
    "_has:Observation:derived-from:category={v}",
    "derived-from:Observation.status=final",
)

tried = st.one_of(ids, ids.map(lambda id_: f"h{id_}"))
conditions = st.sampled_from((None, 1, 2, "*"))
questions = st.one_of(
    st.tuples(st.just("read"), tried),
    st.tuples(st.just("vread"), tried, numbers),
    st.tuples(st.just("read-binary"), tried),
    st.tuples(st.just("history"), tried, numbers),
    st.tuples(st.just("history-type"), numbers, st.booleans()),
    st.tuples(st.just("history-system"), numbers, st.booleans()),
    st.tuples(st.just("update"), tried, values, conditions, conditions),
    st.tuples(st.just("update-foreign"), tried),
    st.tuples(st.just("patch"), tried, values, conditions),
    st.tuples(st.just("merge"), tried),
    st.tuples(st.just("delete"), tried, conditions),
    st.tuples(st.just("check"), tried, conditions),
    st.tuples(st.just("create"), values),
    st.tuples(st.just("create-foreign"), values),
    st.tuples(st.just("create-keyed"), keys, values),
    st.tuples(st.just("create-referring"), tried),
    st.tuples(st.just("conditional-create"), values),
    st.tuples(st.just("conditional-update"), values, st.one_of(st.none(), tried)),
    st.tuples(st.just("conditional-patch"), values),
    st.tuples(st.just("conditional-delete"), values),
    st.tuples(st.just("delete-matching"), values),
    st.tuples(st.just("search"), st.sampled_from(("", "a", "b")), numbers),
    st.tuples(st.just("find"), st.sampled_from(SEARCHES), values, numbers),
    st.tuples(st.just("find"), st.sampled_from(SEARCHES), values, numbers),
    st.tuples(
        st.just("find-patients"),
        st.sampled_from(("_revinclude=*", "name={v}", "_has:Observation:patient:status=final")),
    ),
    st.tuples(st.just("number"), st.sampled_from(SEARCHES), values),
    st.tuples(
        st.sampled_from(("create-on", "update-on", "patch-on", "delete-on", "delete-all-on")),
        st.sampled_from(CRITERIA),
        values,
    ),
    st.tuples(st.just("refer-by"), st.sampled_from(CRITERIA), values),
    st.tuples(st.just("search-ids"), st.lists(tried, min_size=1, max_size=4, unique=True), numbers),
    st.tuples(st.just("search-all"), numbers),
    st.tuples(st.just("search-system"), numbers),
    st.tuples(st.just("count"), st.sampled_from(("", "a", "b"))),
    st.tuples(st.just("validate"), tried, st.sampled_from(("", "delete"))),
    st.tuples(st.just("export")),
    st.tuples(
        st.sampled_from(("batch", "transaction")),
        st.lists(
            st.one_of(
                st.tuples(st.just("PUT"), tried, values),
                st.tuples(st.just("POST"), st.one_of(st.none(), values), values),
                st.tuples(st.just("DELETE"), tried),
                st.tuples(st.just("GET"), tried),
                st.tuples(st.just("DELETE?"), values),
                st.tuples(st.just("PUT?"), values),
                st.tuples(st.just("REF"), values),
            ),
            min_size=1,
            max_size=4,
            unique_by=lambda entry: entry[1],
        ),
        st.booleans(),
    ),
)


async def pages(ask: Callable[[str | None], Awaitable[object]]) -> list[object]:
    """Follows `next` to the end."""
    found: list[object] = []
    cursor: str | None = None
    for _ in range(40):
        page = await ask(cursor)
        found.append(page)
        cursor = page.next  # type: ignore[attr-defined] # of a search or a history
        if cursor is None:
            return found
    raise AssertionError("the pages do not end")


async def ask(app: TenantStore, question: tuple) -> object:  # type: ignore[type-arg] # noqa: PLR0912 - a table
    """Asks one question."""
    match question:
        case "read", id_:
            return await app.read("Observation", id_)
        case "vread", id_, number:
            return await app.vread("Observation", id_, number)
        case "read-binary", id_:
            return await app.read("Binary", id_)
        case "history", id_, count:
            query = HistoryQuery(count)
            return await pages(lambda cursor: app.history_page("Observation", id_, query=query, cursor=cursor))
        case ("history-type" | "history-system") as kind, count, oldest_first:
            query = HistoryQuery(count, oldest_first=oldest_first)
            type_ = "Observation" if kind == "history-type" else None
            return await pages(lambda cursor: app.history_page(type_, query=query, cursor=cursor))
        case "update", id_, value, if_match, if_none_match:
            changed = observation(OWN, value, id_, more=" changed")
            return await app.update(changed, if_match=if_match, if_none_match=if_none_match)
        case "update-foreign", id_:
            return await app.update(observation(OTHER, "a", id_))
        case "patch", id_, value, if_match:
            operation = {"op": "replace", "path": "/code/text", "value": value}
            return await app.patch("Observation", id_, JsonPatch.parse([operation]), if_match=if_match)
        case "merge", id_:
            gives_away = {"subject": {"reference": f"Patient/{OTHER}"}}
            return await app.patch("Observation", id_, MergePatch.parse(gives_away))
        case "delete", id_, if_match:
            return await app.delete("Observation", id_, if_match=if_match)
        case "check", id_, if_match:
            await app.check_preconditions("Observation", id_, if_match=if_match)
            return None
        case "create", value:
            return await app.create(observation(OWN, value))
        case "create-foreign", value:
            return await app.create(observation(OTHER, value))
        case "create-keyed", key, value:
            return await app.create(observation(OWN, value), idempotency_key=key)
        case "create-referring", id_:
            refers = {"derivedFrom": [{"reference": f"Observation/{id_}"}]}
            return await app.create({**observation(OWN, "a"), **refers})
        case "conditional-create", value:
            return await app.conditional_create(observation(OWN, value), f"identifier=urn:s|{value}")
        case "conditional-update", value, id_:
            return await app.conditional_update(observation(OWN, value, id_), f"identifier=urn:s|{value}")
        case "conditional-patch", value:
            patch = JsonPatch.parse([{"op": "replace", "path": "/status", "value": "amended"}])
            return await app.conditional_patch("Observation", f"identifier=urn:s|{value}", patch)
        case "conditional-delete", value:
            return await app.conditional_delete("Observation", f"identifier=urn:s|{value}")
        case "delete-matching", value:
            return await app.delete_matching("Observation", f"identifier=urn:s|{value}")
        case "search", value, count:
            criteria = app.query("Observation", [("identifier", f"urn:s|{value}")])
            return await pages(lambda cursor: app.search_page(criteria, count=count, cursor=cursor))
        case "find", query, value, count:
            asked = app.query("Observation", parse_query(f"{query.format(v=value)}&_total=accurate"))
            return await pages(lambda cursor: app.search_page(asked, count=count, cursor=cursor))
        case "find-patients", query:
            asked = app.query("Patient", parse_query(f"{query.format(v='a')}&_total=accurate"))
            return await pages(lambda cursor: app.search_page(asked, cursor=cursor))
        case "number", query, value:
            return await app.count("Observation", query.format(v=value))
        case "create-on", query, value:
            return await app.conditional_create(observation(OWN, value), query.format(v=value))
        case "update-on", query, value:
            return await app.conditional_update(observation(OWN, value), query.format(v=value))
        case "patch-on", query, value:
            patch = JsonPatch.parse([{"op": "replace", "path": "/status", "value": "amended"}])
            return await app.conditional_patch("Observation", query.format(v=value), patch)
        case "delete-on", query, value:
            return await app.conditional_delete("Observation", query.format(v=value))
        case "delete-all-on", query, value:
            return await app.delete_matching("Observation", query.format(v=value))
        case "refer-by", query, value:
            reference = {"derivedFrom": [{"reference": f"Observation?{query.format(v=value)}"}]}
            entry = {
                "resource": {**observation(OWN, "c"), **reference},
                "request": {"method": "POST", "url": "Observation", "ifNoneExist": query.format(v="c")},
            }
            return await app.process({"resourceType": "Bundle", "type": "transaction", "entry": [entry]})
        case "search-ids", some, count:
            criteria = app.query("Observation", [("_id", ",".join(some))])
            return await pages(lambda cursor: app.search_page(criteria, count=count, cursor=cursor))
        case ("search-all" | "search-system") as kind, count:
            criteria = app.query("Observation" if kind == "search-all" else None, [])
            return await pages(lambda cursor: app.search_page(criteria, count=count, cursor=cursor))
        case "count", value:
            return await app.count("Observation", {"identifier": f"urn:s|{value}"})
        case "validate", id_, mode:
            return await app.validate(ValidateRequest("Observation", id_, mode=mode))
        case ("export",):
            return await app.exports.start(ExportRequest())
        case kind, entries, keyed:
            options = BundleOptions(idempotency_key=KEYS[0] if keyed else None, at_once=1)
            return await app.process(
                {"resourceType": "Bundle", "type": kind, "entry": [_entry(*entry) for entry in entries]},
                options=options,
            )
    raise AssertionError(question)


def _entry(method: str, first: str | None, second: str = "") -> JsonObject:
    match method:
        case "PUT":
            return {
                "resource": observation(OWN, second, first),
                "request": {"method": "PUT", "url": f"Observation/{first}"},
            }
        case "POST":
            request = {"method": "POST", "url": "Observation"}
            if first is not None:
                request["ifNoneExist"] = f"identifier=urn:s|{first}"
            return {"resource": observation(OWN, first or second), "request": request}
        case "PUT?":
            url = f"Observation?identifier=urn:s|{first}"
            return {"resource": observation(OWN, first or ""), "request": {"method": "PUT", "url": url}}
        case "DELETE?":
            return {"request": {"method": "DELETE", "url": f"Observation?identifier=urn:s|{first}"}}
        case "REF":
            refers = {"derivedFrom": [{"reference": f"Observation?identifier=urn:s|{first}"}]}
            return {
                "resource": {**observation(OWN, "c"), **refers},
                "request": {"method": "POST", "url": "Observation"},
            }
    return {"request": {"method": method, "url": f"Observation/{first}"}}


Step = tuple[str, tuple]  # type: ignore[type-arg]
steps = st.lists(
    st.one_of(
        st.tuples(st.just("foreign"), foreign_writes),
        st.tuples(st.just("own"), writes_of(OWN)),
        st.tuples(st.just("ask"), questions),
    ),
    min_size=2,
    max_size=14,
)


async def answers(script: list[Step], *, foreign: bool, integrity: bool) -> list[str]:
    """Returns what the client is told in a store with or without the writes of others."""
    store = FhirStore(PrefixTenancy(MemoryStore(Ticking()), None), reference_integrity=integrity)
    try:
        clinic = store.tenant("default")
        await clinic.update({"resourceType": "Patient", "id": OWN})
        await clinic.update({"resourceType": "Patient", "id": OTHER})
        app, telling = clinic.acting(access(OWN)), Telling()
        told: list[str] = []
        for kind, what in script:
            if what[0] == "link" and integrity:  # what is linked to may be hidden, or not there
                continue
            if kind == "foreign" and foreign:
                await write_foreign(clinic, what)
            elif kind == "own":
                await write_own(clinic, what)
            elif kind == "ask":
                told.append(await telling.told(ask(app, what)))
        return told
    finally:
        await store.settle()
        await store.aclose()


class Ticking(SystemClock):
    """Never says the same time twice: versions of one millisecond are in the order of their names."""

    def __init__(self) -> None:
        self._last = 0

    def now(self) -> int:
        self._last = max(super().now(), self._last + 1)
        return self._last


@settings(max_examples=60)
@given(steps, st.booleans())
@example([("foreign", ("put", OTHER, "x1", "a")), ("ask", ("search-all", 1))], False)
@example([("foreign", ("put", OTHER, "x1", "a")), ("ask", ("create-referring", "hx1"))], True)
@example(
    [("own", ("put", OWN, "x1", "b")), ("foreign", ("link", "x1", "x1")), ("ask", ("find", SEARCHES[9], "a", 1))], False
)
@example(
    [
        ("own", ("link", OWN, "x1", "hx1")),
        ("foreign", ("put", OTHER, "x1", "a")),
        ("ask", ("find", SEARCHES[6], "a", 1)),
    ],
    False,
)
@example([("foreign", ("move", "x1", "a")), ("ask", ("history", "hx1", 1)), ("ask", ("vread", "hx1", 1))], False)
@example([("foreign", ("keyed", OTHER, "k1", "a")), ("ask", ("create-keyed", "k1", "a"))], False)
@example([("foreign", ("delete", "x1")), ("ask", ("update", "hx1", "a", None, None))], False)
@example([("foreign", ("bundle", "x1", "a")), ("ask", ("transaction", [("PUT", "x1", "a")], True))], False)
def test_answers_do_not_depend_on_other_patients(script: list[Step], integrity: bool) -> None:
    """Whatever the client asks, in whatever order, while others write."""
    with_others = asyncio.run(answers(script, foreign=True, integrity=integrity))
    assert with_others == asyncio.run(answers(script, foreign=False, integrity=integrity))


def _without(patch: pytest.MonkeyPatch, limits: str) -> None:
    patch.setattr(Sight, "sees", lambda *_: None)
    patch.setattr(limits, lambda *_: everything)


MUTANTS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "reads show everything": lambda patch: patch.setattr(Sight, "shows", lambda *_: True),
    "an Idempotency-Key has no owner": lambda patch: patch.setattr(Sight, "owned", lambda _, key: key),
    "searches by identifier see everything": lambda patch: patch.setattr(Sight, "sees", lambda *_: None),
    "the index finds everything": lambda patch: _without(patch, "fhirstore.tenant.searching.limits_of"),
    "totals count everything": lambda patch: patch.setattr(
        "fhirstore.tenant.searching.limits_of", lambda *_: everything
    ),
    "conditions find everything": lambda patch: _without(patch, "fhirstore.tenant.acting.limits_of"),
    "chains of conditions lead through everything": lambda patch: patch.setattr(
        "fhirstore.tenant.acting.limits_of", lambda *_: everything
    ),
    "changes are not limited": lambda patch: patch.setattr(
        Sight, "changing", lambda self, interaction, decide, type, creates=False: decide
    ),
}
CAUGHT_BY: dict[str, list[Step]] = {
    "reads show everything": [("foreign", ("put", OTHER, "x1", "a")), ("ask", ("read", "hx1"))],
    "an Idempotency-Key has no owner": [
        ("foreign", ("keyed", OTHER, "k1", "a")),
        ("ask", ("create-keyed", "k1", "b")),
    ],
    "searches by identifier see everything": [("foreign", ("post", OTHER, "a")), ("ask", ("conditional-delete", "a"))],
    "the index finds everything": [("foreign", ("post", OTHER, "a")), ("ask", ("search-all", 1))],
    "totals count everything": [("foreign", ("post", OTHER, "a")), ("ask", ("find", SEARCHES[0], "a", 1))],
    "conditions find everything": [("foreign", ("post", OTHER, "a")), ("ask", ("delete-on", CRITERIA[0], "a"))],
    "chains of conditions lead through everything": [
        ("own", ("put", OWN, "x1", "b")),
        ("foreign", ("link", "x1", "x1")),
        ("ask", ("delete-on", "_has:Observation:derived-from:category={v}", "a")),
    ],
    "changes are not limited": [("foreign", ("put", OTHER, "x1", "a")), ("ask", ("delete", "hx1", None))],
}


@pytest.mark.parametrize("mutant", MUTANTS)
async def test_the_comparison_would_find_a_leak(mutant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a part of the restriction is taken out, the answers differ."""
    MUTANTS[mutant](monkeypatch)
    script = CAUGHT_BY[mutant]
    told = [await answers(script, foreign=foreign, integrity=False) for foreign in (True, False)]
    assert told[0] != told[1]


async def test_own_data_is_seen() -> None:
    """So equal answers are not empty ones."""
    script: list[Step] = [
        ("own", ("put", OWN, "x1", "a")),
        *[
            ("ask", one)
            for one in (("read", "x1"), ("search", "a", 1), ("history", "x1", 1), ("history-system", 3, True))
        ],
    ]
    told = await answers(script, foreign=False, integrity=True)
    assert all("of p" in text for text in told)
