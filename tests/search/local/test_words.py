"""`_text` and `_content` find what reading every narrative, and every string, finds: at each moment, for everybody."""

from __future__ import annotations

import random
import tempfile
import unicodedata
from collections.abc import Iterable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import TypeAlias
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conformance.population.population import Population
from fhirstore.errors import FhirError, InvalidResource, Unsupported
from fhirstore.fhir import json
from fhirstore.fhir.definitions.load import definitions
from fhirstore.fhir.json import JsonObject
from fhirstore.index.local.apply import Batch, Change, IndexDamaged
from fhirstore.index.local.catalogue import Catalogue, Texts
from fhirstore.index.local.file import IndexFile
from fhirstore.search.criteria.criterion import Criterion
from fhirstore.search.criteria.limits import Limits
from fhirstore.search.criteria.request import parse_search
from fhirstore.search.pages.finding import find
from fhirstore.search.plans import bounds
from fhirstore.search.plans.order import Position
from tests.search.local.indexing import changes, fill, search
from tests.search.local.test_official import examples
from tests.search.local.test_oracle import Writes, Writing
from tests.search.matching.asking import NOW

Asked: TypeAlias = "str | tuple[str, list[Asked]]"
"""A term, or NOT, AND, OR of some."""


def opened(folder: Path, texts: Texts) -> IndexFile:
    """An index file with this full text, made anew where it is another one's."""
    return IndexFile.open(folder / "index.sqlite", Catalogue.of(definitions("4.0"), texts=texts), identity="memory:")


@pytest.fixture
def index(tmp_path: Path) -> Iterator[IndexFile]:
    """An index of all strings."""
    file = opened(tmp_path, "all")
    yield file
    file.close()


# --- the oracle ---------------------------------------------------------------------------------------------


class _Reading(HTMLParser):
    """The text of XHTML, with a space where an element begins or ends that is none of a line."""

    def __init__(self) -> None:
        super().__init__()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.text += "" if tag in ("b", "i", "span", "a", "em", "strong", "sub", "sup", "code", "tt") else " "

    def handle_endtag(self, tag: str) -> None:
        self.handle_starttag(tag, None)

    def handle_data(self, data: str) -> None:
        self.text += data


def words(text: str) -> set[str]:
    """Its words, by looking at each character."""
    apart = unicodedata.normalize("NFKD", text.replace("\u00ad", ""))
    plain = "".join(char for char in apart if not unicodedata.combining(char)).casefold()
    plain = unicodedata.normalize("NFC", plain)
    return set("".join(char if char.isalnum() else " " for char in plain).split())


def of_narrative(resource: JsonObject) -> set[str]:
    """The words that `_text` looks at."""
    narrative = resource.get("text")
    if not isinstance(narrative, dict) or not isinstance(div := narrative.get("div"), str):
        return set()
    reading = _Reading()
    reading.feed(div)
    return words(reading.text)


def of_all(node: object, name: str = "") -> set[str]:
    """The words that `_content` looks at."""
    if isinstance(node, dict):
        known = {key: value for key, value in node.items() if key != "data" or "origin" in node}
        return set().union(*(of_all(value, "" if key == "data" else key) for key, value in known.items()))
    if isinstance(node, list):
        return set().union(*(of_all(one, name) for one in node))
    if not isinstance(node, str) or name in ("resourceType", "valueBase64Binary", "versionId", "lastUpdated"):
        return set()
    return of_narrative({"text": {"div": node}}) if name == "div" else words(node)


def meets(there: set[str], asked: Asked) -> bool:
    """Do these words meet what is asked?"""
    if isinstance(asked, str):
        return words(asked) <= there
    operator, parts = asked
    found = [meets(there, one) for one in parts]
    return not found[0] if operator == "NOT" else all(found) if operator == "AND" else any(found)


def written(asked: Asked, draw: random.Random) -> str:
    """The value that asks for it."""
    if isinstance(asked, str):
        return asked
    operator, parts = asked
    some = [f"({text})" if not isinstance(one, str) else text for one in parts for text in [written(one, draw)]]
    if operator == "NOT":
        return f"NOT {some[0]}"
    return draw.choice([" AND ", " and ", " "] if operator == "AND" else [" OR ", " or "]).join(some)


# --- what is drawn ------------------------------------------------------------------------------------------

