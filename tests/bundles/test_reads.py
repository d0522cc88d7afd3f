"""A user of the library reads inside of a batch or transaction as a client of the server does."""

from __future__ import annotations

import pytest

from fhirstore import BundleOptions, FhirStore, HistoryPage, SearchPage, errors
from tests.bundles.asking import entry, patient

ASKED = [
    entry("PUT", "Patient/p", patient("p", identifier=[{"system": "urn:mrn", "value": "7"}])),
    entry("GET", "Patient?identifier=urn:mrn|7"),
    entry("GET", "Patient/p/_history"),
    entry("GET", "Patient/p?_elements=active"),
    entry("GET", "Patient/p/$validate"),
    entry("GET", "Patient?_summary=count"),
]


@pytest.mark.parametrize("kind", ["batch", "transaction"])
async def test_reads_return_pages_and_what_they_asked_for(kind: str) -> None:
    """They see what the same Bundle wrote; resources are whole, and `view` says which part was asked for."""
    async with FhirStore.open("memory:") as store:
        done = await store.tenant("default").process({"resourceType": "Bundle", "type": kind, "entry": ASKED})
        _, search, history, read, validation, count = done.results
        assert read.version is not None
        assert read.view is not None
        assert b'"active"' not in store.part(read.version.content, elements=["identifier"])
    assert isinstance(search.page, SearchPage)
    assert isinstance(history.page, HistoryPage)
    assert [version.id for version in search.versions] == ["p"]
    assert [version.version_id for version in history.versions] == [1]
    assert read.view.elements == ("active",)
    assert validation.issues is not None
    assert isinstance(count.page, SearchPage)
    assert count.page.total == 1


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("Patient?nonsense=1", errors.InvalidResource),
        ("Location?near=x", errors.Unsupported),
        ("Patient/p/_history?nonsense=1", errors.InvalidResource),
        ("Patient/p?nonsense=1", errors.InvalidResource),
        ("metadata", errors.Unsupported),
        ("Patient/p/$everything", errors.NotFound),
        ("Patient/p/$everything?nonsense=1", errors.InvalidResource),
        ("ValueSet/$expand", errors.Unsupported),
    ],
)
async def test_what_is_not_understood_is_refused(url: str, expected: type[Exception]) -> None:
    """As a search or a request of its own would be."""
    async with FhirStore.open("memory:") as store:
        bundle = {"resourceType": "Bundle", "type": "batch", "entry": [entry("GET", url)]}
        (result,) = (await store.tenant("default").batch(bundle)).results
    assert isinstance(result.error, expected)


async def test_unknown_parameters_can_be_ignored() -> None:
    """`lenient`, as Prefer: handling=lenient."""
    async with FhirStore.open("memory:") as store:
        bundle = {"resourceType": "Bundle", "type": "batch", "entry": [entry("GET", "Patient?nonsense=1&_count=2")]}
        (result,) = (await store.tenant("default").batch(bundle, options=BundleOptions(lenient=True))).results
    assert isinstance(result.page, SearchPage)
    assert result.page.query.ignored == (("nonsense", "1"),)
