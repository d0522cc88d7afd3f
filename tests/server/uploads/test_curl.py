"""The form and the PUT of an upload, sent by curl as the pages of the manual show it; violations are refused."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest

from conformance.s3servers import S3Server
from tests.server.processes import ServeProcess
from tests.server.uploads.asking import JSON, Told, parameters

pytestmark = [pytest.mark.slow, pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")]

BY_S3 = {
    "form": 204,
    "form of another size": 400,
    "form of another type": 403,
    "late form": 403,
    "put": 200,
    "put of another size": 403,
    "put of another type": 403,
    "put of another content": 400,
    "late put": 403,
}
BY_SERVER = {
    **BY_S3,
    "form of another size": 413,
    "put": 204,
    "put of another size": 400,
    "put of another type": 415,
}


class Curl:
    """Uploads of one file by curl, to what a server at `base` answers."""

    def __init__(self, base: str, file: Path) -> None:
        self._base = base
        self._file = file

    def begin(self, method: str, **given: dict[str, object]) -> Told:
        content = self._file.read_bytes()
        facts: dict[str, dict[str, object]] = {
            "method": {"valueCode": method},
            "contentType": {"valueCode": "application/pdf"},
            "size": {"valueInteger": len(content)},
            "sha256": {"valueString": hashlib.sha256(content).hexdigest()},
        }
        asked = parameters(**{**facts, **given})
        answer = httpx.post(f"{self._base}/Binary/$presign-upload", json=asked, headers=JSON)
        assert answer.status_code == 200, answer.text
        return Told(answer)

    def form(self, told: Told, file: Path | None = None, *, changed: Mapping[str, str] | None = None) -> int:
        """Returns the status of the form, with changed fields."""
        fields = {**told.pairs("field"), **(changed or {})}
        arguments = [part for name, value in fields.items() for part in ("--form-string", f"{name}={value}")]
        return _curl(*arguments, "-F", f"file=@{file or self._file}", told["url"])

    def put(self, told: Told, file: Path | None = None, *, changed: Mapping[str, str] | None = None) -> int:
        """Returns the status of the PUT, with changed headers."""
        headers = {**told.pairs("header"), **(changed or {})}
        arguments = [part for name, value in headers.items() for part in ("-H", f"{name}: {value}")]
        return _curl("-T", str(file or self._file), *arguments, told["url"])

    def complete(self, told: Told) -> int:
        """Returns the status of the completion."""
        asked = parameters(uploadId={"valueString": told["uploadId"]})
        return httpx.post(f"{self._base}/Binary/$complete-upload", json=asked, headers=JSON).status_code


def _curl(*arguments: str) -> int:
    command = ["curl", "-sS", "-o", os.devnull, "-w", "%{http_code}", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return int(done.stdout)


@pytest.mark.parametrize("kind", ["embedded", "ministack", "seaweedfs"])
def test_curl_uploads(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """A form, a PUT, and each violation of size, type, content and time."""
    environment = {"FHIRSTORE_STORE": f"file:{tmp_path / 'store'}"}
    if kind != "embedded":
        s3: S3Server = request.getfixturevalue(kind)
        environment = s3.serving(s3.location())
    file, longer, other = (tmp_path / name for name in ("scan.pdf", "longer", "other"))
    file.write_bytes(os.urandom(50_000))
    longer.write_bytes(bytes(50_001))
    other.write_bytes(bytes(50_000))
    server = ServeProcess(environment)
    server.start()
    try:
        curl = Curl(server.base_url, file)
        soon: dict[str, object] = {"valueInteger": 1}
        late_form, late_put = curl.begin("post", expiresIn=soon), curl.begin("put", expiresIn=soon)
        form, put = curl.begin("post"), curl.begin("put")
        type_field = "Content-Type" if "Content-Type" in form.pairs("field") else "type"
        answers = {
            "form of another size": curl.form(form, longer),
            "form of another type": curl.form(form, changed={type_field: "text/html"}),
            "form": curl.form(form),
            "put of another size": curl.put(put, longer) if kind != "embedded" else curl.put(put, _short(tmp_path)),
            "put of another type": curl.put(put, changed={"content-type": "text/html"}),
            "put of another content": curl.put(put, other),
            "put": curl.put(put),
        }
        assert curl.complete(form) == curl.complete(put) == 201
        replaced = curl.begin("post")
        curl.form(replaced, other)
        assert curl.complete(replaced) in (409, 422)
        time.sleep(2)
        answers |= {"late form": curl.form(late_form), "late put": curl.put(late_put)}
    finally:
        server.stop()
    assert answers == (BY_SERVER if kind == "embedded" else BY_S3)


def _short(folder: Path) -> Path:
    path = folder / "short"
    path.write_bytes(bytes(49_999))
    return path
