"""A16: the policies of docker/terraform allow what each kind of process asks for, and no deletion beyond that.

The requests are those of real work on a store that notes them; the policies are judged by `tests.docker.iam`.
"""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest

from fhirstore.commit.purge import purge
from fhirstore.format.keyspace import Keyspace
from fhirstore.objects.memory import MemoryStore
from fhirstore.objects.probe.run import probe
from fhirstore.store import FhirStore
from fhirstore.tenancy import PrefixTenancy
from fhirstore.upkeep.sweep.payloads import sweep_payloads
from fhirstore.upkeep.sweep.run import sweep
from server.app import create_app
from server.settings import Settings
from tests.commit.hurried import HandClock, hurry
from tests.docker.iam import ROLES, path_of, policy
from tests.docker.recording import RecordingStore, Request
from tests.server.export.exporting import LIMITS, begun
from tests.server.export.exporting import finished as exported_at
from tests.server.export.exporting import working as with_worker
from tests.server.serving import FHIR_JSON
from tests.submit.providing import Folder, finished, options, patient, request
from tests.upkeep.sweep.attempts import KEYS, SETTLED, context, die, put
from tests.uploads.contents import LONG, pieces, with_data

BUCKET = "clinic-data"
PREFIXES = ("", "production/")


def _refused(role: str, requests: set[Request], prefix: str) -> list[Request]:
    holder = policy(role, bucket=BUCKET, prefix=prefix)
    return sorted((action, key) for action, key in requests if not holder.allows(action, prefix + key))


def _deleted(requests: set[Request]) -> set[str]:
    return {key for action, key in requests if action == "s3:DeleteObject"}


async def _serve(objects: RecordingStore, folder: Path) -> None:
    """What a server does, jobs included: interactions of every kind, a large Binary, an export, a submission."""
    await probe(objects)
    settings = Settings()
    submitting = options(folder)
    async with with_worker(settings, objects, submit_options=submitting) as store:
        transport = httpx.ASGITransport(create_app(store, settings))
        async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
            await _interact(client)
            where = await begun(client)
            assert (await exported_at(client, where)).status_code == 200
            assert (await client.delete(where)).is_success
        clinic = store.tenant("default")
        source = Folder(folder).patients("one", [patient("s")])
        await clinic.submissions.submit(request(source, status="completed"))
        await finished(clinic)


async def _interact(client: httpx.AsyncClient) -> None:
    base = "/fhir"
    known = {"resourceType": "Patient", "id": "a", "identifier": [{"system": "urn:s", "value": "1"}]}

    async def sent(method: str, path: str, body: object = None, **headers: str) -> None:
        answer = await client.request(method, base + path, json=body, headers={**FHIR_JSON, **headers})
        assert answer.is_success, answer.text

    await sent("PUT", "/Patient/a", known)
    await sent("PUT", "/Patient/a", {**known, "identifier": [{"system": "urn:s", "value": "2"}]})
    for path in ("/Patient?identifier=1", "/Patient?identifier=urn:s|2", "/Patient/a", "/Patient/a/_history/1"):
        await sent("GET", path)
    for path in ("/_history", "/Patient/_history", "/Patient/a/_history", "/metadata", "/$jobs"):
        await sent("GET", path)
    new = {"resourceType": "Patient", "identifier": [{"system": "urn:s", "value": "3"}]}
    await sent("POST", "/Patient", new, **{"If-None-Exist": "identifier=urn:s|3"})
    patch = [{"op": "add", "path": "/active", "value": True}]
    await sent("PATCH", "/Patient/a", patch, **{"Content-Type": "application/json-patch+json"})
    entries = [{"resource": new, "request": {"method": "POST", "url": "Patient"}}] * 2
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
    await sent("POST", "", bundle, **{"Idempotency-Key": "once"})
    await sent("PUT", "/Binary/b", with_data(b"large" * 300_000, id="b"))
    await sent("DELETE", "/Patient?identifier=urn:s|2")


async def test_a16_a_server_is_allowed_all_that_it_does(tmp_path: Path) -> None:
    """Below a prefix and without one; it removes jobs and dead index entries, and no version of anything."""
    objects = RecordingStore(MemoryStore())
    await _serve(objects, tmp_path)
    actions = {action for action, _ in objects.requests}
    assert {"s3:GetObject", "s3:PutObject", "s3:ListBucket", "s3:DeleteObject"} <= actions
    folders = {re.sub(r"^default/", "", key).partition("/")[0] for key in _deleted(objects.requests)}
    assert {"_probe", "bulk", "identity"} <= folders
    for prefix in PREFIXES:
        assert _refused("server", objects.requests, prefix) == []


