"""Where a client finds out how to get a token, and where it gets one: both are public.

https://hl7.org/fhir/smart-app-launch/STU2.2/conformance.html · https://hl7.org/fhir/smart-app-launch/backend-services.html
"""

from __future__ import annotations

import msgspec
from starlette.responses import Response

from server.http.call import Authentication, Call
from server.http.refusal import NO_ENDPOINT, Refused


async def smart_configuration(call: Call) -> Response:
    """GET [base]/.well-known/smart-configuration: JSON. 503 where it depends on an issuer that does not answer."""
    content = await _authentication(call).configuration(call.base_url)
    return Response(msgspec.json.encode(content), 200, media_type="application/json")


async def token(call: Call) -> Response:
    """POST [base]/auth/token: an access token for a client's signed assertion, or an error of RFC 6749."""
    return await _authentication(call).token(call)


def _authentication(call: Call) -> Authentication:
    if call.process.authentication is None:
        raise Refused(404, NO_ENDPOINT)
    return call.process.authentication
