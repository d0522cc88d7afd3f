"""Facts as S3 carries them: headers of a PUT, a copy or a new upload, and of the answer to HEAD.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html, API_HeadObject.html.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from fhirstore.objects.facts import UNTYPED, Facts, ObjectInfo
from fhirstore.objects.s3.answers import quoted
from fhirstore.objects.s3.store_time import parse_date

_METADATA = "x-amz-meta-"
_DEFAULT = "binary/octet-stream"  # of AWS


def carrying(facts: Facts | None) -> dict[str, str]:
    """Returns the headers that give an object these facts. All must be signed."""
    if facts is None:
        return {}
    headers = {f"{_METADATA}{name}": value for name, value in facts.metadata.items()}
    if facts.content_type is not None:
        headers["content-type"] = facts.content_type
    if facts.tags:
        headers["x-amz-tagging"] = "&".join(
            f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in facts.tags.items()
        )
    return headers


def info_of(key: str, headers: Mapping[str, str]) -> ObjectInfo:
    """Returns what the answer to HEAD tells of an object. Raises ValueError where it lacks the size."""
    given = {name.lower(): value for name, value in headers.items()}
    content_type = given.get("content-type") or UNTYPED
    return ObjectInfo(
        key,
        int(given.get("content-length", "none")),
        quoted(given.get("etag", "")),
        parse_date(given.get("last-modified")) or 0,
        UNTYPED if content_type == _DEFAULT else content_type,
        {name[len(_METADATA) :]: value for name, value in given.items() if name.startswith(_METADATA)},
    )
