"""The session of an S3 store: credentials, region and endpoint, and the clients that share them.

Frequent requests do not go through aiobotocore, which costs much more CPU (see docs/performance.md, S3 clients), but
only it has the credential chain: https://docs.aws.amazon.com/boto3/latest/guide/credentials.html. `keys()` is called
for each signature, so that temporary credentials are renewed.
"""

from __future__ import annotations

import asyncio
import ssl
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from aiobotocore.config import AioConfig
from aiobotocore.credentials import AioCredentials, AioRefreshableCredentials
from aiobotocore.session import AioSession, get_session
from botocore.exceptions import BotoCoreError
from obstore.store import S3Store

from fhirstore.errors import StoreMisconfigured
from fhirstore.objects.s3.encryption import Encryption
from fhirstore.objects.s3.options import Addressing, S3Location, S3Options
from fhirstore.objects.s3.signing import Keys

if TYPE_CHECKING:
    from obstore.store import ClientConfig, S3Config, S3Credential
    from types_aiobotocore_s3 import S3Client

# botocore renews temporary credentials at least ten minutes before they end; obstore asks again after this.
_RENEW = timedelta(minutes=5)
_ENDLESS = timedelta(days=1)
_DEFAULT_REGION = "us-east-1"
_NO_CREDENTIALS = (
    "no S3 credentials found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile (AWS_PROFILE), or a role"
)


class S3Session:
    """The session of one bucket. `ca_file`: a private certificate authority (AWS_CA_BUNDLE), if there is one."""

    def __init__(
        self, location: S3Location, options: S3Options, *, region: str, session: AioSession, credentials: AioCredentials
    ) -> None:
        self.location = location
        self.region = region
        ca_file = session.get_config_variable("ca_bundle")
        self.ca_file = Path(ca_file) if ca_file else None
        self.addressing: Addressing  # set by `open`, because on AWS botocore knows the endpoint
        self.public: Addressing  # where clients of presigned requests reach the bucket
        self._options = options
        self._session = session
        self._credentials = credentials
        self._owned = AsyncExitStack()
        self._client: S3Client | None = None
        self._creating = asyncio.Lock()

    @classmethod
    async def open(cls, location: S3Location, options: S3Options) -> S3Session:
        """Resolve everything that needs no request to the store. Raises StoreMisconfigured."""
        session = get_session()
        region = options.region or session.get_config_variable("region")
        region = region or (_DEFAULT_REGION if options.endpoint_url else None)
        if not region:
            raise StoreMisconfigured(detail=f"no region known for {location}: set AWS_REGION to the bucket's region")
        addressing = Addressing.of(location, options, options.endpoint_url) if options.endpoint_url else None
        try:
            credentials = await session.get_credentials()
        except BotoCoreError as error:
            raise StoreMisconfigured(detail=f"S3 credentials: {error}") from error
        if credentials is None:
            raise StoreMisconfigured(detail=_NO_CREDENTIALS)
        opened = cls(location, options, region=region, session=session, credentials=credentials)
        opened.addressing = addressing or Addressing.of(location, options, (await opened.client()).meta.endpoint_url)
        public = options.public_endpoint_url
        opened.public = Addressing.of(location, options, public) if public else opened.addressing
        return opened

    async def client(self) -> S3Client:
        """Returns aiobotocore's client. It is expensive to make, so it is made at the first call."""
        async with self._creating:
            if self._client is None:
                self._client = await self._owned.enter_async_context(self._new_client())
            return self._client

    def _new_client(self) -> AbstractAsyncContextManager[S3Client]:
        options = self._options
        style = {None: "path" if options.endpoint_url else "auto", True: "path", False: "virtual"}
        config = AioConfig(
            connect_timeout=options.connect_timeout,
            read_timeout=options.request_timeout,
            retries={"mode": "standard", "total_max_attempts": options.attempts},
            s3={"addressing_style": style[options.force_path_style], "us_east_1_regional_endpoint": "regional"},
            request_checksum_calculation="when_required",  # other stores do not support botocore's default
            response_checksum_validation="when_required",
        )
        client: AbstractAsyncContextManager[S3Client] = self._session.create_client(
            "s3", region_name=self.region, endpoint_url=options.endpoint_url or None, config=config
        )
        return client

    async def keys(self) -> Keys:
        """Returns the current credentials, renewed if they are about to expire."""
        try:
            frozen = await self._credentials.get_frozen_credentials()
        except BotoCoreError as error:
            raise StoreMisconfigured(detail=f"S3 credentials could not be renewed: {error}") from error
        return Keys(frozen.access_key, frozen.secret_key, frozen.token)

    def obstore(self, *, streaming: bool = False, encryption: Encryption | None = None) -> S3Store:
        """Returns an obstore client with this session's credentials and without retries, which would repeat conditional
        PUTs.

        `encryption`: of all that it writes, with its `kms_key`. A request ends after `request_timeout`; if `streaming`,
        after that time without a byte.
        """
        options = self._options
        limit = timedelta(seconds=options.request_timeout)
        client: ClientConfig = {
            "allow_http": options.allow_http,
            "connect_timeout": timedelta(seconds=options.connect_timeout),
            "pool_max_idle_per_host": str(options.connections),
            "read_timeout": limit if streaming else min(limit, timedelta(seconds=options.silence)),
            "timeout": _ENDLESS if streaming else limit,
        }
        if self.ca_file:
            client["root_certificate"] = self.ca_file.read_bytes()
        addressing = self.addressing
        config: S3Config = {}
        if encryption is not None:
            config["server_side_encryption"] = encryption.algorithm
            if encryption.kms_key is not None:
                config["sse_kms_key_id"] = encryption.kms_key
            if encryption.bucket_key:
                config["sse_bucket_key_enabled"] = True
        return S3Store(
            self.location.bucket,
            config=config,
            endpoint=addressing.endpoint_url
            if addressing.path_style
            else f"{addressing.origin}{addressing.bucket_path}",
            virtual_hosted_style_request=not addressing.path_style,
            region=self.region,
            disable_bulk_delete=True,
            client_options=client,
            retry_config={"max_retries": 0},
            credential_provider=self._obstore_credentials,
        )

    async def _obstore_credentials(self) -> S3Credential:
        """Returns the credentials for obstore, which keeps them until `expires_at`."""
        keys = await self.keys()
        lasting = not isinstance(self._credentials, AioRefreshableCredentials)
        return {
            "access_key_id": keys.access_key,
            "secret_access_key": keys.secret_key,
            "token": keys.token,
            "expires_at": None if lasting else datetime.now(UTC) + _RENEW,
        }

    def tls(self) -> ssl.SSLContext:
        """Returns a context that verifies certificates, also against the private authority if there is one."""
        context = ssl.create_default_context()
        if self.ca_file:
            context.load_verify_locations(cafile=self.ca_file)
        return context

    async def aclose(self) -> None:
        await self._owned.aclose()
