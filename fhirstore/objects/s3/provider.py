"""What is asked of the provider beside a store: where credentials come from, and to make a bucket.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateBucket.html
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiobotocore.session import get_session
from botocore.exceptions import BotoCoreError, ClientError

from fhirstore.errors import StoreMisconfigured, StoreUnavailable
from fhirstore.objects.s3.options import S3Location, S3Options
from fhirstore.objects.s3.session import S3Session

if TYPE_CHECKING:
    from types_aiobotocore_s3.type_defs import CreateBucketConfigurationTypeDef

_DEFAULT_REGION = "us-east-1"  # which CreateBucket does not want to be named
_PATIENCE = 20.0  # seconds
_SOURCES = {
    "env": "the environment (AWS_ACCESS_KEY_ID)",
    "shared-credentials-file": "the shared credentials file",
    "config-file": "the AWS config file",
    "custom-process": "a process that the AWS config names",
    "assume-role": "a role of the AWS config",
    "assume-role-with-web-identity": "a role, by a web identity token",
    "sso": "AWS IAM Identity Center",
    "login": "an AWS login",
    "container-role": "the role of the container",
    "iam-role": "the role of the machine",
    "boto-config": "a boto config file",
}


async def credentials_source() -> str:
    """Returns where the provider chain finds credentials, in words that hold no secret; "nowhere" where it does not.

    It may ask the machine's metadata service. Raises StoreMisconfigured, StoreUnavailable.
    """
    try:
        async with asyncio.timeout(_PATIENCE):
            credentials = await get_session().get_credentials()
    except BotoCoreError as error:
        raise StoreMisconfigured(detail=f"S3 credentials: {error}") from error
    except TimeoutError:
        raise StoreUnavailable(detail=f"no source of S3 credentials answered within {_PATIENCE:.0f} s") from None
    if credentials is None:
        return "nowhere"
    method = str(credentials.method)
    return _SOURCES.get(method, method)


async def create_bucket(location: str, options: S3Options) -> bool:
    """Makes the bucket of `s3://bucket/prefix`. Returns False where it is there already, and may be used.

    Nothing else is set: versioning, encryption and policies are the provider's defaults. Raises StoreMisconfigured
    (taken by somebody else, forbidden, malformed), StoreUnavailable.
    """
    place = S3Location.parse(location)
    session = await S3Session.open(place, options)
    try:
        async with asyncio.timeout(_PATIENCE):
            return await _create(place, session, named=options.endpoint_url is not None)
    except TimeoutError:
        raise StoreUnavailable(detail=f"{place}: the server did not answer within {_PATIENCE:.0f} s") from None
    except BotoCoreError as error:
        raise StoreMisconfigured(detail=f"{place}: {error}") from error
    finally:
        await session.aclose()


async def _create(place: S3Location, session: S3Session, *, named: bool) -> bool:
    client = await session.client()
    try:
        await client.head_bucket(Bucket=place.bucket)
    except ClientError as error:
        if _status(error) not in (403, 404):
            raise _refused(place, error) from error
    else:
        return False
    try:
        if named or session.region == _DEFAULT_REGION:
            await client.create_bucket(Bucket=place.bucket)
        else:
            there: CreateBucketConfigurationTypeDef = {"LocationConstraint": session.region}  # type: ignore[typeddict-item] # one of a list
            await client.create_bucket(Bucket=place.bucket, CreateBucketConfiguration=there)
    except ClientError as error:
        if _code(error) == "BucketAlreadyOwnedByYou":
            return False
        raise _refused(place, error) from error
    return True


def _refused(place: S3Location, error: ClientError) -> StoreMisconfigured | StoreUnavailable:
    code = _code(error)
    if _status(error) >= 500:
        return StoreUnavailable(detail=f"{place}: CreateBucket answered {_status(error)} {code}")
    advice = {
        "BucketAlreadyExists": "somebody else has a bucket of this name; choose another",
        "AccessDenied": "these credentials may not make a bucket (s3:CreateBucket)",
        "InvalidAccessKeyId": "the access key id is unknown there: check AWS_ACCESS_KEY_ID (or the profile)",
        "SignatureDoesNotMatch": "the secret key does not belong to the access key id: check AWS_SECRET_ACCESS_KEY",
        "InvalidBucketName": "a bucket's name has 3 to 63 of a-z, 0-9, '-' and '.'",
    }.get(code, "the server refused it")
    return StoreMisconfigured(detail=f"{place}: {advice} ({_status(error)} {code})")


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
