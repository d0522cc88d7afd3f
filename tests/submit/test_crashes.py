"""kill -9 at every single request of a submission's job: nothing is lost, nothing happens twice, all can be undone."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from fhirstore.submit.lines import Bounds
from fhirstore.submit.options import SubmitOptions
from fhirstore.submit.state import Manifest, Submission
from fhirstore.submit.submitters import MODES, Mode
from fhirstore.submit.summary import decode_summary
from fhirstore.tenant import TenantStore
from tests.submit.mortal import Mortal, Mortals
from tests.submit.providing import ACME, BASE, Folder, options, patient

_LINES = [
    patient("new", gender="male"),
    patient("old", gender="male"),
    b"{",
    patient("same", gender="female"),
    patient("new", gender="other"),
    patient("same", gender="male"),
    patient("same", gender="female"),
]
_DELETED = [
    {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            {"request": {"method": "DELETE", "url": "Patient/gone"}},
            {"request": {"method": "DELETE", "url": "Patient/never"}},
        ],
    }
]


def _provide(path: Path) -> tuple[SubmitOptions, str]:
    """A manifest of two files, in segments of two lines."""
    folder = Folder(path)
    patients, deleted = folder.write("p.ndjson", _LINES), folder.write("d.ndjson", _DELETED)
    url = folder.manifest(
        "all.json", [("Patient", patients, len(_LINES))], deleted=[{"type": "Bundle", "url": deleted}]
    )
    return options(path, bounds=Bounds(lines=2), concurrency=2), url


async def _begun(options: SubmitOptions, url: str, mode: Mode) -> tuple[Mortals, Submission]:
    """Three resources are there, and a submission of one manifest that nobody has read."""
    mortals = Mortals(Mortal(), options)
    clinic = TenantStore(mortals.engine(), mortals.place)
    await clinic.update(patient("old", gender="female", active=True))
    await clinic.update(patient("same", gender="female"))
    await clinic.update(patient("gone"))
    manifest = Manifest(id="m0001", url=url, base=BASE, received=1, mode=mode)
    now = mortals.store.now()
    document = Submission(
        submitter=ACME, id="s1", job="job", created=now, updated=now, state="in-progress", manifests=(manifest,)
    )
    await mortals.put(document)
    return mortals, document


async def _told(mortals: Mortals, name: str) -> dict[str, object]:
    key = f"{mortals.prefix}manifests/m0001/{name}.json"
    summary = decode_summary((await mortals.store.get(key)).body, key)
    files = b"".join(
        [(await mortals.store.get(f"{mortals.prefix}outcomes/m0001/{file.name}")).body for file in summary.files]
    )
    return {"counts": summary.counts, "state": summary.state, "kept": summary.kept, "outcomes": files}


async def _data(mortals: Mortals) -> dict[str, list[tuple[str, dict[str, object]]]]:
    """Every version of every resource, oldest first: its method, and its content without meta."""
    clinic = TenantStore(mortals.engine(), mortals.place)
    found: dict[str, list[tuple[str, dict[str, object]]]] = {}
    async for version in clinic.history("Patient"):
        content = {name: value for name, value in version.json().items() if name != "meta"}
        found.setdefault(version.id, []).insert(0, (version.method, content))
    return found


_EVERY = 29
"""Not at every request, but at one in so many: each death costs the wait for an attempt that may be alive.

