"""Reads one page of a provider's manifest: a Bulk Data manifest of version 3 or 4.

Providers' manifests are read as they are: a wrong `count` is reported and nothing else, members of no specification are
ignored. What is needed to read the files must be right.

https://hl7.org/fhir/uv/bulkdata/StructureDefinition-BulkDataManifest.html
"""

from __future__ import annotations

from typing import Literal
from urllib.parse import urljoin, urlsplit

import msgspec

from fhirstore.errors import CorruptRecord, SourceFailed

MOST_BYTES = 16 * 1024 * 1024
"""Bytes of one page."""
MOST_FILES = 100_000
"""Files of one page."""
MOST_PAGES = 10_000
_MOST_COUNT = 10**15


class ManifestFile(msgspec.Struct, frozen=True, omit_defaults=True):
    """One file. `type`: of the resources in it, None in a file with several. `count`: as the manifest says.

    `deleted`: its lines are Bundles of DELETE entries.
    """

    url: str
    type: str | None = None
    count: int | None = None
    deleted: bool = False

    @property
    def name(self) -> str:
        """Its name for messages: the last segment of the URL's path, without a query, which may hold a secret."""
        return _shown(urlsplit(self.url).path.rpartition("/")[2])


class Page(msgspec.Struct, frozen=True, omit_defaults=True):
    """One page. `organized_by`: files hold blocks of resources, each after a Parameters resource as its header.

    `protected`: the files need an access token, where the manifest itself did. `next`: the URL of the next page.
    """

    files: tuple[ManifestFile, ...] = ()
    organized_by: str | None = None
    protected: bool = False
    next: str | None = None

    def encode(self) -> bytes:
        """Returns the object's body."""
        return msgspec.json.encode(self)


class _Item(msgspec.Struct, frozen=True):
    url: str
    type: str | None = None
    count: object = None


class _Link(msgspec.Struct, frozen=True):
    relation: str
    url: str


class _Manifest(msgspec.Struct, frozen=True, rename="camel"):
    requires_access_token: bool = False
    output_organized_by: str | None = None
    output_format: str | None = None
    output: tuple[_Item, ...] = ()
    deleted: tuple[_Item, ...] = ()
    link: tuple[_Link, ...] = ()


_decode = msgspec.json.Decoder(_Manifest).decode
_decode_page = msgspec.json.Decoder(Page).decode


def read_stored_page(body: bytes, key: str) -> Page:
    """Returns a page as it was stored. Raises CorruptRecord, naming `key`."""
    try:
        return _decode_page(body)
    except msgspec.MsgspecError as error:
        raise CorruptRecord(key) from error


def read_page(body: bytes, url: str) -> Page:
    """Returns the page in the body that was found at `url`. Raises SourceFailed with what is wrong."""
    try:
        manifest = _decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise SourceFailed(f"The manifest is no Bulk Data manifest: {_told(error)}", code="structure") from None
    if len(manifest.output) + len(manifest.deleted) > MOST_FILES:
        raise SourceFailed(f"The manifest has more than {MOST_FILES:,} files on a page", code="too-costly")
    if manifest.output_format is not None and "ndjson" not in manifest.output_format.lower():
        raise SourceFailed("The manifest's files are of another format than NDJSON", code="not-supported")
    following = [link.url for link in manifest.link if link.relation == "next"]
    if len(following) > 1:
        raise SourceFailed("The manifest has two links to a next page", code="structure")
    files = [_file(item, url, "output") for item in manifest.output]
    files += [_file(item, url, "deleted") for item in manifest.deleted]
    return Page(
        tuple(files),
        manifest.output_organized_by,
        manifest.requires_access_token,
        urljoin(url, following[0]) if following else None,
    )


def _file(item: _Item, manifest: str, kind: Literal["output", "deleted"]) -> ManifestFile:
    if not item.url:
        raise SourceFailed("A file of the manifest has an empty url", code="required")
    count = item.count
    known = isinstance(count, int) and not isinstance(count, bool) and 0 <= count < _MOST_COUNT
    type_ = item.type if kind == "output" else None
    return ManifestFile(
        urljoin(manifest, item.url), type_, count if isinstance(count, int) and known else None, kind == "deleted"
    )


def _told(error: Exception) -> str:
    """What msgspec says, without what follows, which may repeat content."""
    return str(error).partition(" - ")[0][:200] if isinstance(error, msgspec.ValidationError) else "it is no JSON"


def _shown(name: str) -> str:
    safe = "".join(one if one.isascii() and (one.isalnum() or one in "._-") else "_" for one in name)
    return safe[:100] or "file"
