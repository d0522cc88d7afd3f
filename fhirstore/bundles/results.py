"""What became of each entry of a Bundle. How that is written as a Bundle again is the server's affair.

https://hl7.org/fhir/R4/http.html#transaction-response
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from fhirstore.bundles.entries import Entry
from fhirstore.errors import ContentTooLarge, FhirError, FhirStoreError, Issue
from fhirstore.history.page import HistoryPage
from fhirstore.interactions.history_request import HistoryRequest
from fhirstore.interactions.parameters import View
from fhirstore.interactions.search_request import SearchRequest
from fhirstore.search.pages.searchset import SearchPage
from fhirstore.version import Version


@dataclass(frozen=True, slots=True, repr=False)
class Result:
    """One entry's result. `entry`: None where it could not be read.

    `version`: what the entry wrote, found or read; None after a delete of what was not there. `page`: what a search or
    a history found, and `request`: what it asked for. `issues`: what $validate says. `content`: what another operation
    returned, as JSON. `view`: the part of each of these resources that a read asked for; None: it did not say.
    `not_modified`: a read whose condition says that the client has it already. `error`: nothing was done. `deleted`:
    how many resources a conditional delete deleted, where they are several.
    """

    entry: Entry | None
    version: Version | None = None
    content: bytes | None = None
    page: SearchPage | HistoryPage | None = None
    request: SearchRequest | HistoryRequest | None = None
    issues: tuple[Issue, ...] | None = None
    view: View | None = None
    not_modified: bool = False
    error: FhirStoreError | None = None
    deleted: int = 0

    def __repr__(self) -> str:
        became = self.error.__class__.__name__ if self.error is not None else self.version
        return f"<EntryResult of {self.entry}: {became}>"

    @property
    def brought(self) -> int:
        """Bytes that were read for it, and did not come with the Bundle."""
        if self.entry is None or not self.entry.brings:
            return 0
        own = len(self.content or b"") + (0 if self.version is None else len(self.version.content))
        return own + sum(len(version.content) for version in self.versions)

    @property
    def versions(self) -> tuple[Version, ...]:
        """The versions on the page that a search or a history found."""
        if self.page is None:
            return ()
        return self.page.versions


@dataclass(frozen=True, slots=True, repr=False)
class BundleResult:
    """The results in the order of the entries. `kind`: batch or transaction."""

    kind: str
    results: tuple[Result, ...]

    def __repr__(self) -> str:
        return f"<BundleResult of a {self.kind} of {len(self.results)} entries>"


def refuse_more(brought: int, limit: int) -> None:
    """Raises ContentTooLarge once the entries of one Bundle have brought more than `limit` bytes."""
    if brought > limit:
        raise ContentTooLarge(
            f"What this Bundle reads, patches and finds has more than {limit:,} bytes together; send fewer entries",
            code="too-costly",
        )


def refuse_more_requests(asked: int, limit: int) -> None:
    """Raises ContentTooLarge once what the entries of one Bundle read took so many storage requests."""
    if asked >= limit:
        raise ContentTooLarge(
            f"What this Bundle reads takes more than {limit:,} storage requests (FHIRSTORE_MAX_BUNDLE_REQUESTS); send"
            " fewer entries that search, count or look up",
            code="too-costly",
        )


def blame(error: FhirError, place: str) -> FhirError:
    """The same error, its issues saying that it is of the entry at `place` (`Bundle.entry[3]`)."""
    error.issues = tuple([_placed(issue, place) for issue in error.issues])
    return error


def failed(entry: Entry, error: FhirStoreError) -> Result:
    """The entry's result where it came to this error."""
    return Result(entry, error=blame(error, entry.place) if isinstance(error, FhirError) else error)


def _placed(issue: Issue, place: str) -> Issue:
    if not issue.expression:
        return replace(issue, expression=(place,))
    return replace(issue, expression=tuple([_below(place, path) for path in issue.expression]))


def _below(place: str, path: str) -> str:
    """`Patient.name[0]` as `Bundle.entry[3].resource.name[0]`."""
    if path.startswith("Bundle.entry["):
        return path
    head, dot, rest = path.partition(".")
    if head[:1].isupper():
        return f"{place}.resource{dot}{rest}"
    return f"{place}.resource.{path}"