`python -m tests.submit` dies at every one."""


@pytest.mark.parametrize("mode", MODES)
async def test_a_job_that_dies_at_any_request_leaves_what_one_that_lives_leaves(
    tmp_path: Path, mode: Mode, every: int = _EVERY
) -> None:
    """The same versions, the same counts, the same outcomes; and it is as before when it is stopped then."""
    options, url = _provide(tmp_path)
    mortals, document = await _begun(options, url, mode)
    before = await _data(mortals)
    first = mortals.store.requests
    await mortals.to_end()
    requests = mortals.store.requests - first
    expected, told = await _data(mortals), await _told(mortals, "summary")
    assert told["state"] == "processed" and b"line 3" in told["outcomes"]  # type: ignore[operator]
    for dies_at in range(1 + MODES.index(mode), requests + 1, every):
        mortals, document = await _begun(options, url, mode)
        after = dies_at % 2 == 0
        assert not await mortals.run(dies_at=dies_at, after=after) or dies_at >= requests - 1
        await mortals.run(dies_at=max(1, dies_at // 2), after=not after)
        await mortals.to_end()
        assert await _data(mortals) == expected, dies_at
        assert await _told(mortals, "summary") == told, dies_at
    await _stop(mortals, document)
    await mortals.to_end()
    assert _current(await _data(mortals)) == _current(before)


async def test_an_undoing_that_dies_at_any_request_undoes_everything_once(tmp_path: Path, every: int = _EVERY) -> None:
    """And reports what others have changed, also if the job dies in between."""
    options, url = _provide(tmp_path)

    async def stopped() -> Mortals:
        mortals, document = await _begun(options, url, "replace")
        await mortals.to_end()
        await TenantStore(mortals.engine(), mortals.place).update(patient("old", gender="unknown"))
        await _stop(mortals, document)
        return mortals

    mortals = await stopped()
    first = mortals.store.requests
    await mortals.to_end()
    requests = mortals.store.requests - first
    expected, told = await _data(mortals), await _told(mortals, "undone")
    assert told["kept"] == 1 and b"Patient/old" in told["outcomes"]  # type: ignore[operator]
    for dies_at in range(1, requests + 1, every):
        mortals = await stopped()
        assert not await mortals.run(dies_at=dies_at) or dies_at >= requests - 1
        await mortals.run(dies_at=max(1, dies_at // 3), after=True)
        await mortals.to_end()
        assert await _data(mortals) == expected, dies_at
        assert (await _told(mortals, "undone"))["outcomes"] == told["outcomes"], dies_at


async def test_a_submission_stopped_in_the_middle_of_a_segment_is_undone(tmp_path: Path, every: int = _EVERY) -> None:
    """Wherever its worker died: with a plan and without results, too."""
    options, url = _provide(tmp_path)
    mortals, _ = await _begun(options, url, "replace")
    before = _current(await _data(mortals))
    first = mortals.store.requests
    await mortals.to_end()
    requests = mortals.store.requests - first
    for dies_at in range(1, requests, every):
        mortals, document = await _begun(options, url, "replace")
        await mortals.run(dies_at=dies_at)
        await _stop(mortals, document)
        await mortals.to_end()
        assert _current(await _data(mortals)) == before, dies_at


async def test_no_secret_outlives_the_reading_of_its_manifest(tmp_path: Path) -> None:
    """Also where the worker dies between the summary and the removal."""
    options, url = _provide(tmp_path)
    requests = 0
    for left in range(4):
        mortals, document = await _begun(options, url, "replace")
        manifests = (replace(document.manifests[0], private="p"),)
        await mortals.put(replace(document, manifests=manifests))
        await mortals.store.put(f"{mortals.prefix}private/p.json", b"{}")
        first = mortals.store.requests
        if requests:
            await mortals.run(dies_at=requests - left)
        await mortals.to_end()
        requests = requests or mortals.store.requests - first
        assert (await mortals.store.list(f"{mortals.prefix}private/")).objects == ()


async def _stop(mortals: Mortals, document: Submission) -> None:
    withdrawn = tuple(replace(one, withdrawn=True) for one in document.manifests)
    await mortals.put(replace(document, state="stopped", manifests=withdrawn, updated=mortals.store.now()))


def _current(data: dict[str, list[tuple[str, dict[str, object]]]]) -> dict[str, dict[str, object]]:
    """The resources that are there now."""
    return {id: versions[-1][1] for id, versions in data.items() if versions[-1][1]}
