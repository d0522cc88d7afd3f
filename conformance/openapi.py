"""`python -m conformance openapi ROOT`: requests made up from a server's own OpenAPI document, by schemathesis.

What must hold: no 5xx, no status, media type or body that the document does not announce, 405 with a true Allow for
methods that it does not name. Ten minutes: `--seconds 600`. The report stays with schemathesis; see its output for how
to send one request again.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from conformance.processes import NotInstalled

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "unsupported_method",
    "allow_header_conformance",
)


def openapi(
    root: Annotated[str, typer.Argument(help="Where the server's /openapi.json is, such as http://127.0.0.1:8000.")],
    seconds: Annotated[int, typer.Option(min=1, help="How long to go on.")] = 60,
    examples: Annotated[int | None, typer.Option(min=1, help="Requests per operation, instead of a time.")] = None,
    seed: Annotated[int, typer.Option(help="The same seed makes the same requests.")] = 1,
) -> None:
    """Send requests made from the OpenAPI document; exit code 1 when any answer is not as announced."""
    try:
        code = fuzz(root, seconds=seconds, examples=examples, seed=seed)
    except NotInstalled as missing:
        print(missing, file=sys.stderr)
        code = 1
    raise typer.Exit(code)


def fuzz(root: str, *, seconds: int, examples: int | None = None, seed: int = 1) -> int:
    """schemathesis' exit code: 0 if everything held. Raises NotInstalled."""
    program = Path(sys.executable).with_name("schemathesis")
    if not program.exists():
        raise NotInstalled("schemathesis is not installed: pip install 'fhirstore[conformance]'")
    effort = ["--max-examples", str(examples)] if examples is not None else ["--max-time", str(seconds)]
    command = [str(program), "run", f"{root.rstrip('/')}/openapi.json", "--checks", ",".join(CHECKS)]
    command += [*effort, "--seed", str(seed), "--no-shrink", "--continue-on-failure", "--warnings", "off"]
    return subprocess.run(command, check=False).returncode
