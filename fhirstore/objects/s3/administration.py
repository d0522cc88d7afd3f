"""The `Bucket` that is an S3 bucket, through aiobotocore, whose values have the form of `aws s3api`.
 https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lifecycle-mgmt.html,
https://docs.aws.amazon.com/AmazonS3/latest/userguide/restoring-objects.html
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Sequence
from typing import TYPE_CHECKING, TypeVar, cast

from botocore.exceptions import BotoCoreError, ClientError

from fhirstore.errors import (
    ObjectError,
    ObjectNotFound,
    RequestRefused,
    StoreCannot,
    StoreMisconfigured,
    StoreUnavailable,
)
from fhirstore.objects.bucket import ARCHIVES, ArchiveState, Rule, Tier
from fhirstore.objects.s3.options import S3Location, S3Options
from fhirstore.objects.s3.session import S3Session

if TYPE_CHECKING:
    from types_aiobotocore_s3.literals import TransitionDefaultMinimumObjectSizeType
    from types_aiobotocore_s3.type_defs import (
        BucketLifecycleConfigurationTypeDef,
        CORSConfigurationTypeDef,
        RestoreRequestTypeDef,
    )

_T = TypeVar("_T")
_NO_RULES = frozenset({"NoSuchLifecycleConfiguration", "NoSuchCORSConfiguration"})
_UNKNOWN_THERE = frozenset({"NotImplemented", "MethodNotAllowed", "XNotImplemented"})
_ONGOING = re.compile(r'ongoing-request="(true|false)"')
_UNTIL = re.compile(r'expiry-date="([^"]+)"')


class S3Bucket:
    """A `Bucket`. Made by `opened`."""

    def __init__(self, session: S3Session) -> None:
        self._session = session
        self.location = str(session.location)
        self.name = session.location.bucket
        self.root = session.location.root
        self._smallest: TransitionDefaultMinimumObjectSizeType | None = None

    @classmethod
    async def opened(cls, location: str, options: S3Options) -> S3Bucket:
        """Returns the bucket of a store `s3://bucket/prefix`. Sends no request. Raises StoreMisconfigured."""
        return cls(await S3Session.open(S3Location.parse(location), options))

    async def aclose(self) -> None:
        await self._session.aclose()

    async def lifecycle(self) -> list[Rule]:
        client = await self._session.client()
        found = await self._asked("lifecycle rules", client.get_bucket_lifecycle_configuration(Bucket=self.name))
        if found is None:
            return []
        self._smallest = found.get("TransitionDefaultMinimumObjectSize")
        return cast("list[Rule]", found["Rules"])

    async def set_lifecycle(self, rules: Sequence[Rule]) -> None:
        client = await self._session.client()
        if not rules:
            await self._asked("lifecycle rules", client.delete_bucket_lifecycle(Bucket=self.name))
            return
        wanted = cast("BucketLifecycleConfigurationTypeDef", {"Rules": list(rules)})
        put = client.put_bucket_lifecycle_configuration
        if self._smallest is None:
            request = put(Bucket=self.name, LifecycleConfiguration=wanted)
        else:  # it holds for the rules of others, too, so it stays as it is
            request = put(
                Bucket=self.name, LifecycleConfiguration=wanted, TransitionDefaultMinimumObjectSize=self._smallest
            )
        await self._asked("lifecycle rules", request)

    async def cors(self) -> list[Rule]:
        client = await self._session.client()
        found = await self._asked("CORS rules", client.get_bucket_cors(Bucket=self.name))
        return [] if found is None else cast("list[Rule]", found["CORSRules"])

    async def set_cors(self, rules: Sequence[Rule]) -> None:
        client = await self._session.client()
        if not rules:
            await self._asked("CORS rules", client.delete_bucket_cors(Bucket=self.name))
            return
        wanted = cast("CORSConfigurationTypeDef", {"CORSRules": list(rules)})
        await self._asked("CORS rules", client.put_bucket_cors(Bucket=self.name, CORSConfiguration=wanted))

    async def archive_state(self, key: str) -> ArchiveState:
        client = await self._session.client()
        head = await self._asked("objects", client.head_object(Bucket=self.name, Key=self.root + key), key=key)
        assert head is not None  # noqa: S101 - only rules may be absent without an error
        class_ = str(head.get("ArchiveStatus", "")) or str(head.get("StorageClass", "STANDARD"))
        told = head.get("Restore", "")
        ongoing, until = _ONGOING.search(told), _UNTIL.search(told)
        here = ongoing is not None and ongoing[1] == "false"
        away = class_ in ARCHIVES or class_.endswith("ARCHIVE_ACCESS")
        return ArchiveState(
            class_,
            archived=away and not here,
            returning=ongoing is not None and ongoing[1] == "true",
            until=until[1] if until else "",
        )

    async def restore(self, key: str, *, days: int, tier: Tier) -> None:
        client = await self._session.client()
        wanted: RestoreRequestTypeDef = {"Days": days, "GlacierJobParameters": {"Tier": tier}}
        request = client.restore_object(Bucket=self.name, Key=self.root + key, RestoreRequest=wanted)
        try:
            await self._asked("archives", request, key=key)
        except _UnderWay:
            return

    async def _asked(self, what: str, request: Awaitable[_T], *, key: str = "") -> _T | None:
        """Returns the answer; None: the bucket has no such rules. Raises the `ObjectError` for a failure."""
        try:
            return await request
        except ClientError as error:
            told = error.response.get("Error", {})
            code, message = str(told.get("Code", "")), str(told.get("Message", ""))
            status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
            if code in _NO_RULES:
                return None
            raise self._error(what, status, code, message, key) from error
        except BotoCoreError as error:
            raise StoreUnavailable(key, f"{self.location}: {error}") from error

    def _error(self, what: str, status: int, code: str, message: str, key: str) -> ObjectError:
        told = f"{self.location}: {code or status}{f', {message}' if message and message != code else ''}"
        if code == "RestoreAlreadyInProgress":
            return _UnderWay(key)
        if key and status == 404 and code != "NoSuchBucket":
            return ObjectNotFound(key)
        if code in _UNKNOWN_THERE or status in (405, 501):
            return StoreCannot(key, f"this S3 server does not know {what} ({told})")
        if status >= 500 or status == 429:
            return StoreUnavailable(key, told)
        if code in ("AccessDenied", "AllAccessDisabled") or (status == 403 and code != "InvalidObjectState"):
            return StoreMisconfigured(key, f"these credentials may not look at or change {what} ({told})")
        if code == "NoSuchBucket":
            return StoreMisconfigured(key, f"the bucket does not exist ({told})")
        return RequestRefused(key, f"refused by the S3 server ({told})")


class _UnderWay(RequestRefused):
    """The restoration was asked for before."""
