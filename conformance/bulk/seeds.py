"""The data that the checks export, written by REST: few resources, each of them there to tell two answers apart."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from conformance.rest.server import SYSTEM, Created, Json, Server

_APART = 1.2  # seconds between what is before `middle` and what is after it: some servers count in seconds
CONTENT = b"the content of an attachment"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seeds:
    """Paths `[type]/[id]` of what was written.

    `anna` and `bert` are the members of `group`, `carl` is an inactive one; `dora` and the last version of `bert` were
    written after `middle`, an instant in FHIR's form; `gone` was deleted after it. `empty` is a group of nobody.

    Anna has the observations `final`, `preliminary` and `amended`, bert and carl a final one each. `older` and `newer`
    are the Provenance of `final`, `foreign` is that of `organization`. `note` is a DocumentReference of anna whose
    attachment is `binary`, which belongs to her, too.
    """

    anna: str
    bert: str
    carl: str
    dora: str
    gone: str
    organization: str
    final: str
    preliminary: str
    amended: str
    berts: str
    carls: str
    older: str
    newer: str
    foreign: str
    note: str
    binary: str
    group: str
    empty: str
    middle: str

    @property
    def patients(self) -> set[str]:
        """Those that are there."""
        return {self.anna, self.bert, self.carl, self.dora}

    @property
    def observations(self) -> set[str]:
        """All of them."""
        return {self.final, self.preliminary, self.amended, self.berts, self.carls}

    @property
    def all(self) -> set[str]:
        """All resources but the Binary, whose exports differ, and what was deleted."""
        provenance = {self.older, self.newer, self.foreign}
        return self.patients | self.observations | provenance | {self.organization, self.note, self.group, self.empty}


async def seed(server: Server) -> Seeds:
    """Writes them."""

    async def create(resource: Json) -> Created:
        return await server.created(resource)

    organization = (await create({"resourceType": "Organization", "name": "Check"})).path
    anna, bert, carl, gone = await asyncio.gather(
        create(_person(server, "Anna", gender="female", birthDate="1980-05-01")),
        create(_person(server, "Bert", gender="male")),
        create(_person(server, "Carl", gender="male")),
        create(_person(server, "Gone")),
    )
    for city in ("Berlin", "Paris"):
        address = {**_person(server, "Anna", gender="female", birthDate="1980-05-01"), "address": [{"city": city}]}
        (await server.put(anna.path, {**address, "id": anna.id})).expect(200, 201)
    final, preliminary, amended, berts, carls = await asyncio.gather(
        create(_observation(anna, "final")),
        create(_observation(anna, "preliminary")),
        create(_observation(anna, "amended")),
        create(_observation(bert, "final")),
        create(_observation(carl, "final")),
    )
    older = await create(_provenance(final.path, "2020-01-01T00:00:00Z"))
    newer = await create(_provenance(final.path, "2021-01-01T00:00:00Z"))
    foreign = await create(_provenance(organization, "2021-01-01T00:00:00Z"))
    binary = await create(
        {
            "resourceType": "Binary",
            "contentType": "text/plain",
            "securityContext": {"reference": anna.path},
            "data": base64.b64encode(CONTENT).decode(),
        }
    )
    note = await create(
        {
            "resourceType": "DocumentReference",
            "status": "current",
            "subject": {"reference": anna.path},
            "content": [{"attachment": {"contentType": "text/plain", "url": binary.path}}],
        }
    )
    group = await create(
        _group({"entity": {"reference": anna.path}}, {"entity": {"reference": bert.path}}, _left(carl))
    )
    empty = await create(_group())
    before = str((await server.get(empty.path)).expect(200).at("meta", "lastUpdated"))
    await asyncio.sleep(_APART)
    (await server.put(bert.path, {**_person(server, "Bert", gender="male", active=False), "id": bert.id})).expect(200)
    dora = await create(_person(server, "Dora"))
    (await server.delete(gone.path)).expect(200, 202, 204)
    return Seeds(
        anna=anna.path,
        bert=bert.path,
        carl=carl.path,
        dora=dora.path,
        gone=gone.path,
        organization=organization,
        final=final.path,
        preliminary=preliminary.path,
        amended=amended.path,
        berts=berts.path,
        carls=carls.path,
        older=older.path,
        newer=newer.path,
        foreign=foreign.path,
        note=note.path,
        binary=binary.path,
        group=group.path,
        empty=empty.path,
        middle=_later(before, _APART / 2),
    )


def _person(server: Server, name: str, **members: object) -> Json:
    identifier = {"system": SYSTEM, "value": server.fresh()}
    return {"resourceType": "Patient", "identifier": [identifier], "name": [{"family": name}], **members}


def _observation(patient: Created, status: str) -> Json:
    return {
        "resourceType": "Observation",
        "status": status,
        "code": {"coding": [{"system": "http://loinc.org", "code": "29463-7"}]},
        "subject": {"reference": patient.path},
        "valueQuantity": {"value": 70, "unit": "kg", "system": "http://unitsofmeasure.org", "code": "kg"},
    }


def _provenance(target: str, recorded: str) -> Json:
    return {
        "resourceType": "Provenance",
        "target": [{"reference": target}],
        "recorded": recorded,
        "agent": [{"who": {"display": "Check"}}],
    }


def _group(*members: Json) -> Json:
    group: Json = {"resourceType": "Group", "type": "person", "actual": True}
    return {**group, "member": list(members)} if members else group


def _left(patient: Created) -> Json:
    return {"entity": {"reference": patient.path}, "inactive": True}


def _later(text: str, seconds: float) -> str:
    moment = datetime.fromisoformat(text.replace("Z", "+00:00")) + timedelta(seconds=seconds)
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
