"""What a request to `$bulk-submit` says, however it was read. https://hl7.org/fhir/uv/bulkdata/submit.html"""

from __future__ import annotations

from dataclasses import dataclass, field

from fhirstore.errors import InvalidResource
from fhirstore.submit.source import EncryptionKey
from fhirstore.submit.submitters import MODES, Mode

IN_PROGRESS, COMPLETED, STOPPED = "in-progress", "completed", "stopped"
STATUSES = (IN_PROGRESS, COMPLETED, STOPPED)
MODE_URL = "urn:fhirstore:import-mode"
"""The `import` parameter that names the mode."""

_LONGEST_ID = 1_000
_LONGEST_URL = 4_000
_MOST = 50  # headers, metadata


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitRequest:
    """One request. `submitter`: `system|value`. `mode`: None, the submitter's own. `metadata`: kept, not interpreted.

    `headers`, `encryption`: secrets; they are kept apart from everything that is shown, until the manifest is read.
    """

    submitter: str
    submission_id: str
    status: str | None = None
    manifest_url: str | None = None
    replaces: str | None = None
    fhir_base_url: str | None = None
    output_format: str | None = None
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    oauth: tuple[str, ...] = ()
    encryption: EncryptionKey | None = None
    metadata: tuple[tuple[str, str], ...] = ()
    mode: Mode | None = None

    def check(self) -> None:
        """Raises InvalidResource for a request that the specification does not allow."""
        _bounded("submitter", self.submitter, _LONGEST_ID)
        _bounded("submissionId", self.submission_id, _LONGEST_ID)
        for name, url in (
            ("manifestUrl", self.manifest_url),
            ("replacesManifestUrl", self.replaces),
            ("fhirBaseUrl", self.fhir_base_url),
            *(("oauthMetadataUrl", one) for one in self.oauth),
        ):
            if url is not None:
                _bounded(name, url, _LONGEST_URL)
        if self.status is not None and self.status not in STATUSES:
            raise _wrong("submissionStatus", f"submissionStatus is one of {', '.join(STATUSES)}", "value")
        if self.status is None and self.manifest_url is None and self.replaces is None:
            raise _wrong("manifestUrl", "A request needs manifestUrl or submissionStatus", "required")
        if self.manifest_url is not None and self.fhir_base_url is None:
            raise _wrong("fhirBaseUrl", "manifestUrl needs fhirBaseUrl beside it", "required")
        if self.manifest_url is not None and self.manifest_url == self.replaces:
            raise _wrong("manifestUrl", "A manifest cannot replace itself; give the new one another URL", "value")
        if self.mode is not None and self.mode not in MODES:
            raise _wrong("import", f"{MODE_URL} is one of {', '.join(MODES)}", "value")
        if max(len(self.headers), len(self.metadata), len(self.oauth)) > _MOST:
            raise _wrong("fileRequestHeader", f"A request has at most {_MOST} parameters of one name", "too-costly")


def _bounded(name: str, text: str, most: int) -> None:
    if not text or len(text) > most or not text.isprintable():
        raise _wrong(name, f"{name} is a text of 1 to {most:,} printable characters", "value")


def _wrong(name: str, told: str, code: str) -> InvalidResource:
    return InvalidResource(told, code=code, expression=(f"Parameters.parameter.where(name='{name}')",))
