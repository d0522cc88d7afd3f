"""Query-string signatures (Signature Version 4): a URL that the store itself refuses after a given second.

https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html. Only the host is signed, and those headers
that must be (`x-amz-…`), so conditional ones may be added. Keeping the day's signing key makes this cheaper than
botocore's S3SigV4QueryAuth (see docs/performance.md, S3 clients); the tests compare the signatures of both.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote


@dataclass(frozen=True, slots=True)
class Keys:
    """Credentials. `token`: only for temporary ones."""

    access_key: str
    secret_key: str
    token: str | None = None

    def __repr__(self) -> str:
        return "Keys(…)"  # secrets must not be logged


class QuerySigner:
    """Signs requests to one host and region with one set of keys."""

    def __init__(self, keys: Keys, *, region: str, host: str) -> None:
        self.keys = keys
        self._region = region
        self._host = host
        self._second = -1
        self._stamp = self._scope = self._parameters = ""
        self._day_key = b""
        self._day = ""

    def query(
        self,
        method: str,
        path: str,
        parameters: Sequence[tuple[str, str]] = (),
        *,
        at: int,
        seconds: int,
        headers: Mapping[str, str] | None = None,
    ) -> str:
        """Returns the query string of a request that the store accepts in [at, at + seconds], `at` in epoch seconds.

        `path` must be percent-encoded, `parameters` must not. `headers`: to be sent just so; names in lower case.
        """
        if at != self._second:
            self._turn_to(at)
        signed = f"{self._parameters}&X-Amz-Expires={seconds}"
        if self.keys.token:
            signed += f"&X-Amz-Security-Token={encode(self.keys.token)}"
        names, values = "host", f"host:{self._host}\n"
        if headers:
            lines = sorted([*headers.items(), ("host", self._host)])
            names = ";".join(name for name, _ in lines)
            values = "".join(f"{name}:{' '.join(value.split())}\n" for name, value in lines)
        signed += f"&X-Amz-SignedHeaders={encode(names)}"
        if parameters:  # canonical order is by name; these are lower case and "X" sorts before them
            ordered = sorted((encode(name), encode(value)) for name, value in parameters)
            signed += "".join(f"&{name}={value}" for name, value in ordered)
        canonical = f"{method}\n{path}\n{signed}\n{values}\n{names}\nUNSIGNED-PAYLOAD"
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        message = f"AWS4-HMAC-SHA256\n{self._stamp}\n{self._scope}\n{digest}"
        return f"{signed}&X-Amz-Signature={hmac.digest(self._day_key, message.encode(), 'sha256').hex()}"

    def form_fields(self, *, at: int) -> dict[str, str]:
        """Returns the fields of a form that say by whom and when (epoch seconds) its policy was signed."""
        self._turn_to(at)
        return {
            "x-amz-algorithm": "AWS4-HMAC-SHA256",
            "x-amz-credential": f"{self.keys.access_key}/{self._scope}",
            "x-amz-date": self._stamp,
        }

    def signature(self, policy: str, *, at: int) -> str:
        """Returns the signature of a form's policy, which is in base64."""
        self._turn_to(at)
        return hmac.digest(self._day_key, policy.encode(), "sha256").hex()

    def _turn_to(self, second: int) -> None:
        moment = time.gmtime(second)
        day = time.strftime("%Y%m%d", moment)
        self._stamp = time.strftime("%Y%m%dT%H%M%SZ", moment)
        self._scope = f"{day}/{self._region}/s3/aws4_request"
        credential = encode(f"{self.keys.access_key}/{self._scope}")
        self._parameters = f"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={credential}&X-Amz-Date={self._stamp}"
        if day != self._day:
            key = f"AWS4{self.keys.secret_key}".encode()
            for part in (day, self._region, "s3", "aws4_request"):
                key = hmac.digest(key, part.encode(), "sha256")
            self._day_key, self._day = key, day
        self._second = second


def encode(text: str, *, keep: str = "") -> str:
    """Returns the text percent-encoded for SigV4: all but unreserved characters and those in `keep`."""
    return quote(text, safe=f"-_.~{keep}")