_SAID = ["Liver", "MÉTASTASES", "bone", "x-ray", "Straße", "120/80", "o'Brien", "<b>pan</b>creas", "heart&nbsp;rate"]
_SAID += ["&lt;bone&gt;", "li&shy;ver", "<!-- bone -->", '<img alt="a > b"/>', "ﬁbrosis", "Ærø"]
_TERMS = ["liver", "LIVER", "metastases", "Métastases", "bone", "ray", "x-ray", "strasse", "80", "brien", "pancreas"]
_TERMS += ["heart", "rate", "b", "fibrosis", "nothing", "ærø", "p1", "male"]
_narratives = st.lists(st.sampled_from(_SAID), max_size=4).map(
    lambda some: {"status": "generated", "div": f"<div><p>{'</p><p>'.join(some)}</p></div>"}
)
_resources: st.SearchStrategy[JsonObject] = st.fixed_dictionaries(
    {},
    optional={
        "text": _narratives,
        "gender": st.sampled_from(["male", "female"]),
        "name": st.lists(st.sampled_from([{"text": "Bone, Liver"}, {"family": "Straße"}]), max_size=1),
        "photo": st.just([{"data": "bone", "title": "x-ray"}]),
        "contained": _narratives.map(lambda one: [{"resourceType": "Basic", "text": one}]),
    },
)
_writes: st.SearchStrategy[Writes] = st.lists(
    st.tuples(st.just("Patient"), st.sampled_from(["p0", "p1", "p2", "p3"]), st.none() | _resources), max_size=6
)
_asked: st.SearchStrategy[Asked] = st.recursive(
    st.sampled_from(_TERMS),
    lambda inner: st.one_of(
        st.tuples(st.just("NOT"), st.lists(inner, min_size=1, max_size=1)),
        st.tuples(st.sampled_from(["AND", "OR"]), st.lists(inner, min_size=2, max_size=3)),
    ),
    max_leaves=5,
)
_criteria = st.lists(st.tuples(st.sampled_from(["_text", "_content"]), st.lists(_asked, min_size=1, max_size=2)))


def expected(resources: Iterable[JsonObject], criteria: list[tuple[str, list[Asked]]]) -> list[str]:
    """The ids of what meets them."""
    return [
        str(one["id"])
        for one in resources
        if all(
            any(meets(of_narrative(one) if name == "_text" else of_all(one), asked) for asked in some)
            for name, some in criteria
        )
    ]


@settings(max_examples=40, deadline=None)
@given(st.lists(_writes, min_size=1, max_size=4), _criteria, st.booleans(), st.randoms(use_true_random=False))
def test_words_are_found_at_every_moment(
    batches: list[Writes], criteria: list[tuple[str, list[Asked]]], few: bool, draw: random.Random
) -> None:
    """Matches, order and total, and page by page as of the first one; also where no access leads to few."""
    pairs = [(name, ",".join(written(one, draw) for one in some)) for name, some in criteria]
    with (
        tempfile.TemporaryDirectory() as folder,
        patch.object(bounds, "FEW", bounds.FEW * few),
        patch.object(bounds, "SORTED", bounds.SORTED * few),
    ):
        writing = Writing(opened(Path(folder), "all"))
        for batch in batches:
            writing.write(batch)
        query = parse_search(writing.index.catalogue, "Patient", [*pairs, ("_total", "accurate")], now=NOW)
        one = parse_search(writing.index.catalogue, "Patient", [*pairs, ("_count", "1")], now=NOW)
        with writing.index.read() as reader:
            for seq, stored in writing.moments.items():
                wanted = expected(stored.resources.values(), criteria)
                page = find(reader, query, now=NOW, seq=seq)
                assert ([name.id for name in page.names], page.total) == (wanted, len(wanted)), (pairs, seq)
                seen: list[str] = []
                after = None
                while (page := find(reader, one, now=NOW, seq=seq, after=after)).names:
                    seen.append(page.names[0].id)
                    after = Position(page.names[0].keys, page.names[0].rid)
                assert seen == wanted
        writing.index.close()


@settings(max_examples=25, deadline=None)
@given(_writes, _asked, _asked, st.randoms(use_true_random=False))
def test_what_may_not_be_found_is_not_found_by_words(
    batch: Writes, asked: Asked, allowed: Asked, draw: random.Random
) -> None:
    """Nor counted, nor told by a chain that leads over it."""
    with tempfile.TemporaryDirectory() as folder:
        writing = Writing(opened(Path(folder), "narrative"))
        writing.write(batch)
        resources = list(writing.moments[max(writing.moments)].resources.values())
        of: list[JsonObject] = [
            {"resourceType": "Observation", "id": f"o{one['id']}", "subject": _refer(one)} for one in resources
        ]
        writing.write([("Observation", str(one["id"]), one) for one in of])
        index = writing.index
        limit = parse_search(index.catalogue, "Patient", [("_text", written(allowed, draw))], now=NOW).branches[0][1]

        def limits(type: str) -> Criterion | None:
            return limit[0] if type == "Patient" else None

        wanted = expected(resources, [("_text", [asked]), ("_text", [allowed])])
        value = written(asked, draw)
        assert found(index, "Patient", [("_text", value)], limits) == (wanted, len(wanted))
        through = found(index, "Observation", [("subject:Patient._text", value)], limits)
        assert through == ([f"o{id_}" for id_ in wanted], len(wanted))
        index.close()


