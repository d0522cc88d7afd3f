"""Polling locations of a submission: each kick-off of `$bulk-submit-status` has one, until the provider deletes it.

A location is `watches/{id}.json` below the submission, so it goes when the submission goes. Its id cannot be guessed.
https://hl7.org/fhir/uv/bulkdata/submit.html#bulk-submit-status-request-flow
"""

from __future__ import annotations

import base64
import binascii
import secrets
from dataclasses import dataclass

from fhirstore.commit.drive import drive
from fhirstore.commit.idempotent import removed, stored
from fhirstore.errors import NotFound
from fhirstore.objects.base import ObjectStore
from fhirstore.submit.bookkeeping import body_of
from fhirstore.submit.keys import SubmissionKeys

_BYTES = 18  # of randomness in an id
_LETTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


@dataclass(frozen=True, slots=True)
class Watch:
    """A polling location. `submitter`: `system|value`."""

    submitter: str
    submission_id: str
    id: str

    @property
    def submission(self) -> str:
        """Both names of the submission as one segment of a URL."""
        return base64.urlsafe_b64encode(f"{self.submitter}\n{self.submission_id}".encode()).rstrip(b"=").decode()

    @classmethod
    def named(cls, submission: str, id: str) -> Watch:
        """Returns the location of these two segments. Raises NotFound for what cannot be one."""
        try:
            names = base64.b64decode(submission + "=" * (-len(submission) % 4), altchars=b"-_", validate=True)
            submitter, newline, submission_id = names.decode().partition("\n")
        except (binascii.Error, ValueError):
            raise _gone() from None
        if not newline or not id or len(id) > 100 or not _LETTERS.issuperset(id):
            raise _gone()
        return cls(submitter, submission_id, id)


def new_watch(submitter: str, submission_id: str) -> Watch:
    """Returns a location that does not exist yet."""
    return Watch(submitter, submission_id, secrets.token_urlsafe(_BYTES))


async def begin(objects: ObjectStore, keys: SubmissionKeys, watch: Watch) -> None:
    """Makes a location. 1 PUT, its commit point."""
    await drive(stored(keys.watch(watch.id), b"{}"), objects)


async def check(objects: ObjectStore, keys: SubmissionKeys, watch: Watch) -> None:
    """Raises NotFound for a location that does not exist. 1 GET."""
    if await body_of(objects, keys.watch(watch.id)) is None:
        raise _gone()


async def end(objects: ObjectStore, keys: SubmissionKeys, watch: Watch) -> None:
    """Removes a location. 1 GET, 1 DELETE, its commit point. Raises NotFound."""
    await check(objects, keys, watch)
    await drive(removed(keys.watch(watch.id)), objects)


def _gone() -> NotFound:
    return NotFound("There is no such request for a status: it was deleted or has expired, or there never was one")
