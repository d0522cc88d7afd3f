"""Translates failed S3 requests, by status and error code, to the `ObjectError` family.

One table serves both clients (obstore, the signed requests):
https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html. Its main task is to tell "surely not applied" from
"outcome unknown", because the commit protocol reads back only in the second case.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from fhirstore.errors import (
    ConditionalConflict,
    ObjectArchived,
    ObjectError,
    ObjectNotFound,
    OutcomeUnknown,
    PreconditionFailed,
    RequestRefused,
    StoreBusy,
    StoreCannot,
    StoreFull,
    StoreMisconfigured,
    StoreUnavailable,
    UploadNotFound,
    WriteWindowClosed,
)
from fhirstore.objects.base import Condition, IfMatch
from fhirstore.objects.s3.circuit import Circuit
from fhirstore.objects.s3.options import Addressing, S3Location

UNTRUSTED = "untrusted TLS certificate"  # code of a failure without an answer
_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>([^<]{1,100})</Code>")
_MESSAGE = re.compile(r"<Message>([^<]{1,300})</Message>")
# The codes of MinIO, Ceph and others for a full quota or disk; AWS has no quotas.
_FULL_CODES = frozenset({"QuotaExceeded", "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "InsufficientStorage"})
_BUSY = frozenset({429, 503})
_BUSY_CODES = frozenset(
    {
        "SlowDown",
        "RequestLimitExceeded",
        "Throttling",
        "ThrottlingException",
        "TooManyRequests",
        "KMS.ThrottlingException",
    }
)
_ARCHIVED_CODES = frozenset({"InvalidObjectState", "ObjectNotInActiveTierError"})  # the second: of a copy's source
_ARCHIVED = "in an archive class; ask for its restoration, then read it"
_WRONG_REGION = frozenset({"PermanentRedirect", "TemporaryRedirect", "AuthorizationHeaderMalformed"})
_TROUBLE = frozenset({500, *range(502, 600)})  # not 501: the store works and lacks a feature
_AMBIGUOUS = frozenset({0, 400, 408, 499})  # 400 covers RequestTimeout and IncompleteBody


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed request. Status 0: without an answer. `sent` False: the request was surely not sent."""

    status: int
    code: str = ""
    message: str = ""
    sent: bool = True

    @classmethod
    def from_answer(cls, status: int, body: bytes) -> Failure:
        """Read S3's error document. Lenient, because proxies answer with anything."""
        text = body[:4096].decode("utf-8", "replace")
        code, message = _CODE.search(text), _MESSAGE.search(text)
        return cls(status, code[1] if code else "", message[1] if message else "")

    @classmethod
    def from_obstore(cls, error: Exception) -> Failure:
        """Read the text of an obstore error, which has the status and the error document in it."""
        text, _, debug = str(error).partition("Debug source:")
        status = _STATUS.search(text)
        if status:
            return cls.from_answer(int(status[1]), text[status.end() :].encode())
        if "Received redirect without LOCATION" in text:
            return cls(301, "PermanentRedirect")
        return cls(0, sent="kind: Connect" not in debug)

    @property
    def busy(self) -> bool:
        return self.status in _BUSY or self.code in _BUSY_CODES

    @property
    def full(self) -> bool:
        """Whether the store is full: its disks or a quota."""
        return self.status == 507 or (self.status >= 400 and self.code in _FULL_CODES)

    @property
    def troubled(self) -> bool:
        """Whether the store is in trouble: no answer, overloaded, failing."""
        if self.full:
            return False
        return self.busy or self.status in (0, 408) or self.code == "RequestTimeout" or self.status in _TROUBLE

    @property
    def expired(self) -> bool:
        """Whether the signature's window was over. AWS and MinIO say AccessDenied, "Request has expired"."""
        said = f"{self.code} {self.message}".lower()
        return self.status in (400, 403) and "expired" in said and "token" not in said

    @property
    def archived(self) -> bool:
        """Whether the object is in an archive class, from which it must be restored before it can be read."""
        return self.status == 403 and self.code in _ARCHIVED_CODES

    @property
    def of_key(self) -> bool:
        """Whether the key that encrypts the object cannot be used, so that nothing was written or read."""
        named = self.code.startswith(("KMS.", "kms:", "XMinioKMS")) or (self.denied and "kms:" in self.message)
        return named and not self.busy

    @property
    def denied(self) -> bool:
        return self.status in (400, 403) and self.code == "AccessDenied"

    def __str__(self) -> str:
        if not self.status:
            return self.code or ("no answer" if self.sent else "no connection")
        return f"{self.status} {self.code}".rstrip()


