"""Planted data of a patient appears in nothing that a server tells operators, and in nobody else's answers.

A real server with all its logs gets every kind of request, good and bad, with a canary of its own for each place where
data of a patient may be. Afterwards each place where something is written for others is searched for each of them.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from fhirstore import FhirStore
from fhirstore.objects import list_all

CANARIES = {
    "name": "zebrafinchname",
    "note": "zebrafinchnote",
    "identifier": "zebrafinchidentifier",
    "id": "zebrafinchid",
    "criteria": "zebrafinchcriteria",
    "parameter": "zebrafinchparameter",
    "header": "zebrafinchheader",
    "token": "zebrafinchtoken",
    "key": "zebrafinchkey",
    "binary": "zebrafinchbinary",
    "patch": "zebrafinchpatch",
    "path": "zebrafinchpath",
    "file": "zebrafinchfile",
    "submission": "zebrafinchsubmission",
}

ALLOWED: Mapping[str, tuple[str, ...]] = {
    # the audit trail says whose resource was seen: that is what it is for
    "audit trail": ("id",),
    # a job needs its own request to go on after a restart; only the tenant's administrator sees it ($job)
    "job requests": ("criteria", "file", "id", "submission"),
    # keys have the ids of resources and the names of submissions (docs/format.md); identifiers and Idempotency-Keys are
    # hashed in them
    "keys": ("id", "submission"),
}
"""What may be where, by design; everywhere else nothing may be."""

WHO = {"name": "submitter", "valueIdentifier": {"system": "urn:s", "value": "acme"}}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def _forms(text: str) -> Iterator[bytes]:
    """The canary as it is, in hex, and in base64 at each of the three places where it may begin."""
    raw = text.encode()
    yield raw
    yield raw.hex().encode()
    for lead in range(3):
        yield base64.b64encode(b"\0" * lead + raw)[4 if lead else 0 : -4]


def _found(body: bytes, where: str) -> list[str]:
    lower = body.lower()
    return [
        f"{kind} in {where}"
        for kind, text in CANARIES.items()
        if kind not in ALLOWED.get(where, ()) and any(one in body or one in lower for one in _forms(text))
    ]


@contextmanager
def _server(folder: Path) -> Iterator[tuple[str, str]]:
    """A server whose output goes to files. Yields its base URL and that of its metrics; ends it in good order."""
    submitters = {"submitters": [{"identifier": "urn:s|acme", "tenant": "default", "folders": [str(folder / "in")]}]}
    (folder / "submitters.json").write_text(json.dumps(submitters))
    env = {
        **os.environ,
        "HOST": "127.0.0.1",
        "PORT": "0",
        "FHIRSTORE_STORE": f"file:{folder}/data",
        "FHIRSTORE_AUDIT": "both",
        "FHIRSTORE_ACCESS_LOG": "json",
        "FHIRSTORE_METRICS": "127.0.0.1:0",
        "FHIRSTORE_METRICS_TENANTS": "10",
        "FHIRSTORE_ENABLE_PURGE": "true",
        "FHIRSTORE_SUBMITTERS": str(folder / "submitters.json"),
        "FHIRSTORE_INLINE_BYTES": "1000",
    }
    command = [str(Path(sys.executable).with_name("fhirstore")), "serve"]
    with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
        child = subprocess.Popen(command, env=env, stdout=out, stderr=err, start_new_session=True)
        try:
            yield _greeting(folder)
            child.terminate()
            assert child.wait(60) == 0
        finally:
            with suppress(ProcessLookupError):
                child.kill()
            child.wait()


def _greeting(folder: Path) -> tuple[str, str]:
    for _ in range(600):
        words = (folder / "out").read_text().split()
        if "data" in words:
            base, metrics = (next(w for w in words[words.index(name) :] if "http" in w) for name in ("base", "metrics"))
            with suppress(httpx.TransportError):
                if httpx.get(f"{base}/metadata").status_code == 200:
                    return base, metrics
        time.sleep(0.1)
    raise AssertionError((folder / "out").read_text() + (folder / "err").read_text())


def _parameters(*given: Mapping[str, object]) -> dict[str, object]:
    return {"resourceType": "Parameters", "parameter": list(given)}


def _plant(client: httpx.Client, folder: Path) -> None:
    """Every interaction, with a canary wherever data of a patient may be; then jobs, until they have ended."""
    c = CANARIES
    patient = {
        "resourceType": "Patient",
        "id": c["id"],
        "identifier": [{"system": "urn:mrn", "value": c["identifier"]}],
        "name": [{"family": c["name"]}],
        "text": {"status": "generated", "div": f'<div xmlns="http://www.w3.org/1999/xhtml">{c["note"]}</div>'},
    }
    wrong = patient | {c["note"]: 1, "birthDate": c["note"], "gender": c["note"]}
    headers = {
        "Authorization": f"Bearer {c['token']}",
        "Cookie": f"a={c['header']}",
        "If-None-Exist": f"identifier=urn:mrn|{c['criteria']}",
        "Referer": f"http://x/{c['header']}",
        "User-Agent": c["header"],
        "X-Forwarded-For": c["header"],
        "Idempotency-Key": f'"{c["key"]}"',
    }
    ours = f"Patient/{c['id']}"
    client.put(ours, json=patient)
    client.put(ours, json=wrong)
    client.put(f"{ours}-2", json=patient)
    client.put(ours, json=patient, headers={"If-Match": f'W/"{c["header"]}"'})
    client.post("Patient", json=patient, headers=headers)
    client.post("Patient", json=wrong, headers=headers)
    client.post("Patient", content=f'{{"resourceType":"Patient","{c["note"]}":'.encode())
    client.post("Patient", json=patient, headers={"Idempotency-Key": f'"{c["key"]}"'})
    client.post("Patient", json=patient | {"active": True}, headers={"Idempotency-Key": f'"{c["key"]}"'})
    client.get(ours, headers=headers)
    client.get(f"{ours}/_history/{c['path']}")
    client.get(f"{ours}/_history")
    client.get(f"{c['path']}/1")
    client.get(f"Patient?identifier=urn:mrn|{c['criteria']}")
    client.get(f"Patient?{c['parameter']}={c['criteria']}")
    client.get(f"Patient?_cursor={c['criteria']}")
    client.post("Patient/_search", content=f"identifier=urn:mrn|{c['criteria']}&{c['parameter']}=1", headers=FORM)
    for media in ("application/json-patch+json", "application/merge-patch+json"):
        client.patch(ours, content=f'{{"{c["patch"]}":"{c["patch"]}"}}', headers={"Content-Type": media})
    client.patch(f"Patient?identifier={c['criteria']}", json={"gender": c["patch"]})
    client.put(f"Patient?identifier=urn:mrn|{c['criteria']}", json=patient)
    client.delete(f"Patient?identifier=urn:mrn|{c['criteria']}")
    client.post("Patient/$validate", json=wrong)
    client.post(f"${c['path']}", json=wrong)
    client.request(c["path"].upper(), ours)
    client.get(f"{ours}/{c['path']}/{c['path']}/{c['path']}/{c['path']}")
    client.get("Patient/1", headers={"X-Tenant-ID": c["header"]})
    for kind in ("batch", "transaction"):
        entries = [
            {"request": {"method": "PUT", "url": ours}, "resource": patient},
            {
                "request": {"method": "POST", "url": "Patient", "ifNoneExist": f"identifier={c['criteria']}"},
                "resource": wrong,
            },
            {"request": {"method": "GET", "url": f"Patient?identifier={c['criteria']}&{c['parameter']}=1"}},
        ]
        bundle = {"resourceType": "Bundle", "type": kind, "entry": entries}
        client.post("", json=bundle, headers={"Idempotency-Key": f'"{c["key"]}"'})
    content = (c["binary"] * 200).encode()
    client.post("Binary", content=content, headers={"Content-Type": "text/plain", "X-Security-Context": ours})
    made = client.post("Binary", content=content, headers={"Content-Type": f"text/{c['file']}"})
    client.get(made.headers.get("Location", "Binary/1"), headers={"Accept": "*/*", "Range": "bytes=0-10"})
    begun = client.post(
        "Binary/$presign-upload",
        json=_parameters(
            {"name": "contentType", "valueCode": "text/plain"}, {"name": c["parameter"], "valueString": c["note"]}
        ),
    )
    client.put(f"{begun.headers.get('Location', '_upload/x')}/content?sig={c['token']}", content=content)
    client.delete(f"{ours}-2")
    client.post(f"{ours}/$purge?{c['parameter']}=1")
    _jobs(client, folder, patient)


def _jobs(client: httpx.Client, folder: Path, patient: Mapping[str, object]) -> None:
    """An export and a submission of a manifest that has good and bad lines."""
    c = CANARIES
    later = {"Prefer": "respond-async"}
    typed = f"_type=Patient&_typeFilter=Patient%3Fidentifier%3D{c['criteria']}"
    exports = [
        client.get("$export", headers=later),
        client.get(f"$export?{typed}", headers=later),
        client.get(f"Group/{c['id']}/$export", headers=later),
        client.get(f"$export?{c['parameter']}={c['criteria']}", headers=later),
    ]
    (folder / "in" / f"{c['file']}.ndjson").write_text(
        "\n".join([json.dumps(patient), json.dumps({**patient, "gender": c["note"]}), f'{{"{c["note"]}', ""])
    )
    good, missing = (f"file://{folder}/in/{name}.ndjson" for name in (c["file"], c["path"]))
    files = [{"type": "Patient", "url": url} for url in (good, missing)]
    manifest = {"transactionTime": "2026-01-01T00:00:00Z", "request": "urn:x", "requiresAccessToken": False}
    (folder / "in" / "manifest.json").write_text(json.dumps({**manifest, "output": files, "error": []}))
    submission = {"name": "submissionId", "valueString": c["submission"]}
    secret = {
        "name": "fileRequestHeader",
        "part": [
            {"name": "headerName", "valueString": "X-Key"},
            {"name": "headerValue", "valueString": c["token"]},
        ],
    }
    manifest_url = {"name": "manifestUrl", "valueUrl": f"file://{folder}/in/manifest.json"}
    base = {"name": "FHIRBaseUrl", "valueUrl": "http://x.example.org/fhir"}
    client.post("$bulk-submit", json=_parameters(WHO, submission, manifest_url, base, secret))
    client.post("$bulk-submit", json=_parameters(WHO, submission, manifest_url, base))
    client.post(
        "$bulk-submit",
        json=_parameters(WHO, submission, {"name": "submissionStatus", "valueCoding": {"code": "complete"}}),
    )
    asked = client.post("$bulk-submit-status", json=_parameters(WHO, submission), headers=later)
    places = [one.headers.get("Content-Location") for one in (*exports, asked)]
    for place in filter(None, places):
        for _ in range(300):
            answer = client.get(place)
            if answer.status_code not in (202, 429):
                break
            time.sleep(0.2)
        if answer.status_code == 200 and "output" in answer.json():
            for file in answer.json()["output"] + answer.json().get("error", []):
                client.get(file["url"])
    assert len([place for place in places if place]) >= 3, [one.text for one in (*exports, asked)]


async def _stored(folder: Path) -> list[tuple[str, bytes]]:
    """What lies in the store for others than the reader of resources, with its place."""
    found: list[tuple[str, bytes]] = []
    async with FhirStore.open(f"file:{folder}/data") as store:
        (objects,) = store.tenancy.stores
        keys = [item.key async for item in list_all(objects, "")]
        found.append(("keys", "\n".join(keys).encode()))
        for key in keys:
            name = key.rpartition("/")[2]
            if "/bulk/" in key and name == "metadata.json":
                found.append(("job requests", (await objects.get(key)).body))
            elif "/bulk/" in key and (name == "state.json" or "/log/" in key):
                found.append((f"job {name}", (await objects.get(key)).body))
        for tenant in ("default", None):
            async for event in store.audit_trail(tenant).events():
                plain = json.loads(event)
                queries = [base64.b64decode(one["query"]) for one in plain["entity"] if "query" in one]
                found.append(("audit trail", b"\n".join([event, *queries])))
        assert (await store.audit_trail("default").verify()).ok
    return found


def test_the_search_finds_every_canary_in_every_form() -> None:
    """Plain, in upper case, in hex and in base64 wherever it begins; what is allowed in one place is not in another."""
    for kind, text in CANARIES.items():
        raw = text.encode()
        for body in (
            b"x" + raw,
            raw.upper(),
            raw.hex().encode(),
            *(base64.b64encode(b"x" * n + raw) for n in range(6)),
        ):
            assert f"{kind} in stdout" in _found(body, "stdout")
    assert not _found(CANARIES["id"].encode(), "keys") and _found(CANARIES["name"].encode(), "keys")


@pytest.mark.slow
@pytest.mark.kill
def test_planted_data_of_a_patient_is_in_no_log_metric_job_state_or_answer_to_others(tmp_path: Path) -> None:
    """See ALLOWED for what may be where; each of the places has something in it, so that the search means something."""
    (tmp_path / "in").mkdir()
    with _server(tmp_path) as (base, metrics):
        with httpx.Client(base_url=base, timeout=60) as client:
            _plant(client, tmp_path)
        others: list[bytes] = []
        with httpx.Client(base_url=base, timeout=60) as other:
            for path in ("Patient/other", "Other/1", "Patient?_cursor=x", "metadata", "$jobs?kind=no"):
                others.append(other.get(path).content)
            others.append(other.post("Patient", content=b"{").content)
        scraped = httpx.get(metrics).content
    found = _found(scraped, "metrics") + _found(b"\n".join(others), "answers to others")
    for name in ("out", "err"):
        text = (tmp_path / name).read_bytes()
        found += _found(text, f"std{name}")
    assert b'"AuditEvent"' in (tmp_path / "out").read_bytes() and b"interaction" in (tmp_path / "out").read_bytes()
    stored = asyncio.run(_stored(tmp_path))
    assert {"keys", "audit trail", "job requests", "job state.json"} <= {where for where, _ in stored}
    for where, body in stored:
        found += _found(body, where)
    assert not found, sorted(set(found))
