"""Checks, when a store is opened, that the bucket exists and may be used; if not, one line says what to do.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadBucket.html. Buckets are never created here.
"""

from __future__ import annotations

from fhirstore.clock import Clock
from fhirstore.errors import StoreMisconfigured, StoreUnavailable
from fhirstore.objects.s3.failures import UNTRUSTED, Failures
from fhirstore.objects.s3.requests import Answer, NoAnswer, SignedRequests
from fhirstore.objects.s3.session import S3Session

_SKEW_MINUTES = 10  # stores refuse header signatures that are 15 minutes off


async def check_bucket(signed: SignedRequests, session: S3Session, failures: Failures, *, clock: Clock) -> None:
    """Send HeadBucket, and a second request only to learn what is wrong, because an answer to HEAD has no body.

    Raises StoreMisconfigured, or StoreUnavailable where waiting may help.
    """
    head = await _asked(signed, session, "HEAD")
    if head.status >= 500 or head.status == 429:
        raise StoreUnavailable(detail=f"{session.location}: HeadBucket answered {head.status}")
    if head.status != 200:
        # The store's time is known now, so this signature is accepted even if the machine's clock is wrong.
        one_key = [("list-type", "2"), ("max-keys", "1"), ("prefix", session.location.root)]
        why = await _asked(signed, session, "GET", *one_key)
        if why.status != 200:
            raise failures.misconfigured(why.failure(), bucket_region=head.headers.get("x-amz-bucket-region"))
    minutes = abs(signed.now() - clock.now()) // 60_000
    if minutes >= _SKEW_MINUTES:
        detail = f"{session.location}: this machine's clock is {minutes} minutes from the store's: set it (NTP)"
        raise StoreMisconfigured(detail=detail)


async def _asked(signed: SignedRequests, session: S3Session, method: str, *parameters: tuple[str, str]) -> Answer:
    where = f"{session.location} at {session.addressing.endpoint_url}"
    try:
        return await signed.send(method, parameters=parameters)
    except NoAnswer as error:
        if error.failure.sent:
            raise StoreUnavailable(detail=f"{where}: the server there did not answer in time") from error
        advice = "nothing listens there: check the endpoint's host and port, and that a server runs"
        if error.failure.code == UNTRUSTED:
            advice = "its TLS certificate is not trusted: set AWS_CA_BUNDLE to the file of its certificate authority"
        raise StoreMisconfigured(detail=f"{where}: {advice}") from error