async def _upkeep(objects: RecordingStore, clock: HandClock) -> None:
    """What a worker and an administrator's `$purge` remove: orphans, contents without references, purged resources."""
    for n in range(2):
        await put(objects, clock, "a")
        await put(objects, clock, f"p{n}", type="Patient")
    await die(objects, "a")
    clinic = FhirStore(PrefixTenancy(objects, None), inline_bytes=1_000).tenant("t")
    await clinic.payloads.receive(pieces(LONG))
    clock.ms += SETTLED
    await hurry(sweep(KEYS, context=context(objects)), objects, clock)
    for _ in range(2):
        clock.ms += 2 * 86_400_000
        await hurry(sweep_payloads(KEYS, context=context(objects)), objects, clock)
    await hurry(purge(KEYS.resource("Patient", "p0"), by="admin", context=context(objects)), objects, clock)


async def test_a16_a_worker_is_allowed_what_a_sweep_and_a_purge_remove_and_a_server_is_not() -> None:
    """Slots, events and contents go; current.json stays even where everything of a resource is purged."""
    clock = HandClock()
    objects = RecordingStore(MemoryStore(clock))
    await _upkeep(objects, clock)
    gone = _deleted(objects.requests)
    for kind in ("/_history/", "/history/system/", "/history/type/", "/binary/payload/"):
        assert any(kind in key for key in gone), kind
    assert not any(key.endswith("/current.json") for key in gone)
    for prefix in PREFIXES:
        assert _refused("worker", objects.requests, prefix) == []
        refused = _refused("server", objects.requests, prefix)
        assert {action for action, _ in refused} == {"s3:DeleteObject"}
        assert {key for _, key in refused} == {key for key in gone if "/binary/" not in key}


async def test_a16_only_the_administrator_removes_a_tenant() -> None:
    """`tenant remove` deletes the objects themselves, current.json too: one role may, the others may not."""
    keys = Keyspace.of_tenant("t").resource("Patient", "a")
    for role in ROLES:
        holder = policy(role, bucket=BUCKET, prefix="")
        assert holder.allows("s3:DeleteObject", keys.current) == (role == "admin")
        assert holder.allows("s3:DeleteObject", keys.version(1)) == (role in ("admin", "worker"))


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("role", ["server", "worker", "reader"])
def test_a16_no_name_of_a_resource_or_tenant_opens_a_policy(role: str, prefix: str) -> None:
    """Ids and tenants that are called as our own folders are, or as a pattern, change nothing: no current.json goes."""
    holder = policy(role, bucket=BUCKET, prefix=prefix)
    names = ("bulk", "identity", "binary", "runs", "tx", "history", "resources", "a")
    for keys in (Keyspace(""), *(Keyspace.of_tenant(name) for name in names)):
        for name in (*names, "_probe"[1:], "x.bulk"):
            resource = keys.resource("Patient", name)
            assert not holder.allows("s3:DeleteObject", prefix + resource.current)
            if role != "worker":
                assert not holder.allows("s3:DeleteObject", prefix + resource.version(1))


@pytest.mark.parametrize("role", ROLES)
def test_a16_a_policy_ends_at_its_bucket_and_prefix(role: str) -> None:
    """Other buckets, other prefixes, whole listings, and what nobody needs are refused."""
    holder = policy(role, bucket=BUCKET, prefix="production/")
    assert holder.allows("s3:GetObject", "production/t/resources/Patient/a/current.json")
    for action in ("s3:GetObject", "s3:PutObject", "s3:DeleteObject"):
        assert not holder.allows(action, "staging/t/bulk/x")
    if role != "admin":
        assert not holder.allows("s3:ListBucket", "") and not holder.allows("s3:ListBucket", "staging/")
    for action in (
        "s3:DeleteBucket",
        "s3:PutBucketPolicy",
        "s3:DeleteObjectVersion",
        "s3:PutObjectAcl",
        "iam:PassRole",
    ):
        assert not holder.allows(action, "production/t/bulk/x")
    other = policy(role, bucket="other", prefix="production/")
    assert other.statements != holder.statements
    assert "*" not in re.findall(r'"Action": "(.*?)"', path_of(role).read_text())


async def test_a16_a_reader_may_check_everything_and_write_nothing() -> None:
    """fsck, the figures of `stats`, and reads of objects need nothing but GET and LIST."""
    below = MemoryStore()
    store = FhirStore(PrefixTenancy(below, None), limits=LIMITS)
    await store.tenant("t").create({"resourceType": "Patient"})
    await store.settle()
    objects = RecordingStore(below)
    reading = FhirStore(PrefixTenancy(objects, None), limits=LIMITS).tenant("t")
    assert (await reading.upkeep.fsck()).findings == ()
    await reading.upkeep.usage()
    assert {action for action, _ in objects.requests} >= {"s3:GetObject", "s3:ListBucket"}
    assert _refused("reader", objects.requests, "") == []
    assert not any(
        policy("reader", bucket=BUCKET, prefix="").allows(f"s3:{do}Object", "t/x") for do in ("Put", "Delete")
    )
