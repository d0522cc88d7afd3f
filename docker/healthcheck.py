"""Asks the server in this container whether it is ready. Exit code 0: it is; 1: not, and a line says why."""

from __future__ import annotations

import http.client
import os
import ssl
import sys

_SECONDS = 6  # the server itself gives its store 5


def main() -> int:
    port = int(os.environ.get("PORT", "8000"))
    if os.environ.get("FHIRSTORE_TLS_CERT"):
        # The certificate is made for another name than this address, and the server is the one beside us.
        context = ssl._create_unverified_context()  # noqa: S323
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            "127.0.0.1", port, timeout=_SECONDS, context=context
        )
    else:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_SECONDS)
    try:
        connection.request("GET", "/health/ready")
        answer = connection.getresponse()
        sys.stdout.write(answer.read(1_000).decode("utf-8", "replace") + "\n")
        return 0 if answer.status == http.client.OK else 1
    except (OSError, http.client.HTTPException) as error:
        sys.stdout.write(f"no answer at port {port}: {error}\n")
        return 1
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main())
