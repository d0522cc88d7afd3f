"""A batch that is applied from a sheet, made by another process, leaves the file as one whose rows were made here."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import msgspec
import pytest

from fhirstore.fhir import json
from fhirstore.fhir.definitions.load import definitions
from fhirstore.index.local import numbering
from fhirstore.index.local.apply import Applying, Batch, Change, PreparedSheet
from fhirstore.index.local.catalogue import Catalogue
from fhirstore.index.local.compare import differences
from fhirstore.index.local.file import IndexFile, PreparedBatch
from fhirstore.index.local.runs import in_order
from fhirstore.index.local.sheets import Sheet, SheetMaker, SheetTexts
from tests.fhir.validation.examples import of
from tests.search.local.indexing import new_index, search
from tests.search.matching.asking import HERE, NOW

_ALL = (
    "SELECT pid, code, coalesce(s.uri, system), rid, since FROM token LEFT JOIN system s ON s.number = system",
    "SELECT pid, p.text, derived, rid, since FROM uri JOIN phrase p USING (pid) WHERE p.number = phrase",
    "SELECT pid, p.text, rid, since FROM text JOIN phrase p USING (pid) WHERE p.number = phrase",
    "SELECT pid, coalesce(u.written, unit), wide, low, high, rid FROM number LEFT JOIN unit u ON u.number = unit",
    "SELECT * FROM reference",
    "SELECT * FROM string",
    "SELECT * FROM date",
    "SELECT * FROM word",
    "SELECT uri FROM system",
    "SELECT written FROM unit",
    "SELECT pid, text FROM phrase",
    "SELECT * FROM code",
    "SELECT type, members, count(*) FROM shape JOIN shape_parameter ON number = shape GROUP BY 1, 2",
    "SELECT * FROM cut",
    "SELECT pid, code, coalesce(s.uri, system), other, coalesce(u.written, unit), low, rid, since FROM pair"
    " JOIN pairing p ON p.number = pairing LEFT JOIN system s ON s.number = system"
    " LEFT JOIN unit u ON u.number = p.unit",
    "SELECT pid, code, coalesce(s.uri, system), other, coalesce(u.written, unit) FROM pairing"
    " LEFT JOIN system s ON s.number = system LEFT JOIN unit u ON u.number = unit",
    "SELECT rid, name, r.type, id, version, t, s.members, since FROM resource r JOIN shape s ON s.number = r.shape",
    "SELECT * FROM gone",
)


class Elsewhere:
    """What makes sheets, as a process of its own: messages go through bytes."""

    def __init__(self) -> None:
        self.maker: SheetMaker | None = None
        self.texts = SheetTexts()
        self.begun = 0

    def sheet(self, index: IndexFile, changes: Sequence[Change]) -> PreparedSheet:
        """The sheet of those with content."""
        some = [one for one in changes if one.resource is not None]
        self.maker = index.sheet_maker(self.maker)
        versions = [(one.type, one.id, one.born, one.resource) for one in some]
        made = self.maker.sheet(versions, anew=self.texts.spoiled)  # type: ignore[arg-type]
        sent = msgspec.msgpack.decode(msgspec.msgpack.encode(made), type=Sheet)
        if sent.place == 0:
            self.texts, self.begun = SheetTexts(), self.begun + 1
        return PreparedSheet.of(sent, self.texts, some)


def of_examples(step: int) -> list[Change]:
    """Every so many official example of R4, as a first version."""
    found: dict[str, Change] = {}
    for number, (_, body) in enumerate(list(of("4.0"))[::step]):
        resource = json.parse(body)
        if isinstance(id_ := resource.get("id"), str):
            change = Change(str(resource["resourceType"]), id_, 1, NOW + number, NOW + number, body)
            found[change.name] = change
    return list(found.values())


def batches(changes: Sequence[Change], size: int) -> Iterator[list[Change]]:
    """So many at once."""
    rest = iter(changes)
    while some := list(islice(rest, size)):
        yield some


def everything(index: IndexFile) -> list[list[str]]:
    """What is in the file, with texts instead of their numbers."""
    with index.read() as reader:
        return [sorted(map(repr, reader.rows(query))) for query in _ALL]


@pytest.mark.parametrize("most", [numbering.MOST_NUMBERS, 100])
def test_sheets_are_as_rows_that_are_made_here(most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From two processes in turn, also where they begin with other numbers; with updates, older versions, deletes,
    purges and resources that come back; to the last table.
    """
    monkeypatch.setattr("fhirstore.index.local.file.os.urandom", lambda size: b"k" * size)
    first = of_examples(16)
    second = [
        replace(one, version=2, t=one.t + 10_000, resource=other.resource)
        for one, other in zip(first[::2], first[::-2], strict=False)
        if one.type == other.type
    ]
    second += [
        replace(one, version=2, t=one.t + 10_000, resource=None, purged=n % 2 > 0) for n, one in enumerate(first[1::4])
    ]
    third = [replace(one, version=3, t=one.t + 20_000) for one in first[1::8]] + first[::3]
    for name in "ab":
        (tmp_path / name).mkdir()
    here, there = (new_index(tmp_path / name) for name in "ab")
    monkeypatch.setattr(numbering, "MOST_NUMBERS", most)
    makers = [Elsewhere(), Elsewhere()]
    current: dict[str, Change] = {}
    for round_, changes in enumerate((first, second, third)):
        for number, some in enumerate(batches(changes, 25)):
            at = NOW + 100_000 * round_ + number
            keep_old = round_ > 0
            batch = Batch(some, at=at, keep_old=keep_old)
            here.apply(batch)
            there.apply(there.prepare(batch, makers[number % 2].sheet(there, some)))
            for one in some:
                if one.name not in current or one.version > current[one.name].version:
                    current[one.name] = one
    for index in (here, there):
        assert differences(index, list(current.values())) == {}
    assert len(second) > 20
    for left, right in zip(everything(here), everything(there), strict=True):
        assert left == right
    if most == 100:
        assert min(one.begun for one in makers) > 1


