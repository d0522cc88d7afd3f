"""The report on a manifest: its OperationOutcomes and its summary, from the results of all segments.

The summary is written last, IfAbsent: with it the manifest is processed, or has failed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator

from fhirstore.commit.drive import drive
from fhirstore.commit.idempotent import listed
from fhirstore.commit.messages import List
from fhirstore.errors import SourceFailed
from fhirstore.jobs.lease import put_once
from fhirstore.objects.base import ObjectStore
from fhirstore.submit.bookkeeping import body_of
from fhirstore.submit.keys import ManifestKeys, parse_segment
from fhirstore.submit.manifest import read_stored_page
from fhirstore.submit.segment import Counts, LineIssue, LineOutcome, Results, decode_results
from fhirstore.submit.standing import Standing
from fhirstore.submit.state import FAILED, PROCESSED, Manifest
from fhirstore.submit.summary import Summary, Told, write_outcomes


async def summarise(
    objects: ObjectStore,
    keys: ManifestKeys,
    manifest: Manifest,
    *,
    standing: Standing,
    epoch: int,
    failed: bool = False,
) -> Summary:
    """Writes the outcomes of all lines and files, and the summary. Returns it.

    `failed`: the manifest itself could not be read. 1 LIST for a thousand segments, 1 GET each. Commit point: the PUT
    of the summary. Raises LeaseLost, Unavailable.
    """
    names = await _names(objects, keys)
    total = Counts()

    async def told() -> AsyncIterator[Told]:
        nonlocal total, failed
        async for number, results in _all_results(objects, keys):
            total += results.counts
            for one in results.outcomes:
                failed = failed or (one.line == 0 and one.failed)
                name = names.get(number, "")
                place = f"{name}, line {one.line}" if one.line else name
                yield Told(one.issues, f"{manifest.base}/{one.source}" if one.source else "", place)
        yield Told((LineIssue("information", "informational", _in_words(total)),))

    files = await write_outcomes(objects, keys, told(), name="outcome", epoch=epoch)
    state = FAILED if failed else PROCESSED
    summary = Summary(state=state, ended=standing.now(), counts=total, files=files)
    await drive(put_once(keys.summary, summary.encode(), until=standing.until), objects)
    return summary


async def fail(
    objects: ObjectStore, keys: ManifestKeys, manifest: Manifest, error: SourceFailed, *, standing: Standing, epoch: int
) -> Summary:
    """Ends a manifest that cannot be read, with what of it was read. Returns its summary. Raises as `summarise`."""
    results = Results(counts=Counts(), outcomes=(failure("The manifest could not be read", error),))
    await drive(put_once(keys.results(0, 0), results.encode(), until=standing.until), objects)
    return await summarise(objects, keys, manifest, standing=standing, epoch=epoch, failed=True)


def failure(what: str, error: SourceFailed) -> LineOutcome:
    """Returns the outcome of a file, or of the manifest, that could not be read."""
    issue = error.issues[0]
    return LineOutcome(0, "", (LineIssue("error", issue.code, f"{what}: {issue.diagnostics}"),))


async def _names(objects: ObjectStore, keys: ManifestKeys) -> dict[int, str]:
    """Returns the names of all files by their numbers; where files have the same one, the numbers are in them."""
    names: dict[int, str] = {}
    page = 0
    while (body := await body_of(objects, keys.page(page))) is not None:
        for file in read_stored_page(body, keys.page(page)).files:
            names[len(names) + 1] = file.name
        page += 1
    often = Counter(names.values())
    return {number: name if often[name] == 1 else f"{name} (file {number})" for number, name in names.items()}


async def _all_results(objects: ObjectStore, keys: ManifestKeys) -> AsyncIterator[tuple[int, Results]]:
    """Yields all results in order, with the file's number."""
    cursor: str | None = None
    while True:
        page = await drive(listed(List(keys.all_results, cursor=cursor)), objects)
        for item in page.objects:
            name = item.key.removeprefix(keys.all_results).removesuffix(".json")
            body = await body_of(objects, item.key)
            if body is not None:
                yield parse_segment(name)[0], decode_results(body, item.key)
        cursor = page.cursor
        if cursor is None:
            return


def _in_words(counts: Counts) -> str:
    parts = [
        f"{number:,} {name}"
        for name, number in (
            ("created", counts.created),
            ("updated", counts.updated),
            ("deleted", counts.deleted),
            ("unchanged", counts.unchanged),
            ("left as they were", counts.existing),
        )
        if number
    ]
    told = ", ".join(parts) or "nothing changed"
    return f"The manifest was processed: {counts.lines:,} lines, {counts.failed:,} refused; resources: {told}"
