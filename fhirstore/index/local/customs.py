"""The search parameters that a tenant defines itself, by SearchParameter resources.

The file keeps what they say (table `definition`), and which parameters follow from it (table `parameter`), each with
a number of its own. A new one is *filled*: the resources that are there already get rows of it, in the order of `rid`;
what is written meanwhile has them at once. It is answered from the sequence number at which all have them. For one that
is not used any more, the type is filled once more, and so its rows go. Whatever changes the set makes a new *revision*,
by which each process notices that its catalogue is an old one.

What cannot be used is not refused when it is written, since it may be meant for another server: a search that names it
is told why.

https://hl7.org/fhir/R4/searchparameter.html
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

import msgspec

from fhirstore.errors import InvalidExpression
from fhirstore.fhir.definitions import load
from fhirstore.fhir.definitions.facts import Component, Definitions, SearchParameter
from fhirstore.fhir.definitions.nodes import nodes, text, texts
from fhirstore.fhir.json import JsonObject
from fhirstore.fhir.search_parameters.composites import branches_of
from fhirstore.fhir.search_parameters.evaluated import path_of
from fhirstore.index.local.catalogue import BEYOND, KINDS, Catalogue, Custom
from fhirstore.index.local.noted import note, noted

DEFINING = "SearchParameter"
MOST_PARAMETERS = 1_000
"""Parameters of one tenant, each type counted; one of all types is many."""
MOST_EXPRESSION = 4_000
"""Characters of an expression."""
FIRST_NUMBER = 1_000_000
"""The numbers of customs begin here; those of the release are below."""
NUMBERS_EACH = 8
_IN_USE = ("draft", "active")
_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


class Stored(msgspec.Struct, frozen=True):
    """What a SearchParameter resource says."""

    id: str
    status: str
    parameter: SearchParameter


@dataclass(frozen=True, slots=True)
class Decided:
    """`used`: type and code -> parameter. `refused`: type and code -> why it is not used."""

    used: Mapping[tuple[str, str], SearchParameter]
    refused: Mapping[tuple[str, str], str]


_write = msgspec.json.Encoder().encode
_read_stored = msgspec.json.Decoder(Stored).decode
_read_parameter = msgspec.json.Decoder(SearchParameter).decode


def stored(id: str, resource: JsonObject) -> Stored:
    """Reads a SearchParameter resource. What is missing is empty."""
    components = tuple(
        Component(text(one, "definition"), text(one, "expression")) for one in nodes(resource, "component")
    )
    parameter = SearchParameter(
        text(resource, "code"),
        text(resource, "url"),
        text(resource, "type"),
        texts(resource, "base"),
        text(resource, "expression"),
        texts(resource, "target"),
        components,
    )
    return Stored(id, text(resource, "status"), parameter)


def decided(definitions: Definitions, all_stored: Iterable[Stored]) -> Decided:
    """Decides which parameters follow from the stored resources, in an order that is the same everywhere: by URL, then
    id. Composites come last, since their components may be parameters of the tenant.
    """
    used: dict[tuple[str, str], SearchParameter] = {}
    refused: dict[tuple[str, str], str] = {}
    known = definitions
    in_order = sorted(all_stored, key=lambda one: (one.parameter.type == "composite", one.parameter.url, one.id))
    for one in in_order:
        if one.parameter.type == "composite":
            known = extended(definitions, used)
        for type_ in _types(definitions, one.parameter):
            at = (type_, one.parameter.code)
            if one.parameter.code in definitions.search_parameters[type_]:
                if definitions.search_parameters[type_][one.parameter.code].url == one.parameter.url:
                    continue  # a copy of FHIR's own
                why: str | None = "FHIR itself defines a parameter of this code"
            elif at in used:
                why = "another SearchParameter defines a parameter of this code"
            elif len(used) >= MOST_PARAMETERS:
                why = f"there are more than {MOST_PARAMETERS:,} parameters already"
            else:
                why = _why_not(known, type_, one)
            if why is None:
                used[at] = one.parameter
            else:
                refused.setdefault(at, f"SearchParameter/{one.id} is not used: {why}")
    return Decided(used, {at: why for at, why in refused.items() if at not in used})


def _types(definitions: Definitions, parameter: SearchParameter) -> Iterator[str]:
    """Yields the types of resources that a parameter is for."""
    for type_ in sorted(definitions.resources):
        bases, name = {type_}, type_
        while name := definitions.types[name].base if name in definitions.types else "":
            bases.add(name)
        if not bases.isdisjoint(parameter.base):
            yield type_


def _why_not(definitions: Definitions, type: str, one: Stored) -> str | None:
    parameter = one.parameter
    if one.status not in _IN_USE:
        return f"its status is not {' or '.join(_IN_USE)}"
    if not _CODE.fullmatch(parameter.code) or parameter.code in BEYOND:
        return "its code cannot be the name of a parameter"
    if parameter.type not in (*KINDS, "composite"):
        return "parameters of its type are not supported"
    if len(parameter.expression) > MOST_EXPRESSION:
        return f"its expression has more than {MOST_EXPRESSION:,} characters"
    if parameter.type != "composite":
        return _why_not_compiled(definitions.release, type, parameter)
    try:
        found = bool(branches_of(definitions, type, parameter))
    except InvalidExpression as error:
        return str(error)
    return None if found else f"its expression selects nothing in a {type}"


@lru_cache(maxsize=8_192)
def _why_not_compiled(release: str, type: str, parameter: SearchParameter) -> str | None:
    try:
        found = bool(path_of(load.definitions(release), type, parameter).types)
    except InvalidExpression as error:
        return str(error)
    return None if found else f"its expression selects nothing in a {type}"


def extended(definitions: Definitions, used: Mapping[tuple[str, str], SearchParameter]) -> Definitions:
    """Returns the definitions with parameters of the tenant."""
    by_type: dict[str, dict[str, SearchParameter]] = {}
    for (type_, code), parameter in used.items():
        by_type.setdefault(type_, {})[code] = parameter
    official = definitions.search_parameters

    def make(type: str) -> Mapping[str, SearchParameter]:
        own = by_type.get(type)
        return official[type] if own is None else dict(sorted({**official[type], **own}.items()))

    return replace(definitions, search_parameters=load.Lazy(dict.fromkeys(official), make))


# --- in the file --------------------------------------------------------------------------------------------


def revision_of(connection: sqlite3.Connection) -> int:
    """Returns the revision of the parameters of a file; 0 where there never were any."""
    return int(noted(connection, "parameters", 0))


def current(catalogue: Catalogue, connection: sqlite3.Connection) -> Catalogue:
    """Returns the catalogue with the parameters that the file has: the same one, where it has them."""
    revision = revision_of(connection)
    if revision == catalogue.revision:
        return catalogue
    official = catalogue.official
    ruled = decided(official.definitions, _all_stored(connection))
    customs = [
        Custom(pid, type_, parameter, ready)
        for pid, type_, parameter, ready in _parameters(connection)
        if ruled.used.get((type_, parameter.code)) == parameter
    ]
    unfilled = frozenset(row[0] for row in connection.execute("SELECT type FROM parameter WHERE ready IS NULL"))
    return official.with_customs(
        extended(official.definitions, ruled.used), customs, ruled.refused, revision=revision, unfilled=unfilled
    )


def changed(
    connection: sqlite3.Connection, catalogue: Catalogue, applied: Mapping[str, Stored | None], *, seq: int
) -> None:
    """Takes the new versions of SearchParameter resources, by id (None: it is gone), in the caller's transaction, which
    makes the sequence number `seq`.
    """
    for id_, one in applied.items():
        if one is None:
            connection.execute("DELETE FROM definition WHERE id = ?", (id_,))
        else:
            connection.execute("INSERT OR REPLACE INTO definition VALUES (?, ?)", (id_, _write(one)))
    wanted = dict(decided(catalogue.official.definitions, _all_stored(connection)).used)
    for pid, type_, parameter, _ in list(_parameters(connection)):
        if wanted.get((type_, parameter.code)) == parameter:
            del wanted[type_, parameter.code]
        else:
            connection.execute("UPDATE parameter SET content = '', filled = -1, ready = NULL WHERE pid = ?", (pid,))
    pid = int(noted(connection, "next parameter", FIRST_NUMBER))
    for (type_, _), parameter in sorted(wanted.items()):
        number = catalogue.type_number(type_)
        there = connection.execute("SELECT 1 FROM resource WHERE type = ? LIMIT 1", (number,)).fetchone()
        values = (pid, type_, _write(parameter), -1, None if there else seq)
        connection.execute("INSERT INTO parameter VALUES (?, ?, ?, ?, ?)", values)
        pid += NUMBERS_EACH
    note(connection, "next parameter", pid)
    _revise(connection)


@dataclass(frozen=True, slots=True)
class Filling:
    """What is to be filled next: of one type, the resources after the number `after`. `pids`: of the parameters."""

    type: str
    after: int
    pids: tuple[int, ...]


def next_filling(connection: sqlite3.Connection) -> Filling | None:
    """Returns what is to be filled next; None where nothing is."""
    rows = connection.execute("SELECT type, filled, pid FROM parameter WHERE ready IS NULL ORDER BY type, filled, pid")
    found: list[tuple[str, int, int]] = rows.fetchall()
    if not found:
        return None
    type_, after, _ = found[0]
    return Filling(type_, after, tuple(pid for its, filled, pid in found if (its, filled) == (type_, after)))


def filled(connection: sqlite3.Connection, filling: Filling, through: int | None, *, seq: int) -> None:
    """Notes that the resources up to `through` have rows; None: all have, with the sequence number `seq`."""
    for pid in filling.pids:
        if through is None:
            connection.execute("UPDATE parameter SET ready = ? WHERE pid = ? AND ready IS NULL", (seq, pid))
        else:
            connection.execute("UPDATE parameter SET filled = max(filled, ?) WHERE pid = ?", (through, pid))
    if through is None:
        connection.execute("DELETE FROM parameter WHERE content = '' AND ready IS NOT NULL")
        _revise(connection)


def _revise(connection: sqlite3.Connection) -> None:
    note(connection, "parameters", revision_of(connection) + 1)


def _all_stored(connection: sqlite3.Connection) -> list[Stored]:
    return [_read_stored(row[0]) for row in connection.execute("SELECT content FROM definition")]


def _parameters(connection: sqlite3.Connection) -> Iterator[tuple[int, str, SearchParameter, int | None]]:
    query = "SELECT pid, type, content, ready FROM parameter WHERE content <> ''"
    for pid, type_, content, ready in connection.execute(query):
        yield pid, type_, _read_parameter(content), ready
