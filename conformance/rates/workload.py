"""What is measured: FHIR interactions as HTTP calls, the same whoever answers and however they are sent.

https://hl7.org/fhir/R4/http.html
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle

from conformance.rates.patients import patients, registered_patients, with_id

MEDIA_TYPE = "application/fhir+json"
LOCATION = re.compile(r"Patient/([A-Za-z0-9.-]{1,64})(?:/_history/([A-Za-z0-9.-]{1,64}))?")


@dataclass(frozen=True, slots=True)
class Stored:
    """A Patient that the server holds, at the version it was created with."""

    id: str
    version: str

    @classmethod
    def at(cls, location: str) -> Stored:
        """From the Location of a create. Raises ValueError when it names no Patient."""
        found = LOCATION.search(location)
        if not found:
            raise ValueError("the Location of a create names no Patient")
        return cls(found[1], found[2] or "1")


@dataclass(frozen=True, slots=True)
class Call:
    """One request below the FHIR base."""

    method: str
    path: str
    body: bytes = b""

    @property
    def headers(self) -> dict[str, str]:
        content = {"Content-Type": MEDIA_TYPE} if self.body else {}
        return {"Accept": MEDIA_TYPE, **content}


@dataclass(frozen=True, slots=True)
class Interaction:
    """One row of the report. `calls` makes its requests from Patients that are stored; `expected`: its statuses."""

    name: str
    expected: tuple[int, ...]
    calls: Callable[[Sequence[Stored]], Iterator[Call]]


def creates(stored: Sequence[Stored] = ()) -> Iterator[Call]:
    """A new Patient each; the server assigns ids."""
    return (Call("POST", "/Patient", patient) for patient in patients())


def registrations(stored: Sequence[Stored] = ()) -> Iterator[Call]:
    """A new Patient with three identifiers each: their index entries are written, too."""
    return (Call("POST", "/Patient", patient) for patient in registered_patients())


def reads(stored: Sequence[Stored]) -> Iterator[Call]:
    """The current version of one after the other, round and round."""
    return cycle([Call("GET", f"/Patient/{patient.id}") for patient in stored])


def vreads(stored: Sequence[Stored]) -> Iterator[Call]:
    """The first version of one after the other, round and round."""
    return cycle([Call("GET", f"/Patient/{patient.id}/_history/{patient.version}") for patient in stored])


def updates(stored: Sequence[Stored]) -> Iterator[Call]:
    """Changed content for one after the other, round and round: two for the same id are far apart."""
    return (
        Call("PUT", f"/Patient/{old.id}", with_id(new, old.id))
        for old, new in zip(cycle(stored), patients(), strict=False)
    )


def deletes(stored: Sequence[Stored]) -> Iterator[Call]:
    """Each once: deleting the deleted would be another, cheaper interaction."""
    return (Call("DELETE", f"/Patient/{patient.id}") for patient in stored)


CREATE = Interaction("create", (201,), creates)
REGISTER = Interaction("create, 3 identifiers", (201,), registrations)
READ = Interaction("read", (200,), reads)
VREAD = Interaction("vread", (200,), vreads)
UPDATE = Interaction("update", (200,), updates)
DELETE = Interaction("delete", (200, 204), deletes)
INTERACTIONS = (CREATE, REGISTER, READ, VREAD, UPDATE, DELETE)
