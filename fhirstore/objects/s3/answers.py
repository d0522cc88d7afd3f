"""Reads S3's XML answers and writes its XML requests: LIST, batch delete, multipart uploads, tags.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html, API_DeleteObjects.html,
API_CompleteMultipartUpload.html, API_ListMultipartUploads.html, API_PutObjectTagging.html. The parser is the
stdlib's expat: it loads nothing external, and documents that declare a DTD or entities are refused outright.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from urllib.parse import unquote_plus
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from fhirstore.errors import OutcomeUnknown, StoreUnavailable
from fhirstore.objects.base import Listed, Page
from fhirstore.objects.s3.store_time import parse_timestamp
from fhirstore.objects.uploads import PendingUpload, UploadPage


def read_page(body: bytes, *, root: str) -> Page:
    """Returns the page of a ListObjectsV2 answer, with keys relative to `root`."""
    tree = _parse(body)
    try:
        return _page(tree, root)
    except ValueError as error:
        raise StoreUnavailable(detail="the store answered LIST with entries that lack a size or time") from error


def _page(tree: ElementTree.Element, root: str) -> Page:
    space = _namespace(tree)
    encoded = tree.findtext(f"{space}EncodingType") == "url"
    skip = len(root)

    def key_of(text: str) -> str:
        return (unquote_plus(text) if encoded else text)[skip:]

    key_tag, size_tag, etag_tag, time_tag = (f"{space}{name}" for name in ("Key", "Size", "ETag", "LastModified"))
    objects: list[Listed] = []
    for entry in tree.iter(f"{space}Contents"):
        key = size = etag = modified = ""
        for child in entry:
            tag, text = child.tag, child.text or ""
            if tag == key_tag:
                key = text
            elif tag == size_tag:
                size = text
            elif tag == etag_tag:
                etag = text
            elif tag == time_tag:
                modified = text
        objects.append(Listed(key_of(key), int(size), quoted(etag), parse_timestamp(modified)))
    prefixes = tuple(
        key_of(entry.findtext(f"{space}Prefix") or "") for entry in tree.iterfind(f"{space}CommonPrefixes")
    )
    more = tree.findtext(f"{space}IsTruncated") == "true"
    cursor = tree.findtext(f"{space}NextContinuationToken") if more else None
    return Page(tuple(objects), prefixes, cursor)


def delete_request(keys: Iterable[str]) -> bytes:
    """Returns the body of a DeleteObjects request that reports only failures."""
    objects = "".join(f"<Object><Key>{escape(key)}</Key></Object>" for key in keys)
    return (
        '<Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Quiet>true</Quiet>' + objects + "</Delete>"
    ).encode()


def undeleted(body: bytes) -> list[tuple[str, str]]:
    """Returns (key, error code) of each object that was not removed by DeleteObjects. Absent objects are no error."""
    tree = _parse(body)
    space = _namespace(tree)
    found = [
        (entry.findtext(f"{space}Key") or "", entry.findtext(f"{space}Code") or "")
        for entry in tree.iterfind(f"{space}Error")
    ]
    return [(key, code) for key, code in found if code not in ("NoSuchKey", "NoSuchVersion")]


def complete_request(etags: Iterable[tuple[int, str]]) -> bytes:
    """Returns the body of a CompleteMultipartUpload request, of part numbers and ETags."""
    parts = "".join(
        f"<Part><PartNumber>{number}</PartNumber><ETag>{escape(etag)}</ETag></Part>" for number, etag in etags
    )
    space = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
    return f"<CompleteMultipartUpload {space}>{parts}</CompleteMultipartUpload>".encode()


def read_uploads(body: bytes, *, root: str) -> UploadPage:
    """Returns the page of a ListMultipartUploads answer, with keys relative to `root`. The cursor is two markers."""
    tree = _parse(body)
    space = _namespace(tree)
    encoded = tree.findtext(f"{space}EncodingType") == "url"

    def text(element: ElementTree.Element, name: str) -> str:
        return element.findtext(f"{space}{name}") or ""

    def key_in(element: ElementTree.Element, name: str) -> str:
        found = text(element, name)
        return unquote_plus(found) if encoded else found

    def upload(one: ElementTree.Element) -> PendingUpload:
        started = parse_timestamp(text(one, "Initiated"))
        return PendingUpload(key_in(one, "Key")[len(root) :], text(one, "UploadId"), started)

    try:
        uploads = tuple(upload(one) for one in tree.iterfind(f"{space}Upload"))
    except ValueError as error:
        raise StoreUnavailable(detail="the store answered with uploads that lack a time") from error
    if text(tree, "IsTruncated") != "true":
        return UploadPage(uploads, None)
    return UploadPage(uploads, json.dumps([key_in(tree, "NextKeyMarker"), text(tree, "NextUploadIdMarker")]))


def tagging_request(tags: Mapping[str, str]) -> bytes:
    """Returns the body of a PutObjectTagging request."""
    listed = "".join(
        f"<Tag><Key>{escape(name)}</Key><Value>{escape(value)}</Value></Tag>" for name, value in tags.items()
    )
    space = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
    return f"<Tagging {space}><TagSet>{listed}</TagSet></Tagging>".encode()


def read_tags(body: bytes) -> dict[str, str]:
    """Returns the tags in a GetObjectTagging answer."""
    tree = _parse(body)
    space = _namespace(tree)
    return {one.findtext(f"{space}Key") or "": one.findtext(f"{space}Value") or "" for one in tree.iter(f"{space}Tag")}


def read_text(body: bytes, name: str) -> str:
    """Returns the text of an element of the answer to a write. Raises OutcomeUnknown where there is none."""
    try:
        tree = _parse(body)
    except StoreUnavailable as error:
        raise OutcomeUnknown(detail=error.detail) from error
    text = tree.findtext(f"{_namespace(tree)}{name}")
    if not text:
        raise OutcomeUnknown(detail=f"the store answered without {name}")
    return text


def quoted(etag: str) -> str:
    """Returns an ETag with quotes, as in headers; some servers omit them in XML."""
    return etag if etag.endswith('"') else f'"{etag}"'


def _parse(body: bytes) -> ElementTree.Element:
    if b"<!" in body or b"\0" in body:  # NUL means UTF-16, which could hide a declaration
        raise StoreUnavailable(detail="the store answered with XML that declares a DTD")
    try:
        return ElementTree.fromstring(body)  # noqa: S314 - a DTD, which makes it unsafe, was refused above
    except ElementTree.ParseError as error:
        raise StoreUnavailable(detail=f"the store answered with malformed XML: {error}") from error


def _namespace(tree: ElementTree.Element) -> str:
    return tree.tag[: tree.tag.index("}") + 1] if tree.tag.startswith("{") else ""
