"""`_text` and `_content`: what was acknowledged is found by its words at once, where the setting says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from fhirstore import FhirStore, IndexOptions
from fhirstore.errors import Unsupported
from fhirstore.fhir.json import JsonObject
from tests.server.serving import Served


def told(id: str, text: str) -> JsonObject:
    """A Patient whose narrative says this."""
    div = f'<div xmlns="http://www.w3.org/1999/xhtml"><p>{text}</p></div>'
    return {"resourceType": "Patient", "id": id, "gender": "female", "text": {"status": "generated", "div": div}}


async def test_a_narrative_is_found_by_its_words(served: Served) -> None:
    """By GET, POST and in all types; as it is now, and on later pages as it was."""
    for id_, text in (("a", "Metastases in the liver"), ("b", "Metástases: bone"), ("c", "a broken bone")):
        assert (await served.client.put(f"/fhir/Patient/{id_}", json=told(id_, text))).status_code == 201
    query = {"_text": "(bone OR liver) and metastases", "_count": "1", "_total": "accurate"}
    for answer in (
        await served.client.get("/fhir/Patient", params=query),
        await served.client.get("/fhir", params=query),
        await served.client.post("/fhir/Patient/_search", data=query),
    ):
        first = answer.json()
        assert (first["total"], [one["resource"]["id"] for one in first["entry"]]) == (2, ["a"])
    await served.client.put("/fhir/Patient/b", json=told("b", "healed"))
    following = next(one["url"] for one in first["link"] if one["relation"] == "next")
    second = (await served.client.get(following)).json()
    assert [one["resource"]["text"]["div"].count("Metástases") for one in second["entry"]] == [1]
    now = (await served.client.get("/fhir/Patient", params={"_text": "healed", "_total": "accurate"})).json()
    assert (now["total"], now["entry"][0]["resource"]["id"]) == (1, "b")


async def test_a_condition_may_ask_for_words(served: Served) -> None:
    """A conditional delete removes what a search would find; nothing is created that may not meet it."""
    await served.client.put("/fhir/Patient/a", json=told("a", "duplicate entry"))
    await served.client.put("/fhir/Patient/b", json=told("b", "entry"))
    assert (await served.client.delete("/fhir/Patient?_text=duplicate")).status_code == 204
    assert [(await served.client.get(f"/fhir/Patient/{id_}")).status_code for id_ in "ab"] == [410, 200]
    answer = await served.client.put("/fhir/Patient?_text=nothing", json={"resourceType": "Patient"})
    assert answer.status_code == 400, answer.text


async def test_what_is_not_indexed_is_refused_by_the_name_of_its_setting(served: Served) -> None:
    """501, or left out for the lenient; the capabilities do not claim it."""
    answer = await served.client.get("/fhir/Patient?_content=x")
    assert answer.status_code == 501
    assert "FHIRSTORE_INDEX_TEXT" in answer.json()["issue"][0]["diagnostics"]
    lenient = await served.client.get("/fhir/Patient?_content=x", headers={"Prefer": "handling=lenient"})
    assert lenient.status_code == 200
    assert "_content" in lenient.text
    (rest,) = (await served.client.get("/fhir/metadata")).json()["rest"]
    patient = next(one for one in rest["resource"] if one["type"] == "Patient")
    names = [one["name"] for one in patient["searchParam"]]
    assert "_text" in names
    assert "_content" not in names


async def test_all_strings_are_searched_where_they_are_indexed(tmp_path: Path) -> None:
    """By the option of the library; another one builds another index, which finds the same resources."""
    bucket = f"file:{tmp_path / 'data'}"
    options = IndexOptions(tmp_path / "index", text="all")
    async with FhirStore.open(bucket, index=options) as store:
        clinic = store.tenant("default")
        for number in range(3):
            name = {"family": f"Quixote{number}"}
            await clinic.create({"resourceType": "Patient", "name": [name], "photo": [{"title": "of a windmill"}]})
        assert await clinic.count("Patient", _content="windmill quixote1") == 1
        assert await clinic.count("Patient", _content="windmill") == 3
    async with FhirStore.open(bucket, index=IndexOptions(tmp_path / "index", text="off")) as store:
        clinic = store.tenant("default")
        assert await clinic.count("Patient", family="quixote") == 3
        with pytest.raises(Unsupported, match="FHIRSTORE_INDEX_TEXT"):
            await clinic.count("Patient", _text="windmill")
