"""One bucket: what every part of the S3 store needs to send a request, judge its answer and repeat it."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

from fhirstore.clock import Clock, SystemIds
from fhirstore.errors import FhirStoreError, ObjectError
from fhirstore.objects.s3.attempts import Attempts
from fhirstore.objects.s3.circuit import Circuit
from fhirstore.objects.s3.failures import Failure, Failures
from fhirstore.objects.s3.options import S3Options
from fhirstore.objects.s3.requests import Answer, NoAnswer, Piece, SignedRequests
from fhirstore.objects.s3.session import S3Session

_T = TypeVar("_T")


class Bucket:
    """The bucket of a store. `root`: the prefix of the store's keys in it; empty, or ends with `/`."""

    def __init__(self, session: S3Session, options: S3Options, clock: Clock) -> None:
        self.name = session.location.bucket
        self.root = session.location.root
        self.encryption = options.encryption
        self.circuit = Circuit(clock, SystemIds(), options.on_circuit)
        self.attempts = Attempts(self.circuit, options, clock)
        self.failures = Failures(session.location, session.addressing, self.circuit)
        self.signed = SignedRequests(session, options, clock)

    async def send(
        self,
        key: str,
        method: str,
        path: str = "",
        *,
        parameters: Sequence[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
        signed: Mapping[str, str] | None = None,
        body: bytes | Sequence[Piece] | None = None,
        expires: int | None = None,
        patience: float = 0.0,
    ) -> Answer:
        """Send a signed request, if the circuit allows it. `key`: for messages. Otherwise as `SignedRequests.send`."""
        sent = self.attempts.admit(key)
        try:
            answer = await self.signed.send(
                method,
                path,
                parameters=parameters,
                headers=headers,
                signed=signed,
                body=body,
                expires=expires,
                patience=patience,
            )
        except asyncio.CancelledError:
            self.circuit.given_up(sent)
            raise
        if answer.status < 400:
            self.circuit.answered()
        return answer

    async def ask(
        self,
        key: str,
        method: str,
        translate: Callable[[Failure], ObjectError],
        *,
        parameters: Sequence[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
        signed: Mapping[str, str] | None = None,
        body: bytes | Sequence[Piece] | None = None,
        patience: float = 0.0,
    ) -> Answer:
        """Send a request about the object `key`, once. Returns the answer that says that it was done.

        A 200 may carry an error, since S3 begins its answer to a long request early. Raises what `translate` makes of a
        failure.
        """
        try:
            answer = await self.send(
                key,
                method,
                self.root + key,
                parameters=parameters,
                headers=headers,
                signed=signed,
                body=body,
                patience=patience,
            )
        except NoAnswer as error:
            raise translate(error.failure) from error
        if answer.status >= 300:
            raise translate(answer.failure())
        if b"<Error>" in answer.body[:1024]:
            failure = answer.failure()
            raise translate(Failure(503 if failure.busy else 500, failure.code, failure.message))
        return answer

    async def repeated(
        self, name: str, attempt: Callable[[], Awaitable[_T]], while_raising: tuple[type[FhirStoreError], ...]
    ) -> _T:
        """As `Attempts.repeated`."""
        return await self.attempts.repeated(name, attempt, while_raising)

    async def aclose(self) -> None:
        await self.signed.aclose()


def md5(*pieces: Piece) -> str:
    """Returns Content-MD5, a checksum against bit flips: https://www.rfc-editor.org/rfc/rfc1864."""
    hash_ = hashlib.md5(usedforsecurity=False)
    for piece in pieces:
        hash_.update(piece)
    return base64.b64encode(hash_.digest()).decode()