def _refer(one: JsonObject) -> JsonObject:
    return {"reference": f"Patient/{one['id']}"}


def found(index: IndexFile, type: str, pairs: list[tuple[str, str]], limits: Limits) -> tuple[list[str], int | None]:
    """The ids of the matches, and the total."""
    query = parse_search(index.catalogue, type, [*pairs, ("_total", "accurate")], now=NOW)
    with index.read() as reader:
        page = find(reader, query, now=NOW, limits=limits)
    return [one.id for one in page.names], page.total


# --- examples -----------------------------------------------------------------------------------------------


def test_official_examples_are_found_by_their_words(index: IndexFile) -> None:
    """One of each type: by words that few have, and by pairs of any, in the narrative and in all that they say."""
    draw = random.Random(1)
    of_type = {type_: some for type_, some in examples("4.0", 1).items() if type_ != "SearchParameter"}
    fill(index, [one for some in of_type.values() for one in some])
    searched = 0
    with index.read() as reader:
        for type_, some in of_type.items():
            for name, read in (("_text", of_narrative), ("_content", of_all)):
                if name not in index.catalogue.parameters(type_):
                    continue
                by_id = {str(one["id"]): {word for word in read(one) if len(word) <= 100} for one in some}
                known = sorted(set().union(*by_id.values()))
                for value in [
                    *draw.sample(known, min(6, len(known))),
                    " ".join(draw.sample(known, min(2, len(known)))),
                ]:
                    if value.strip() and not {"and", "or"} & set(value.split()):
                        wanted = [id_ for id_, there in by_id.items() if set(value.split()) <= there]
                        query = parse_search(index.catalogue, type_, [(name, value)], now=NOW)
                        assert [one.id for one in find(reader, query, now=NOW).names] == wanted, (type_, name, value)
                        searched += 1
    assert searched > 800


def told(id: str, text: str, **more: object) -> JsonObject:
    """A Patient whose narrative says this."""
    return {"resourceType": "Patient", "id": id, "text": {"status": "generated", "div": f"<div>{text}</div>"}, **more}


def test_the_example_of_the_specification(index: IndexFile) -> None:
    """https://hl7.org/fhir/R4/search.html#content: (bone OR liver) and metastases."""
    fill(
        index,
        [told("b", "Metastases: bone"), told("l", "liver, metastases"), told("m", "metastases"), told("n", "bone")],
    )
    assert search(index, "Patient", "_text=(bone OR liver) and metastases") == ["b", "l"]
    assert search(index, "Patient", "_text=bone or liver and metastases") == ["b", "l", "n"]
    assert search(index, "Patient", '_text="metastases"') == ["b", "l", "m"]
    assert search(index, "Patient", "_text=NOT metastases") == ["n"]
    assert search(index, "Patient", "_text=bone,liver&_text=metastases") == ["b", "l"]
    assert search(index, "Patient", '_text="or"') == []


def test_all_types_are_searched_by_text_at_once(index: IndexFile) -> None:
    """Those that have no narrative are not found, and no reason to refuse the search."""
    basic: JsonObject = {**told("a", "liver"), "resourceType": "Basic"}
    fill(index, [told("p", "liver"), basic, {"resourceType": "Bundle", "id": "b", "type": "collection"}])
    assert search(index, None, "_text=liver") == ["p", "a"]
    assert search(index, None, "_content=collection liver") == []
    assert search(index, None, "_content=collection") == ["b"]
    assert search(index, "Patient", "_text:missing=false") == ["p"]


def test_a_purge_leaves_no_word(index: IndexFile) -> None:
    """Neither of the version that was, nor of those before."""
    index.apply(Batch(changes([told("p", "secret"), told("q", "other")]), at=NOW))
    index.apply(Batch([Change("Patient", "p", 2, NOW, NOW, json.encode(told("p", "hidden")))], at=NOW + 1))
    index.apply(Batch([Change("Patient", "p", 2, NOW, NOW, None, purged=True)], at=NOW + 2))
    with index.read() as reader:
        mine = [reader.hashed(word) for word in ("secret", "hidden", "p")]
        every = "SELECT word FROM word UNION ALL SELECT word FROM word_old"
        assert not {row[0] for row in reader.rows(every)}.intersection(mine)
        assert reader.rows("SELECT 1 FROM word WHERE word = ?", (reader.hashed("other"),))


