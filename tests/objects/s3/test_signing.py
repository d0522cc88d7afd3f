"""Query signatures equal botocore's, character by character."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import urlsplit

import botocore.auth
import pytest
from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhirstore.objects.s3.signing import Keys, QuerySigner, encode

keys = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=40)
parameters = st.dictionaries(
    st.sampled_from(["list-type", "prefix", "start-after", "continuation-token", "delimiter"]), st.text(max_size=20)
)


@given(
    key=keys,
    query=parameters,
    at=st.integers(1_500_000_000, 2_000_000_000),
    seconds=st.integers(1, 600),
    token=st.sampled_from([None, "a+b/c=="]),
    headers=st.dictionaries(
        st.sampled_from(["content-type", "x-amz-meta-a", "x-amz-meta-b-c", "x-amz-tagging", "x-amz-copy-source"]),
        st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20),
    ),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@pytest.mark.slow
def test_signature_is_botocores(
    monkeypatch: pytest.MonkeyPatch,
    key: str,
    query: dict[str, str],
    at: int,
    seconds: int,
    token: str | None,
    headers: dict[str, str],
) -> None:
    """For any key, parameters, second, token and signed headers the signed parameters are the same as botocore's."""
    moment = datetime.fromtimestamp(at, UTC)
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda *_, **__: moment)
    path = f"/bucket/{encode(key, keep='/')}"
    plain = "&".join(f"{encode(name)}={encode(value)}" for name, value in query.items())
    request = AWSRequest(
        method="PUT", url=f"http://127.0.0.1:9000{path}{'?' + plain if plain else ''}", headers=headers
    )
    S3SigV4QueryAuth(Credentials("AK", "SK", token), "s3", "eu-west-1", expires=seconds).add_auth(request)
    signer = QuerySigner(Keys("AK", "SK", token), region="eu-west-1", host="127.0.0.1:9000")
    ours = signer.query("PUT", path, list(query.items()), at=at, seconds=seconds, headers=headers)
    assert sorted(ours.split("&")) == sorted(urlsplit(request.url).query.split("&"))


def test_secrets_are_not_shown() -> None:
    """The repr of credentials, which may reach a log, shows none of them."""
    assert "SK" not in repr(Keys("AK", "SK", "TOKEN")) + str(Keys("AK", "SK", "TOKEN"))
    assert "TOKEN" not in repr(Keys("AK", "SK", "TOKEN"))
