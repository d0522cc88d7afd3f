"""What became of a manifest, and the files of OperationOutcomes that tell its provider line by line.

An OperationOutcome is a line of NDJSON, with the resource of the source that it is about.

https://hl7.org/fhir/uv/bulkdata/submit.html#response---output-manifest ·
https://hl7.org/fhir/StructureDefinition/operationoutcome-sourceResource
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping

import msgspec

from fhirstore.errors import CorruptRecord
from fhirstore.objects.base import ObjectStore
from fhirstore.runs.files import FileWriter, writing
from fhirstore.submit.keys import ManifestKeys
from fhirstore.submit.segment import Counts, LineIssue

SOURCE = "http://hl7.org/fhir/StructureDefinition/operationoutcome-sourceResource"
SEVERITIES = ("fatal", "error", "warning", "information", "success")
MOST_LINES = 50_000
MOST_BYTES = 64 * 1024 * 1024


class OutcomeFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file of OperationOutcomes. `severities`: how many of them have each as their gravest."""

    name: str
    count: int
    size: int
    severities: Mapping[str, int]


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a manifest. `state`: processed or failed; undone, for its undoing. `ended`: epoch ms.

    `kept`: resources that its undoing left as they are, since others had changed them.
    """

    state: str
    ended: int
    counts: Counts = Counts()
    kept: int = 0
    files: tuple[OutcomeFile, ...] = ()

    def encode(self) -> bytes:
        """Returns the object's body."""
        return msgspec.json.encode(self)


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Summary).decode


def decode_summary(body: bytes, key: str) -> Summary:
    """Reads a summary. Raises CorruptRecord, naming `key`."""
    try:
        return _decode(body)
    except msgspec.MsgspecError as error:
        raise CorruptRecord(key) from error


class Told(msgspec.Struct, frozen=True):
    """One OperationOutcome to be written. `source`: absolute URL. `place`: of the line, in words."""

    issues: tuple[LineIssue, ...]
    source: str = ""
    place: str = ""


async def write_outcomes(
    objects: ObjectStore, keys: ManifestKeys, told: AsyncIterator[Told], *, name: str, epoch: int
) -> tuple[OutcomeFile, ...]:
    """Writes all of them, in files of bounded size. Returns the files; none is empty. Holds one batch in memory.

    `name`: begins the names. `epoch`: of the job's run, so that two runs never write the same object.
    """
    done: list[OutcomeFile] = []
    left = aiter(told)
    following = await anext(left, None)
    while following is not None:
        called = f"{name}-{len(done) + 1:05d}.{epoch}.ndjson"
        severities: Counter[str] = Counter()
        async with writing(objects, keys.outcome(called)) as file:
            while following is not None and not _is_full(file):
                await file.write(_outcome(following.issues, source=following.source, place=following.place))
                severities[_gravest(following.issues)] += 1
                following = await anext(left, None)
            written = await file.close()
        done.append(OutcomeFile(name=called, count=written.count, size=written.size, severities=dict(severities)))
    return tuple(done)


def _is_full(file: FileWriter) -> bool:
    return file.count >= MOST_LINES or file.size >= MOST_BYTES


def _outcome(issues: Iterable[LineIssue], *, source: str = "", place: str = "") -> bytes:
    """Returns an OperationOutcome as a line of NDJSON.

    `source`: the absolute URL of the resource that it is about. `place`: of the line, as `Patient.ndjson, line 12`; it
    begins the diagnostics.
    """
    resource: dict[str, object] = {"resourceType": "OperationOutcome"}
    if source:
        resource["extension"] = [{"url": SOURCE, "valueReference": {"reference": source}}]
    resource["issue"] = [_issue(issue, place) for issue in issues]
    return _encode(resource) + b"\n"


def _issue(issue: LineIssue, place: str) -> dict[str, object]:
    told = f"{place}: {issue.diagnostics}" if place else issue.diagnostics
    shown: dict[str, object] = {"severity": issue.severity, "code": issue.code, "diagnostics": told}
    if issue.expression:
        shown["expression"] = list(issue.expression)
    return shown


def _gravest(issues: Iterable[LineIssue]) -> str:
    """Returns the severity by which an OperationOutcome with these issues is counted: the gravest."""
    found = {issue.severity for issue in issues}
    return next((severity for severity in SEVERITIES if severity in found), "information")