@pytest.mark.parametrize(("defining", "most"), [(False, 7), (False, 100), (True, 7)])
def test_batches_are_applied_together_as_one_after_the_other(
    defining: bool, most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With sheets and without; with resources that are changed, deleted, purged and come back among them; also where a
    parameter of the tenant is among them, from which on rows are others; to the last table.
    """
    monkeypatch.setattr("fhirstore.index.local.file.os.urandom", lambda size: b"k" * size)
    first = [one for one in of_examples(16) if one.type != "SearchParameter"]
    second = [
        replace(one, version=2, t=one.t + 10_000, resource=other.resource)
        for one, other in zip(first[::2], first[::-2], strict=False)
        if one.type == other.type
    ]
    second += [
        replace(one, version=2, t=one.t + 10_000, resource=None, purged=n % 2 > 0) for n, one in enumerate(first[1::4])
    ]
    third = [replace(one, version=3, t=one.t + 20_000) for one in first[1::8]]
    changes = [*first, *([_defining(NOW)] if defining else ()), *second, *third]
    for name in "ab":
        (tmp_path / name).mkdir()
    here, there = (new_index(tmp_path / name) for name in "ab")
    makers = [Elsewhere(), Elsewhere()]
    some: list[PreparedBatch] = []
    fitting: list[object] = []
    together = IndexFile._together
    monkeypatch.setattr(IndexFile, "_together", lambda self, some: fitting.append(together(self, some)))
    for number, each in enumerate(batches(changes, 25)):
        batch = Batch(each, watermark=NOW + number, at=NOW + number, keep_old=False)
        here.apply(batch)
        once = len({one.name for one in each}) == len(each)
        sheet = makers[number % 2].sheet(there, each) if once and number % 3 else None
        some.append(there.prepare(batch, sheet))
        if len(some) == most:
            there.apply_together(some)
            some = []
    there.apply_together(some)
    assert fitting or defining
    for left, right in zip(everything(here), everything(there), strict=True):
        assert left == right
    assert (here.watermark, here.newest(5)) == (there.watermark, there.newest(5))
    current: dict[str, Change] = {}
    for one in changes:
        if one.name not in current or one.version > current[one.name].version:
            current[one.name] = one
    assert differences(there, list(current.values())) == {}


def test_batches_that_are_applied_together_are_in_the_file_all_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With their watermark: the last one cannot be without the first."""
    index = new_index(tmp_path)
    changes = [one for one in of_examples(30) if one.type != "SearchParameter"]
    some = [
        index.prepare(Batch(each, watermark=NOW + number, at=NOW, keep_old=False))
        for number, each in enumerate(batches(changes, 10))
    ]
    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="stopped"):
        patch.setattr(Applying, "write", _stopped)
        index.apply_together(some)
    assert (index.watermark, index.newest(1)) == (0, [])
    assert all(not rows for rows in everything(index))
    index.apply_together(some)
    assert index.watermark == NOW + len(some) - 1
    assert differences(index, changes) == {}


