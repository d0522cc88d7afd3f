"""`clinic.exports`: starts exports, says how far they are, cancels them, and opens their files."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from fhirstore.engine import Engine
from fhirstore.errors import Issue, Unsupported
from fhirstore.export.manifest import ExportManifest, ManifestFile
from fhirstore.export.request import ExportOptions, ExportRequest
from fhirstore.objects.base import ObjectStream
from fhirstore.tenancy import Place

WAITING, RUNNING, COMPLETED, FAILED = "waiting", "running", "completed", "failed"


@dataclass(frozen=True, slots=True)
class Export:
    """An export that was started. `ignored`: what of the request was left out, or informs."""

    id: str
    ignored: tuple[Issue, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportStatus:
    """`status`: waiting, running, completed or failed. `progress`: less than 100 characters for X-Progress.

    `retry_after`: seconds until the next poll is worth it. `manifest`: of a completed export; of a running one that may
    be read in pages, its first page, if there is one. `failure`: why it failed. `expires_at`: epoch ms at which the
    files of an export that has ended are removed.
    """

    status: str
    progress: str = ""
    retry_after: int = 1
    manifest: ExportManifest | None = None
    failure: tuple[Issue, ...] = ()
    expires_at: int | None = None
    created: int = 0
    url: str = ""


class Exports:
    """The exports of one tenant."""

    def __init__(self, engine: Engine, place: Place, options: ExportOptions | None = None) -> None:
        self._engine = engine
        self._place = place
        self._options = options or ExportOptions()

    async def start(self, request: ExportRequest, *, options: ExportOptions | None = None) -> Export:
        """Starts an export of the state at this time, T. Returns as soon as it is queued.

        Raises InvalidResource, UnknownType, Unsupported (a parameter), NotFound, Gone (the Group), TooManyJobs.
        """
        raise Unsupported("Exports are not implemented yet")

    async def status(self, id: str) -> ExportStatus:
        """Returns how far an export is. 2 or 3 GET. Raises NotFound: unknown, cancelled, expired."""
        raise Unsupported("Exports are not implemented yet")

    async def page(self, id: str, name: str) -> ExportManifest:
        """Returns a page of a manifest that has several, by the `more` of the one before. Raises NotFound."""
        raise Unsupported("Exports are not implemented yet")

    async def cancel(self, id: str) -> None:
        """Cancels an export, or removes one that has ended, with all its files. Raises NotFound where there is none."""
        raise Unsupported("Exports are not implemented yet")

    async def file(self, id: str, name: str) -> ManifestFile:
        """Returns the facts of a file of the manifest. Raises NotFound."""
        raise Unsupported("Exports are not implemented yet")

    async def key(self, id: str, name: str) -> str:
        """Returns the key of a file in the tenant's store, for a presigned URL. Raises NotFound."""
        raise Unsupported("Exports are not implemented yet")

    def open_file(
        self, id: str, name: str, *, start: int = 0, end: int | None = None
    ) -> AbstractAsyncContextManager[ObjectStream]:
        """Reads bytes [start, end) of a file of the manifest, as `async with`. Raises NotFound on entering."""
        raise Unsupported("Exports are not implemented yet")
