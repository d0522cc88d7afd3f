"""The manifest of an export: one model, and both shapes that it has on the wire.

The model knows names of files and no URLs, so that it can be stored, and served below any base. It does not depend on a
job: whatever writes part files can describe them so.

https://hl7.org/fhir/uv/bulkdata/export.html#response---output-manifest
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import msgspec
from msgspec.structs import replace

from fhirstore.errors import CorruptRecord
from fhirstore.fhir.json import JsonObject, instant

OUTPUT, DELETED, ERROR = "output", "deleted", "error"
"""The kinds of files, and the members of the manifest that list them."""

Version = Literal[3, 4]

FORMAT = "application/fhir+ndjson"
_MODEL = "http://hl7.org/fhir/uv/bulkdata/StructureDefinition/BulkDataManifest"


class ManifestFile(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One file. `type`: of its lines; "" where the output is organized by a type. `name`: its last path segment, unique
    in the export. `count`: its lines, never 0. `size`: bytes. `sha256`: of these bytes, hex. `continues_in`: the name
    of the file where its last block goes on. `severities`: of a file of OperationOutcomes, how many have which.
    """

    type: str
    name: str
    count: int
    size: int
    sha256: str
    encoding: str | None = None
    continues_in: str | None = None
    severities: dict[str, int] = {}


class ExportManifest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an export has written. `transaction_time`: epoch ms. `request`: the URL of the kick-off.

    `more`: the name of the page that follows, for the link to it; None on the last page.
    """

    transaction_time: int
    request: str = ""
    output: tuple[ManifestFile, ...] = ()
    deleted: tuple[ManifestFile, ...] = ()
    error: tuple[ManifestFile, ...] = ()
    organized_by: str | None = None
    more: str | None = None

    @property
    def files(self) -> tuple[ManifestFile, ...]:
        """All files, of every kind."""
        return self.output + self.deleted + self.error

    def followed_by(self, name: str) -> ExportManifest:
        """Returns the same page with a link to another one."""
        return replace(self, more=name)

    def encode(self) -> bytes:
        """Returns the object's body."""
        return _encode(self)


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(ExportManifest).decode


def decode_manifest(body: bytes, key: str) -> ExportManifest:
    """Returns the manifest in an object's body. Raises CorruptRecord, naming `key`, where it is none."""
    try:
        return _decode(body)
    except msgspec.MsgspecError as error:
        raise CorruptRecord(key) from error


def render_manifest(
    manifest: ExportManifest,
    *,
    version: Version,
    url_of: Callable[[str], str],
    requires_access_token: bool,
    page_url_of: Callable[[str], str] | None = None,
) -> JsonObject:
    """Returns the manifest as JSON. `url_of`: the absolute URL of the file of that name; `page_url_of`: of a page.

    Version 4 has no `request`, calls `error` outcome, names its model and its format, and says how large files are.
    """
    shown: JsonObject = {} if version == 3 else {"manifestType": _MODEL}
    shown["transactionTime"] = instant(manifest.transaction_time)
    if version == 3:
        shown["request"] = manifest.request
    shown["requiresAccessToken"] = requires_access_token
    if version == 4:
        shown["outputFormat"] = FORMAT
    if manifest.organized_by is not None:
        shown["outputOrganizedBy"] = manifest.organized_by
    shown["output"] = [_file(file, version, url_of) for file in manifest.output]
    if manifest.deleted:
        shown["deleted"] = [_file(file, version, url_of, typed=version == 3) for file in manifest.deleted]
    outcomes: list[object] = [_file(file, version, url_of, typed=version == 3) for file in manifest.error]
    shown["error" if version == 3 else "outcome"] = outcomes
    if manifest.more is not None and page_url_of is not None:
        shown["link"] = [{"relation": "next", "url": page_url_of(manifest.more)}]
    return shown


def _file(file: ManifestFile, version: Version, url_of: Callable[[str], str], *, typed: bool = True) -> JsonObject:
    shown: JsonObject = {"type": file.type} if typed and file.type else {}
    shown["url"] = url_of(file.name)
    if file.continues_in is not None:
        shown["continuesInFile"] = url_of(file.continues_in)
    shown["count"] = file.count
    if version == 4:
        shown["fileSize"] = file.size
        if file.severities:
            shown["countSeverity"] = [{"code": code, "count": count} for code, count in sorted(file.severities.items())]
    return shown
