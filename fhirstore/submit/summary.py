"""What became of a manifest, and the files of OperationOutcomes that tell its provider line by line."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Mapping

import msgspec

from fhirstore.errors import CorruptRecord
from fhirstore.objects.base import ObjectStore
from fhirstore.runs.files import FileWriter, writing
from fhirstore.submit.keys import ManifestKeys
from fhirstore.submit.outcomes import gravest, outcome
from fhirstore.submit.segment import Counts, LineIssue

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
                await file.write(outcome(following.issues, source=following.source, place=following.place))
                severities[gravest(following.issues)] += 1
                following = await anext(left, None)
            written = await file.close()
        done.append(OutcomeFile(name=called, count=written.count, size=written.size, severities=dict(severities)))
    return tuple(done)


def _is_full(file: FileWriter) -> bool:
    return file.count >= MOST_LINES or file.size >= MOST_BYTES
