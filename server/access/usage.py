"""What each tenant uses of this process, and its limits: requests and bytes per second, and requests at once.

A request beyond a limit is refused with 429 and Retry-After before its body is read. Bytes are those of bodies, of the
request and of the answer. They are counted as they pass, so a request is admitted without knowing how long it will be:
what it takes more than the rate allows is a debt, for which later requests of the tenant are refused. A body or an
answer that comes in several pieces is slowed down to the rate instead.

The limits hold for this process. Only requests of tenants that have limits are counted; for the others all this costs
one comparison. Benchmark: reads, see docs/performance.md.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable

from starlette.types import Message, Receive, Scope, Send

from server.access.token_bucket import Seconds, TokenBucket
from server.http.refusal import Refused
from server.settings.tenants import TenantSettings

USAGE = "fhirstore.usage"
_LONGEST_PAUSE = 10.0  # seconds that one piece of a body or of an answer waits
_LEAST_BYTES = 64 * 1024  # of a full bucket: one piece, so that a slow rate does not refuse each second request
_MOST_IDLE = 1_024  # tenants that are kept although they use nothing
_MOST_OWING = 16_384  # tenants that are kept for what they have used, although they have no request


class LimitReached(Refused):
    """429: the tenant has used what it may for now."""

    def __init__(self, limit: str, *, retry_after: float) -> None:
        super().__init__(
            429,
            f"This tenant has reached its limit of {limit}; send the request again later",
            headers={"Retry-After": str(max(1, math.ceil(retry_after)))},
        )


class _Tenant:
    """What one tenant uses."""

    def __init__(self, limits: TenantSettings, now: Seconds) -> None:
        self.limits = limits
        self.at_once = 0
        requests, size = limits.requests_per_second, limits.bytes_per_second
        self.requests = None if requests is None else TokenBucket(requests, now=now)
        self.bytes = None if size is None else TokenBucket(size, now=now, least=_LEAST_BYTES)

    def admit(self) -> None:
        """Counts one more request. Raises LimitReached; then it is not counted."""
        limits = self.limits
        if limits.concurrent_requests is not None and self.at_once >= limits.concurrent_requests:
            raise LimitReached(f"{limits.concurrent_requests:,} requests at once", retry_after=1)
        if self.bytes is not None and (seconds := self.bytes.wait()):
            raise LimitReached(f"{limits.bytes_per_second:,.12g} bytes a second", retry_after=seconds)
        if self.requests is not None:
            if seconds := self.requests.wait(1):
                raise LimitReached(f"{limits.requests_per_second:,.12g} requests a second", retry_after=seconds)
            self.requests.take(1)
        self.at_once += 1

    def spend(self, size: int) -> float:
        """Takes `size` bytes. Returns the seconds until they are paid for."""
        if self.bytes is None:
            return 0.0
        self.bytes.take(size)
        return self.bytes.wait()

    @property
    def idle(self) -> bool:
        """Whether nothing would change if it were forgotten."""
        buckets = (self.requests, self.bytes)
        return self.at_once == 0 and all(bucket is None or bucket.full for bucket in buckets)


class TenantUsage:
    """What all tenants use. `limits_of`: the settings of a tenant."""

    def __init__(self, limits_of: Callable[[str], TenantSettings], *, now: Seconds = time.monotonic) -> None:
        self._limits_of = limits_of
        self._now = now
        self._tenants: dict[str, _Tenant] = {}
        self._tidy_at = _MOST_IDLE

    def __len__(self) -> int:
        return len(self._tenants)

    def of(self, tenant: str) -> _Tenant | None:
        """Returns what a tenant uses, None where it has no limits."""
        found = self._tenants.get(tenant)
        if found is None:
            limits = self._limits_of(tenant)
            if not limits.limited:
                return None
            if len(self._tenants) >= self._tidy_at:
                self._tidy()
            found = self._tenants[tenant] = _Tenant(limits, self._now)
        return found

    def _tidy(self) -> None:
        """Forgets tenants that use nothing. Each call is paid for by the tenants that came since the last one."""
        using = {name: one for name, one in self._tenants.items() if not one.idle}
        owing = [name for name, one in using.items() if one.at_once == 0]
        for name in owing[: max(0, len(owing) - _MOST_OWING)]:  # made-up names at a slow rate: the oldest are forgotten
            del using[name]
        self._tenants = using
        self._tidy_at = max(_MOST_IDLE, 2 * len(using))


class RequestUsage:
    """What one request uses: `begin` admits it, its `receive` and `send` count bytes, `end` must be called."""

    __slots__ = ("_all", "_receive", "_send", "_tenant")

    def __init__(self, usage: TenantUsage, receive: Receive, send: Send) -> None:
        self._all = usage
        self._receive = receive
        self._send = send
        self._tenant: _Tenant | None = None

    def begin(self, tenant: str) -> None:
        """Counts the request as one of this tenant. Raises LimitReached."""
        using = self._all.of(tenant)
        if using is not None:
            using.admit()
            self._tenant = using

    def end(self) -> None:
        """The request is answered, or nobody waits for its answer."""
        if self._tenant is not None:
            self._tenant.at_once -= 1
            self._tenant = None

    async def receive(self) -> Message:
        """Receives the next piece of the body, and counts it."""
        message = await self._receive()
        await self._spend(message)
        return message

    async def send(self, message: Message) -> None:
        """Counts a piece of the answer, and sends it."""
        await self._spend(message)
        await self._send(message)

    async def _spend(self, message: Message) -> None:
        if self._tenant is not None and (body := message.get("body")):
            seconds = self._tenant.spend(len(body))
            if seconds and message.get("more_body", False):
                await asyncio.sleep(min(seconds, _LONGEST_PAUSE))


def usage_of(scope: Scope) -> RequestUsage | None:
    """Returns what the request with this scope uses; None: no tenant has limits."""
    usage: RequestUsage | None = scope.get(USAGE)
    return usage
