"""A16: the policies of docker/terraform allow what each kind of process asks for, and no deletion beyond that.

The requests are those of real work on a store that notes them; the policies are judged by `tests.docker.iam`.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fhirstore.format.keyspace import Keyspace
from fhirstore.objects.memory import MemoryStore
from fhirstore.store import FhirStore
from fhirstore.tenancy import PrefixTenancy
from tests.commit.hurried import HandClock
from tests.docker.iam import ROLES, path_of, policy
from tests.docker.recording import RecordingStore, Request
from tests.docker.work import look_after, serve
from tests.server.export.exporting import LIMITS

BUCKET = "clinic-data"
PREFIXES = ("", "production/")


def _refused(role: str, requests: set[Request], prefix: str) -> list[Request]:
    holder = policy(role, bucket=BUCKET, prefix=prefix)
    return sorted((action, key) for action, key in requests if not holder.allows(action, prefix + key))


def _deleted(requests: set[Request]) -> set[str]:
    return {key for action, key in requests if action == "s3:DeleteObject"}


async def test_a16_a_server_is_allowed_all_that_it_does(tmp_path: Path) -> None:
    """Below a prefix and without one; it removes jobs, dead entries, old copies of the index, and no version."""
    objects = RecordingStore(MemoryStore())
    await serve(objects, tmp_path)
    actions = {action for action, _ in objects.requests}
    assert {"s3:GetObject", "s3:PutObject", "s3:ListBucket", "s3:DeleteObject"} <= actions
    folders = {re.sub(r"^default/", "", key).partition("/")[0] for key in _deleted(objects.requests)}
    assert {"_probe", "bulk", "identity", "index"} <= folders
    for prefix in PREFIXES:
        assert _refused("server", objects.requests, prefix) == []


async def test_a16_a_worker_is_allowed_what_a_sweep_and_a_purge_remove_and_a_server_is_not() -> None:
    """Slots, events and contents go; current.json stays even where everything of a resource is purged."""
    clock = HandClock()
    objects = RecordingStore(MemoryStore(clock))
    await look_after(objects, clock)
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
