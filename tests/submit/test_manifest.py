"""A provider's manifest, as providers write them, and what is not one."""

from __future__ import annotations

import json

import pytest

from fhirstore.errors import SourceFailed
from fhirstore.submit.manifest import read_page

URL = "https://a/exports/1/manifest.json"


def _page(**members: object) -> bytes:
    return json.dumps({"transactionTime": "2026-01-01T00:00:00Z", "requiresAccessToken": True, **members}).encode()


def test_a_manifest_of_either_version_is_read() -> None:
    """With its errors left aside, its deletions, its next page; URLs may be relative to it."""
    page = read_page(
        _page(
            request="https://a/$export",
            output=[{"type": "Patient", "url": "p.ndjson?sig=secret", "count": 3}, {"url": "https://b/x/"}],
            deleted=[{"type": "Bundle", "url": "d.ndjson"}],
            error=[{"type": "OperationOutcome", "url": "e.ndjson"}],
            outcome=[],
            outputOrganizedBy="Patient",
            link=[{"relation": "next", "url": "manifest-2.json"}],
            extension={"any": "thing"},
        ),
        URL,
    )
    assert [(one.url, one.type, one.count, one.deleted) for one in page.files] == [
        ("https://a/exports/1/p.ndjson?sig=secret", "Patient", 3, False),
        ("https://b/x/", None, None, False),
        ("https://a/exports/1/d.ndjson", None, None, True),
    ]
    assert (page.organized_by, page.protected, page.next) == ("Patient", True, "https://a/exports/1/manifest-2.json")
    assert [one.name for one in page.files] == ["p.ndjson", "file", "d.ndjson"]


@pytest.mark.parametrize("count", ["3", -1, 1.5, None, True, 10**30])
def test_a_count_that_is_none_is_left_aside(count: object) -> None:
    """Providers count in many ways."""
    (file,) = read_page(_page(output=[{"type": "Patient", "url": "p", "count": count}]), URL).files
    assert file.count is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b'{"output":{}}',
        _page(output=[{"type": "Patient"}]),
        _page(output=[{"url": ""}]),
        _page(output=[], outputFormat="application/parquet"),
        _page(output=[], link=[{"relation": "next", "url": "a"}, {"relation": "next", "url": "b"}]),
        _page(output=[{"url": "p"}] * 100_001),
    ],
)
def test_what_is_no_manifest_is_refused(body: bytes) -> None:
    """For good: another try would not help."""
    with pytest.raises(SourceFailed) as failed:
        read_page(body, URL)
    assert not failed.value.again
