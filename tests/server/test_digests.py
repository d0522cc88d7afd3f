"""Content-Digest and Repr-Digest say the hash of a body; one that is malformed is refused."""

from __future__ import annotations

import base64
import hashlib

import pytest

from server.http.digests import asked_digest, repr_digest
from server.http.refusal import Refused

DIGEST = hashlib.sha256(b"hello").digest()
VALUE = f"sha-256=:{base64.b64encode(DIGEST).decode()}:"


@pytest.mark.parametrize(
    "headers",
    [
        {"content-digest": VALUE},
        {"repr-digest": VALUE},
        {"content-digest": VALUE, "repr-digest": VALUE},
        {"repr-digest": f"sha-512=:AAAA:, {VALUE}"},
    ],
)
def test_it_is_read(headers: dict[str, str]) -> None:
    """From either header, among other algorithms."""
    assert asked_digest({name.encode(): value.encode() for name, value in headers.items()}) == DIGEST
    assert repr_digest(DIGEST.hex()) == VALUE


@pytest.mark.parametrize("value", ["", "sha-512=:AAAA:", "md5=:AAAA:, unixsum=1"])
def test_other_algorithms_are_ignored(value: str) -> None:
    """ "may ignore any" of them."""
    assert asked_digest({b"content-digest": value.encode()}) is None


@pytest.mark.parametrize(
    "value", ["sha-256", "sha-256=abc", "sha-256=:abc:", "sha-256=:AAAA:", "nonsense", f"{VALUE[:-1]}", "=:AAAA:"]
)
def test_what_is_malformed_is_refused(value: str) -> None:
    """Somebody relies on it, so it is not passed over."""
    with pytest.raises(Refused) as caught:
        asked_digest({b"repr-digest": value.encode()})
    assert caught.value.status_code == 400


def test_two_that_differ_are_refused() -> None:
    """One body has one hash."""
    other = repr_digest("00" * 32).encode()
    with pytest.raises(Refused):
        asked_digest({b"content-digest": VALUE.encode(), b"repr-digest": other})
