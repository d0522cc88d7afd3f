"""Requests that are signed here and sent by somebody else, to the address by which that one reaches the store.

https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html, for forms
https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-HTTPPOSTConstructPolicy.html.
"""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Mapping
from urllib.parse import quote

from fhirstore.errors import RequestRefused
from fhirstore.objects.facts import Facts
from fhirstore.objects.presigned import PresignedPost, PresignedPut, check_expiry, check_form
from fhirstore.objects.s3.bucket import Bucket
from fhirstore.objects.s3.encryption import encrypting
from fhirstore.objects.s3.session import S3Session
from fhirstore.objects.s3.signing import QuerySigner, encode

_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


class Presigner:
    """Signs for one bucket. Sends no request."""

    def __init__(self, session: S3Session, bucket: Bucket) -> None:
        self._session = session
        self._bucket = bucket
        self._addressing = session.public

    async def get(self, key: str, *, expires_in: int, filename: str | None, content_type: str | None) -> str:
        """As `ObjectStore.presign_get`."""
        Facts(content_type=content_type).check(key)
        asked: list[tuple[str, str]] = []
        if filename is not None:
            asked.append(("response-content-disposition", disposition(key, filename)))
        if content_type is not None:
            asked.append(("response-content-type", content_type))
        return await self._url("GET", key, expires_in, asked, {})

    async def put(
        self,
        key: str,
        *,
        expires_in: int,
        content_type: str | None,
        sha256: str | None,
        size: int | None,
        if_absent: bool,
    ) -> PresignedPut:
        """As `ObjectStore.presign_put`. The headers are signed, so that the client can leave out none of them."""
        facts = Facts(content_type=content_type)
        facts.check(key)
        headers = {} if content_type is None else {"content-type": content_type}
        headers |= encrypting(self._bucket.encryption, key)
        if sha256 is not None:
            if not _SHA256.fullmatch(sha256):
                raise RequestRefused(key, "sha256 is not 64 hexadecimal digits")
            headers["x-amz-checksum-sha256"] = base64.b64encode(bytes.fromhex(sha256)).decode()
        if if_absent:
            headers["if-none-match"] = "*"
        signed = headers if size is None else {**headers, "content-length": str(_size(key, size))}
        return PresignedPut(await self._url("PUT", key, expires_in, [], signed), headers)

    async def post(
        self, key: str, *, expires_in: int, min_size: int, max_size: int, content_type: str | None
    ) -> PresignedPost:
        """As `ObjectStore.presign_post`. The store itself refuses other sizes, keys and types, and late forms."""
        check_expiry(key, expires_in)
        check_form(key, min_size, max_size)
        Facts(content_type=content_type).check(key)
        at = self._now()
        signer = await self._signer()
        fields = {"key": self._bucket.root + key}
        if content_type is not None:
            fields["Content-Type"] = content_type
        fields |= encrypting(self._bucket.encryption, key)
        fields.update(signer.form_fields(at=at))
        if signer.keys.token:
            fields["x-amz-security-token"] = signer.keys.token
        conditions: list[object] = [{name: value} for name, value in fields.items()]
        conditions += [{"bucket": self._bucket.name}, ["content-length-range", min_size, max_size]]
        until = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(at + expires_in))
        policy = base64.b64encode(json.dumps({"expiration": until, "conditions": conditions}).encode()).decode()
        fields |= {"policy": policy, "x-amz-signature": signer.signature(policy, at=at)}
        return PresignedPost(f"{self._addressing.origin}{self._addressing.bucket_path or '/'}", fields)

    async def _url(
        self, method: str, key: str, expires_in: int, parameters: list[tuple[str, str]], headers: Mapping[str, str]
    ) -> str:
        check_expiry(key, expires_in)
        path = f"{self._addressing.bucket_path}/{encode(self._bucket.root + key, keep='/')}"
        signer = await self._signer()
        query = signer.query(method, path, parameters, at=self._now(), seconds=expires_in, headers=headers)
        return f"{self._addressing.origin}{path}?{query}"

    async def _signer(self) -> QuerySigner:
        return QuerySigner(await self._session.keys(), region=self._session.region, host=self._addressing.host)

    def _now(self) -> int:
        """Returns the second that is signed: never in the store's future, or the store would refuse the request."""
        return (self._bucket.signed.reached() or self._bucket.signed.now()) // 1000


def _size(key: str, size: int) -> int:
    check_form(key, size, size)
    return size


def disposition(key: str, filename: str) -> str:
    """Returns a Content-Disposition that names a download: https://www.rfc-editor.org/rfc/rfc6266."""
    if not filename or len(filename) > 255 or not filename.isprintable() or set('/\\"') & set(filename):
        raise RequestRefused(key, 'filename must be 1 to 255 printable characters without /, \\ and "')
    if filename.isascii():
        return f'attachment; filename="{filename}"'
    return f"attachment; filename*=UTF-8''{quote(filename, safe='')}"