def test_a_resource_with_too_many_words_is_known(index: IndexFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is beyond the limit is not found, and searches of the type can tell it."""
    monkeypatch.setattr("fhirstore.index.local.rows.MOST_TEXT", 20)
    fill(index, [told("p", "one two three four five six seven"), told("q", "one")])
    assert search(index, "Patient", "_text=one") == ["p", "q"]
    assert search(index, "Patient", "_text=seven") == []
    with index.read() as reader:
        assert reader.cut() == {"Patient"}


# --- refusals and settings ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "error", "part"),
    [
        ('"bone marrow"', Unsupported, "Phrases"),
        ("live*", Unsupported, "whole"),
        ("-liver", Unsupported, "before a word"),
        ("(bone", InvalidResource, "not closed"),
        ("bone)", InvalidResource, "not opened"),
        ('"bone', InvalidResource, "not closed"),
        ("bone OR", InvalidResource, "missing"),
        ("AND bone", InvalidResource, "missing"),
        ("NOT", InvalidResource, "missing"),
        ("()", InvalidResource, "missing"),
        ("&", InvalidResource, "letters and digits"),
        ("x" * 101, InvalidResource, "100"),
        (" ".join(f"w{n}" for n in range(101)), InvalidResource, "100 words"),
        ("(" * 11 + "x" + ")" * 11, InvalidResource, "10 parentheses"),
        ("(" * 100_000, InvalidResource, "10 parentheses"),
    ],
)
def test_what_is_not_understood_is_refused(index: IndexFile, value: str, error: type[FhirError], part: str) -> None:
    """Malformed, too much, or not answered: never searched for as something else."""
    with pytest.raises(error, match=part):
        parse_search(index.catalogue, "Patient", [("_text", value)], now=NOW)


def test_as_much_as_may_be_asked_for_is_answered(index: IndexFile) -> None:
    """A thousand words in ten parameters, alternating and nested: within what SQLite takes."""
    fill(index, [told("p", "w1 w2")])
    nested = "w1"
    for number in range(9):
        nested = f"w1 {'AND' if number % 2 else 'OR'} ({nested})"
    for value in (
        " ".join(["w1"] * 99),
        " OR ".join(f"w{n}" for n in range(99)),
        " OR ".join(["(w1 w2)"] * 49),
        nested,
    ):
        query = parse_search(index.catalogue, "Patient", [("_text", value)] * 9, now=NOW)
        with index.read() as reader:
            assert [one.id for one in find(reader, query, now=NOW).names] == ["p"]
    with pytest.raises(InvalidResource, match="1,000"):
        parse_search(index.catalogue, "Patient", [("_text", " ".join(["w1"] * 99))] * 11, now=NOW)


@pytest.mark.parametrize(("texts", "answered"), [("off", []), ("narrative", ["_text"]), ("all", ["_text", "_content"])])
def test_the_setting_decides_what_is_answered(tmp_path: Path, texts: Texts, answered: list[str]) -> None:
    """Others are refused by a message that names the setting; a lenient search leaves them out."""
    file = opened(tmp_path, texts)
    fill(file, [told("p", "liver"), told("q", "bone")])
    for name in ("_text", "_content"):
        if name in answered:
            assert search(file, "Patient", f"{name}=liver") == ["p"]
            continue
        for type_ in ("Patient", None):
            with pytest.raises(Unsupported, match="FHIRSTORE_INDEX_TEXT"):
                parse_search(file.catalogue, type_, [(name, "liver")], now=NOW)
        lenient = parse_search(file.catalogue, "Patient", [(name, "liver")], now=NOW, lenient=True)
        assert lenient.ignored == ((name, "liver"),)
    file.close()


def test_another_setting_is_another_index(tmp_path: Path) -> None:
    """A file that was made with one is not used with another: it is built again."""
    file = opened(tmp_path, "narrative")
    uuid = file.uuid
    file.close()
    again = opened(tmp_path, "narrative")
    assert again.uuid == uuid
    again.close()
    other = opened(tmp_path, "all")
    assert other.uuid != uuid
    with pytest.raises(IndexDamaged), again.read():
        pass
    other.close()


def test_resources_without_narratives_cost_no_more(tmp_path: Path) -> None:
    """Of the population of the benchmarks, where two of a hundred have one: twenty bytes on average, at most."""
    size: dict[Texts, int] = {}
    some: tuple[Texts, ...] = ("off", "narrative")
    for texts in some:
        folder = tmp_path / texts
        folder.mkdir()
        file = opened(folder, texts)
        made = Population(1).take(2_000)
        batch = [Change(one.type, one.id, 1, NOW + n, NOW + n, one.content) for n, one in enumerate(made)]
        file.apply(Batch(batch, at=NOW, keep_old=False))
        with file.read() as reader:
            pages = reader.rows("SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()")
        size[texts] = int(str(pages[0][0]))
        file.close()
    assert 0 < size["narrative"] - size["off"] < 20 * 2_000
