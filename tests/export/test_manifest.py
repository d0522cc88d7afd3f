"""One manifest has two shapes on the wire."""

from __future__ import annotations

from fhirstore import ExportManifest, ManifestFile, render_manifest
from fhirstore.export.manifest import decode_manifest

_FILE = ManifestFile(type="Patient", name="Patient.1.1.ndjson", count=2, size=300, sha256="00")
_GONE = ManifestFile(type="Bundle", name="deleted.Patient.1.1.ndjson", count=1, size=30, sha256="00")
_ERROR = ManifestFile(
    type="OperationOutcome", name="error.Patient.1.1.ndjson", count=1, size=30, sha256="00", severities={"error": 1}
)
_MANIFEST = ExportManifest(
    transaction_time=1_700_000_000_123,
    request="https://a/fhir/$export",
    output=(_FILE,),
    deleted=(_GONE,),
    error=(_ERROR,),
)


def test_version_3() -> None:
    """As published."""
    shown = render_manifest(_MANIFEST, version=3, url_of="https://a/f/".__add__, requires_access_token=True)
    assert shown == {
        "transactionTime": "2023-11-14T22:13:20.123Z",
        "request": "https://a/fhir/$export",
        "requiresAccessToken": True,
        "output": [{"type": "Patient", "url": "https://a/f/Patient.1.1.ndjson", "count": 2}],
        "deleted": [{"type": "Bundle", "url": "https://a/f/deleted.Patient.1.1.ndjson", "count": 1}],
        "error": [{"type": "OperationOutcome", "url": "https://a/f/error.Patient.1.1.ndjson", "count": 1}],
    }


def test_version_4() -> None:
    """As in the ballot: no request, outcome, the model, the format and sizes."""
    shown = render_manifest(_MANIFEST, version=4, url_of="https://a/f/".__add__, requires_access_token=False)
    assert shown == {
        "manifestType": "http://hl7.org/fhir/uv/bulkdata/StructureDefinition/BulkDataManifest",
        "transactionTime": "2023-11-14T22:13:20.123Z",
        "requiresAccessToken": False,
        "outputFormat": "application/fhir+ndjson",
        "output": [{"type": "Patient", "url": "https://a/f/Patient.1.1.ndjson", "count": 2, "fileSize": 300}],
        "deleted": [{"url": "https://a/f/deleted.Patient.1.1.ndjson", "count": 1, "fileSize": 30}],
        "outcome": [
            {
                "url": "https://a/f/error.Patient.1.1.ndjson",
                "count": 1,
                "fileSize": 30,
                "countSeverity": [{"code": "error", "count": 1}],
            }
        ],
    }


def test_an_empty_export_has_empty_arrays() -> None:
    """Clients crash without an error array."""
    shown = render_manifest(ExportManifest(transaction_time=0), version=3, url_of=str, requires_access_token=True)
    assert (shown["output"], shown["error"]) == ([], [])
    assert "deleted" not in shown


def test_a_page_links_to_the_next() -> None:
    """Where there is one."""
    page = _MANIFEST.followed_by("2")
    shown = render_manifest(page, version=3, url_of=str, requires_access_token=True, page_url_of="https://a/p/".__add__)
    assert shown["link"] == [{"relation": "next", "url": "https://a/p/2"}]


def test_a_stored_manifest_is_read_back() -> None:
    """As it was."""
    assert decode_manifest(_MANIFEST.encode(), "key") == _MANIFEST
