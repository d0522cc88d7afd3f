"""The status manifest of a submission: one model, rendered as JSON.

https://hl7.org/fhir/uv/bulkdata/StructureDefinition-BulkSubmitStatusManifest.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from fhirstore.errors import InvalidResource, Issue
from fhirstore.fhir.json import JsonObject, instant
from fhirstore.submit.request import COMPLETED, STOPPED
from fhirstore.submit.segment import Counts
from fhirstore.submit.state import FAILED, PROCESSED, RECEIVED, UNDONE, WITHDRAWN, Manifest, Submission
from fhirstore.submit.summary import SEVERITIES, OutcomeFile, Summary

PAGE = 1_000
"""Items on a page of the status manifest."""

_MANIFEST_TYPE = "http://hl7.org/fhir/uv/bulkdata/StructureDefinition/BulkSubmitStatusManifest"


@dataclass(frozen=True, slots=True)
class ManifestStatus:
    """What became of one manifest so far. `state`: one of `state.MANIFEST_STATES`. `files`: its OperationOutcomes."""

    id: str
    url: str
    state: str
    counts: Counts = field(default_factory=Counts)
    kept: int = 0
    files: tuple[OutcomeFile, ...] = ()


@dataclass(frozen=True, slots=True)
class SubmissionStatus:
    """What became of a submission so far. `state`: in-progress, completed or stopped, as the provider said.

    `finished`: it is completed or stopped, and everything is processed or undone. `progress`: in under 100 characters.
    `failure`: why its job was given up; nothing more is processed then. `retry_after`: seconds until one may ask again.
    Times are epoch ms.
    """

    submission_id: str
    state: str
    finished: bool
    progress: str
    manifests: tuple[ManifestStatus, ...]
    transaction_time: int
    failure: tuple[Issue, ...] = ()
    retry_after: int = 5
    expires_at: int | None = None

    @property
    def files(self) -> list[tuple[ManifestStatus, OutcomeFile]]:
        """All files of OperationOutcomes, with the manifest that each is of."""
        return [(manifest, file) for manifest in self.manifests for file in manifest.files]


def file_name(manifest: str, file: OutcomeFile) -> str:
    """Returns the name of a file within the submission: one segment of a path."""
    return f"{manifest}.{file.name}"


def manifest_status(manifest: Manifest, summary: Summary | None, undone: Summary | None) -> ManifestStatus:
    """Returns what became of a manifest, from its two summaries."""
    if undone is not None:
        return ManifestStatus(manifest.id, manifest.url, UNDONE, undone.counts, undone.kept, undone.files)
    if manifest.withdrawn:
        return ManifestStatus(manifest.id, manifest.url, WITHDRAWN)
    if summary is None:
        return ManifestStatus(manifest.id, manifest.url, RECEIVED)
    return ManifestStatus(manifest.id, manifest.url, summary.state, summary.counts, 0, summary.files)


def is_finished(submission: Submission, manifests: Sequence[ManifestStatus]) -> bool:
    """Whether no request may come any more, and everything is processed or undone."""
    settled = all(one.state in (PROCESSED, FAILED, UNDONE) for one in manifests)
    return settled and submission.state in (COMPLETED, STOPPED)


def in_words(submission: Submission, manifests: Sequence[ManifestStatus], lines: int) -> str:
    """Returns the progress in words. `lines`: of the manifest that is being read, so far."""
    done = sum(one.state in (PROCESSED, FAILED, UNDONE) for one in manifests)
    text = f"{submission.state}; {done:,} of {len(manifests):,} manifests done"
    return f"{text}; {lines:,} lines of the next one" if lines else text


def render_status_manifest(
    status: SubmissionStatus,
    *,
    url_of: Callable[[str], str],
    requires_access_token: bool,
    page: int = 0,
    page_url_of: Callable[[int], str] | None = None,
    request: str | None = None,
) -> JsonObject:
    """Returns one page of the status manifest as JSON, with `outcome` and, for older clients, the same as `error`.

    `url_of`: the absolute URL of a file by its name; `page_url_of`: of a page, where there is more than one. `request`:
    the URL of the kick-off request, which clients of version 3 look for. Raises InvalidResource for an unknown page.
    """
    files = status.files
    some = files[page * PAGE : (page + 1) * PAGE]
    if page < 0 or (page and not some):
        raise InvalidResource("The status manifest has no such page", code="value")
    outcome: list[object] = [_item(manifest, file, url_of) for manifest, file in some]
    rendered: JsonObject = {
        "manifestType": _MANIFEST_TYPE,
        "submissionId": status.submission_id,
        "transactionTime": instant(status.transaction_time),
    }
    if request is not None:
        rendered["request"] = request
    rendered |= {
        "requiresAccessToken": requires_access_token,
        "outputFormat": "application/fhir+ndjson",
        "output": [],
        "outcome": outcome,
        "error": outcome,
    }
    if page_url_of is not None and len(files) > (page + 1) * PAGE:
        rendered["link"] = [{"relation": "next", "url": page_url_of(page + 1)}]
    return rendered


def _item(manifest: ManifestStatus, file: OutcomeFile, url_of: Callable[[str], str]) -> JsonObject:
    return {
        "type": "OperationOutcome",
        "url": url_of(file_name(manifest.id, file)),
        "manifestUrl": manifest.url,
        "count": file.count,
        "fileSize": file.size,
        "countSeverity": _count_severity(file.severities),
    }


def _count_severity(severities: Mapping[str, int]) -> list[object]:
    return [{"code": one, "count": severities[one]} for one in SEVERITIES if severities.get(one)]