def test_rows_of_runs_come_in_order() -> None:
    """However they are spread; also where runs are empty, or there are none."""
    draw = random.Random(1)
    rows = [(draw.randrange(20), draw.randrange(5), number) for number in range(20_000)]
    for count in (1, 2, 9):
        runs = [sorted(rows[n::count], key=lambda row: row[0]) for n in range(count)]
        parts = list(in_order([*runs, []]))
        assert [row for part in parts for row in part] == sorted(rows)
        assert len(parts) > 3
    assert [row for part in in_order([]) for row in part] == []


def test_a_sheet_of_other_parameters_is_not_used(tmp_path: Path) -> None:
    """The rows are made here, with those that the file has by then."""
    index = new_index(tmp_path)
    maker = Elsewhere()
    patient = {"resourceType": "Patient", "id": "p", "maritalStatus": {"text": "alone"}}
    change = Change("Patient", "p", 1, NOW, NOW, json.encode(patient))  # type: ignore[arg-type]
    batch = Batch([change], at=NOW)
    ready = index.prepare(batch, maker.sheet(index, [change]))
    defining = _defining(NOW)
    index.apply(Batch([defining], at=NOW))
    index.apply(ready)
    assert search(index, "Patient", "status-text=alone") == ["p"]
    assert differences(index, [change, defining]) == {}
    again = replace(change, version=2)
    index.apply(index.prepare(Batch([again], at=NOW), maker.sheet(index, [again])))
    assert differences(index, [again]) == {}
    assert maker.begun == 2, "for the new parameters, a maker begins anew"


def test_a_sheet_can_be_applied_after_one_that_failed(tmp_path: Path) -> None:
    """Or, if that one was left out, is made again here, since it builds on texts that the file may not have."""
    index = new_index(tmp_path)
    maker = Elsewhere()
    changes = of_examples(30)
    first, second = changes[::2], changes[1::2]
    one = index.prepare(Batch(first, at=NOW), maker.sheet(index, first))
    two = index.prepare(Batch(second, at=NOW + 1), maker.sheet(index, second))
    with pytest.raises(RuntimeError, match="stopped"), pytest.MonkeyPatch.context() as patch:
        patch.setattr(IndexFile, "_note_newest", _stopped)
        index.apply(one)
    assert differences(index, first) != {}
    index.apply(two)
    assert differences(index, second) == {}, "its rows were made again: those of the first sheet are not there"
    index.apply(one)
    third = index.prepare(Batch(changes, at=NOW + 2), maker.sheet(index, [replace(c, version=2) for c in changes]))
    assert third.sheet is not None
    assert third.sheet.sheet.place == 0
    index.apply(one)
    assert differences(index, changes) == {}


def _defining(t: int) -> Change:
    parameter = {
        "resourceType": "SearchParameter",
        "id": "own",
        "url": "http://example.org/own",
        "status": "active",
        "code": "status-text",
        "base": ["Patient"],
        "type": "string",
        "expression": "Patient.maritalStatus.text",
    }
    return Change("SearchParameter", "own", 1, t, t, json.encode(parameter))  # type: ignore[arg-type]


def _stopped(*_: object) -> None:
    raise RuntimeError("stopped")


def test_a_catalogue_makes_the_same_numbers(tmp_path: Path) -> None:
    """So that another process's catalogue fits: those of parameters follow from the release alone."""
    index = new_index(tmp_path)
    other = Catalogue.of(definitions("4.0"), HERE)
    assert other.digest == index.catalogue.digest
    assert [one.pid for one in other.parameters("Patient").values()] == [
        one.pid for one in index.catalogue.parameters("Patient").values()
    ]
