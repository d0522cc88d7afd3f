"""A5: every object that a server or worker writes lies at a key of the format's table."""

from __future__ import annotations

import re
from pathlib import Path

from fhirstore import format as the_format
from fhirstore.objects import list_all
from fhirstore.objects.memory import MemoryStore
from tests.commit.hurried import HandClock
from tests.docker.work import look_after, serve

_FORMS = {"t": r"\d{13}", "due": r"\d{13}", "version": r"[1-9]\d*", "sha256": r"[0-9a-f]{64}", "value": r"[0-9a-f]{32}"}


def patterns() -> list[re.Pattern[str]]:
    """Returns an expression for each key in the table of `fhirstore.format`; `{name}` is a part without a slash."""
    keys = [
        key
        for row in re.findall(r"^\| (`.*?) \|", the_format.__doc__ or "", re.MULTILINE)
        for key in re.findall(r"`([^`]+)`", row)
    ]
    found = []
    for key in keys:
        parts = re.split(r"(\{\w+\}|…)", key)
        form = "".join(
            ".+" if part == "…" else _FORMS.get(part[1:-1], "[^/]+") if part.startswith("{") else re.escape(part)
            for part in parts
        )
        found.append(re.compile(form))
    return found


async def test_a5_every_object_is_one_of_the_table(tmp_path: Path) -> None:
    """Interactions of all kinds, a Bundle with a key, a large Binary, an export, a submission, a purge, a sweep."""
    known = patterns()
    assert len(known) > 15
    used: set[str] = set()
    for tenant in ("default", "t"):
        clock = HandClock()
        objects = MemoryStore() if tenant == "default" else MemoryStore(clock)
        await (serve(objects, tmp_path) if tenant == "default" else look_after(objects, clock))
        keys = [item.key.removeprefix(f"{tenant}/") async for item in list_all(objects, f"{tenant}/")]
        assert len(keys) > 5
        for key in keys:
            fitting = [each.pattern for each in known if each.fullmatch(key)]
            assert fitting, key
            used.update(fitting)
    assert len(used) >= 12, used
