"""A gateway before an S3 server that trusts everybody and signs anew: windows are lost on the way. Negative control."""

from __future__ import annotations

import time
from collections.abc import Callable
from http.client import HTTPConnection
from urllib.parse import parse_qsl

from conformance.s3servers import S3Server
from fhirstore.objects.s3.signing import Keys, QuerySigner
from tests.objects.s3.scripted_http import Asked, Told

_PASSED_ON = {"if-match", "if-none-match", "content-md5", "content-type"}
_PASSED_BACK = {"ETag", "Date", "Last-Modified", "Content-Type"}


def signing_anew(server: S3Server) -> Callable[[Asked], Told]:
    """What a `ScriptedServer` answers as a gateway to `server`, one request at a time."""
    assert server.endpoint_url
    host = server.endpoint_url.removeprefix("http://")
    signer = QuerySigner(Keys(server.access_key, server.secret_key), region="us-east-1", host=host)

    def answer(asked: Asked) -> Told:
        path, _, query = asked.target.partition("?")
        pairs = parse_qsl(query, keep_blank_values=True)
        kept = [(name, value) for name, value in pairs if not name.startswith("X-Amz-")]
        signed = signer.query(asked.method, path, kept, at=int(time.time()) - 5, seconds=300)
        headers = {name: value for name, value in asked.headers.items() if name in _PASSED_ON}
        connection = HTTPConnection(host)
        try:
            connection.request(asked.method, f"{path}?{signed}", asked.body, headers)
            response = connection.getresponse()
            back = {name: value for name, value in response.getheaders() if name in _PASSED_BACK}
            return Told(response.status, response.read(), back)
        finally:
            connection.close()

    return answer