@dataclass(frozen=True, slots=True)
class Failures:
    """The table for one bucket. `circuit` is notified of every failure."""

    location: S3Location
    addressing: Addressing
    circuit: Circuit

    def reading(self, key: str, failure: Failure, *, date: int) -> ObjectError:
        """Returns the error of a GET or LIST. `date`: for ObjectNotFound."""
        self._tell(failure)
        if failure.status == 404 and failure.code != "NoSuchBucket":
            return ObjectNotFound(key, date=date)
        if failure.archived:
            return ObjectArchived(key, _ARCHIVED, date=date)
        if failure.of_key:
            return self.misconfigured(failure)
        if failure.busy:
            return StoreBusy(key, str(failure))
        if failure.status in (0, 408) or failure.status >= 500 or failure.code == "RequestTimeout":
            return StoreUnavailable(key, str(failure))
        return self.misconfigured(failure)

    def writing(
        self, key: str, failure: Failure, *, condition: Condition | None = None, late: bool = False
    ) -> ObjectError:
        """Returns the error of a PUT or DELETE. `late`: its window was over, so AccessDenied means just that."""
        self._tell(failure)
        conditional = condition is not None
        if failure.of_key:
            return self.misconfigured(failure)
        if failure.status == 412:
            return PreconditionFailed(key)
        if failure.status == 404 and isinstance(condition, IfMatch) and failure.code != "NoSuchBucket":
            return PreconditionFailed(key, "no such object")
        if failure.status == 409:
            return ConditionalConflict(key, str(failure)) if conditional else StoreBusy(key, str(failure))
        if failure.expired or (late and failure.denied):
            return WriteWindowClosed(key, str(failure))
        if failure.full:
            return StoreFull(key, f"the bucket's quota or the store's disks are full ({failure}); free some space")
        if failure.busy or not failure.sent:
            return StoreBusy(key, str(failure))
        if failure.status == 501 or (failure.status in (400, 403) and failure.code in _ADVICE):
            return self.misconfigured(failure)
        if failure.status in _AMBIGUOUS or failure.status >= 500:
            return OutcomeUnknown(key, str(failure))
        return self.misconfigured(failure)

    def operating(
        self, key: str, failure: Failure, *, condition: Condition | None = None, late: bool = False
    ) -> ObjectError:
        """Returns the error of a request that carries facts, or is about uploads, copies or tags.

        NoSuchKey: the object it is about is absent. Otherwise as `writing`.
        """
        if condition is not None and failure.status in (404, 409, 412):
            return self.writing(key, failure, condition=condition)
        if failure.archived:
            self._tell(failure)
            return ObjectArchived(key, _ARCHIVED)
        kind = _OPERATING.get(failure.code)
        if failure.status in (404, 501) and kind is None:
            kind = StoreCannot if failure.status == 501 else None if failure.code == "NoSuchBucket" else ObjectNotFound
        if kind is None:
            return self.writing(key, failure, condition=condition, late=late)
        self._tell(failure)
        if kind is ObjectNotFound:
            return ObjectNotFound(key)
        said = f" ({failure.message})" if failure.message else ""
        return kind(key, f"{failure}{said}")

    def _tell(self, failure: Failure) -> None:
        if failure.troubled:
            self.circuit.failed()
        else:
            self.circuit.answered()

    def misconfigured(self, failure: Failure, *, bucket_region: str | None = None) -> StoreMisconfigured:
        """Returns the error with one line that says what is wrong and what to do."""
        advice = _KEY if failure.of_key else _ADVICE.get(failure.code) or _ADVICE_BY_STATUS.get(failure.status)
        where = f"{self.location} at {self.addressing.endpoint_url}"
        if failure.code in _WRONG_REGION or failure.status in (301, 307):
            region = f" (it is {bucket_region})" if bucket_region else ""
            advice = f"the bucket lies in another region{region}: set AWS_REGION to it, or mend the endpoint"
        if not advice:
            return StoreMisconfigured(detail=f"{where}: refused with {failure}")
        command = f"`fhirstore bucket create --store {self.location}`, or docker/terraform on AWS"
        text = advice.format(bucket=self.location.bucket, endpoint=self.addressing.endpoint_url, create=command)
        return StoreMisconfigured(detail=f"{where}: {text} [{failure}]")


_OPERATING: dict[str, type[ObjectError]] = {
    "NoSuchKey": ObjectNotFound,
    "NoSuchUpload": UploadNotFound,
    "NotImplemented": StoreCannot,
    "EntityTooSmall": RequestRefused,
    "EntityTooLarge": RequestRefused,
    "InvalidArgument": RequestRefused,
    "InvalidPart": RequestRefused,
    "InvalidPartOrder": RequestRefused,
    "InvalidPartNumber": RequestRefused,
    "InvalidRequest": RequestRefused,
    "InvalidTag": RequestRefused,
    "KeyTooLongError": RequestRefused,
    "MalformedXML": RequestRefused,
    "MetadataTooLarge": RequestRefused,
}
_NO_BUCKET = "bucket {bucket} does not exist, and servers never make one: {create}"
_DENIED = (
    "these credentials may not use bucket {bucket}: allow them s3:ListBucket on it, and s3:GetObject, s3:PutObject,"
    " s3:PutObjectTagging, s3:DeleteObject on its objects"
)
_KEY = (
    "the KMS key cannot be used: it must exist, be enabled, and allow these credentials kms:GenerateDataKey and"
    " kms:Decrypt (FHIRSTORE_S3_SSE_KMS_KEY_ID, or kms_key of the tenant)"
)
_ADVICE = {
    "NoSuchBucket": _NO_BUCKET,
    "AccessDenied": _DENIED,
    "AllAccessDisabled": _DENIED,
    "InvalidAccessKeyId": "the access key id is unknown there: check AWS_ACCESS_KEY_ID (or the profile)",
    "SignatureDoesNotMatch": "the secret key does not belong to the access key id: check AWS_SECRET_ACCESS_KEY",
    "InvalidToken": "the session token is not valid there: check AWS_SESSION_TOKEN",
    "ExpiredToken": "the session token has expired: renew the credentials",
    "RequestTimeTooSkewed": "this machine's clock is too far from the store's: set it (NTP)",
    "InvalidBucketName": "{bucket} is not a valid bucket name: mend the location",
    "NotImplemented": "the store lacks what this needs (conditional PUT): use another one, or a newer version",
}
_ADVICE_BY_STATUS = {
    401: "wrong credentials: check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    403: _DENIED,
    404: _NO_BUCKET,
}
