"""`fhirstore index`: how each tenant's search index is on this machine, building it, copies of it, comparing it."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import TypeVar

from fhirstore import IndexComparison, IndexStatus, SavedCopy, TenantStore, instant
from server.commands.each_tenant import FAILED, for_each_tenant, print_reports
from server.commands.pace import Pace
from server.commands.progress_lines import ProgressLines
from server.settings import Settings

_READY = "ready"
_Done = TypeVar("_Done")
_Progress = TypeVar("_Progress")


def show_status(settings: Settings, *, tenant: str | None, as_json: bool) -> int:
    """Prints how the indexes are. Returns 0: all are ready. 1: one is not. 2: could not be read."""

    async def work(_: str, store: TenantStore) -> IndexStatus:
        return await store.upkeep.search_index.status()

    reports = for_each_tenant(settings, tenant, work)
    if reports is None:
        return FAILED
    print_reports(reports, _lines, as_json=as_json)
    return 0 if all(report.state == _READY for report in reports.values()) else 1


def run_build(
    settings: Settings, *, tenant: str | None, from_log: bool, save: bool, every: float, as_json: bool
) -> int:
    """Builds, then prints how the indexes are. Returns 0; 2 where it could not be done."""

    async def work(name: str, store: TenantStore) -> IndexStatus:
        index, pace = store.upkeep.search_index, Pace()

        def line(status: IndexStatus) -> str:
            pace.at(status.resources)
            upto = f", the history up to {instant(status.watermark)}" if status.watermark else ""
            return f"{name}: {status.resources:,} resources, {pace.rate:,.0f}/s{upto}"

        built = await _showing(name, every, line, lambda show: index.build(from_log=from_log, on_progress=show))
        if save:
            await index.save()
        return built

    reports = for_each_tenant(settings, tenant, work)
    if reports is None:
        return FAILED
    print_reports(reports, _lines, as_json=as_json)
    return 0


def run_save(settings: Settings, *, tenant: str | None, as_json: bool) -> int:
    """Stores copies, and prints what they are. Returns 0; 1 where another process was doing that; 2: not done."""

    async def work(_: str, store: TenantStore) -> SavedCopy | None:
        return await store.upkeep.search_index.save()

    reports = for_each_tenant(settings, tenant, work)
    if reports is None:
        return FAILED
    print_reports(reports, _saved, as_json=as_json)
    return 1 if None in reports.values() else 0


def run_drop(settings: Settings, *, tenant: str | None, copies: bool) -> int:
    """Removes the files, and says so. Returns 0; 2 where it could not be done."""

    async def work(_: str, store: TenantStore) -> bool:
        return await store.upkeep.search_index.drop(copies=copies)

    reports = for_each_tenant(settings, tenant, work, damaged_too=True)
    if reports is None:
        return FAILED
    sys.stdout.writelines(f"{name}: {'removed' if there else 'there was none'}\n" for name, there in reports.items())
    return 0


def run_verify(settings: Settings, *, tenant: str | None, every: float, as_json: bool) -> int:
    """Compares and prints. Returns 0: no difference. 1: there are some. 2: could not run."""

    async def work(name: str, store: TenantStore) -> IndexComparison:
        index, pace = store.upkeep.search_index, Pace()

        def line(done: IndexComparison) -> str:
            pace.at(done.resources)
            return f"{name}: {done.resources:,} resources compared, {done.differing:,} differ, {pace.rate:,.0f}/s"

        return await _showing(name, every, line, lambda show: index.verify(on_progress=show))

    reports = for_each_tenant(settings, tenant, work)
    if reports is None:
        return FAILED
    print_reports(reports, _compared, as_json=as_json)
    return 0 if all(report.ok for report in reports.values()) else 1


async def _showing(
    name: str,
    every: float,
    line: Callable[[_Progress], str],
    do: Callable[[Callable[[_Progress], None]], Awaitable[_Done]],
) -> _Done:
    """Returns what `do` returns, and shows the progress that it tells, as lines on standard error."""
    text = name
    lines = ProgressLines(lambda: text, every=every)

    def show(done: _Progress) -> None:
        nonlocal text
        text = line(done)
        lines.poll()

    return await do(show)


def _lines(name: str, one: IndexStatus) -> list[str]:
    """Returns how an index is, in one line."""
    if not one.resources and not one.complete:
        said = one.state
    else:
        upto = f"; complete up to {instant(one.complete)}" if one.complete else ""
        lag = "" if one.lag is None else f", {one.lag:,.0f} s ago"
        said = f"{one.state}, {one.resources:,} resources, {one.size:,} bytes{upto}{lag}"
    lines = [f"{name}: {said}; {one.path}{'' if one.problem is None else f' ({one.problem})'}"]
    if one.aside is not None:
        lines.append(f"{name}: a file that was set aside can be deleted: {one.path}.damaged ({one.aside})")
    return lines


def _saved(name: str, saved: SavedCopy | None) -> list[str]:
    if saved is None:
        return [f"{name}: another process is making a copy now"]
    bytes_ = f"{saved.stored:,} bytes ({saved.size:,} on the disk)"
    return [f"{name}: a copy of {saved.resources:,} resources is stored, {bytes_}"]


def _compared(name: str, report: IndexComparison) -> list[str]:
    lines = [f"{name}: {report.resources:,} resources compared, {report.differing:,} differ"]
    lines += [f"{name}: {one.name}: {one.what}" for one in report.differences]
    if report.differing > len(report.differences):
        lines.append(f"{name}: and {report.differing - len(report.differences):,} more")
    if report.cut:
        names = ", ".join(report.cut_names)
        lines.append(f"{name}: {report.cut:,} resources have more values than are indexed: {names}")
    return lines
