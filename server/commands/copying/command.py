"""The command `fhirstore copy`: it opens both ends, copies tenant by tenant, and prints what was done."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from fhirstore import CopyOptions, CopyProgress, CopyReport, FhirStore, Verified
from fhirstore.errors import FhirStoreError
from server.commands.copying.order import CannotCopy, Order
from server.commands.copying.progress import Progress
from server.commands.copying.summary import CopySummary
from server.commands.interruption import Interruption
from server.commands.progress_lines import EVERY, ProgressLines
from server.commands.running import run

Show = Callable[[Progress], None]


def run_copy(order: Order, *, as_json: bool = False, progress_every: float = EVERY) -> int:
    """Copies and prints. Returns 0: complete, and the same on both sides. 1: not yet. 2: could not run.

    Interrupted: 130 by SIGINT, 143 by SIGTERM; the same command goes on.
    """

    async def work(show: Show, interruption: Interruption) -> CopySummary:
        try:
            return await _copy(order, show, interruption)
        except FhirStoreError as error:
            raise CannotCopy(str(error)) from error

    return run(work, bar=_bar, lines=_lines, every=progress_every, cannot=CannotCopy, as_json=as_json)


async def _copy(order: Order, show: Show, interruption: Interruption) -> CopySummary:
    began = time.monotonic()
    interruption.begins_to_send()
    progress = Progress()
    reports: dict[str, CopyReport] = {}
    compared: dict[str, Verified] = {}
    options = CopyOptions(at_once=order.concurrency, verify=order.verify, follow=order.follow)
    async with order.source.opened(create=False) as source, order.target.opened(create=not order.verify_only) as target:
        for tenant in await _tenants(order, source):

            def see(now: CopyProgress, tenant: str = tenant) -> None:
                progress.see(tenant, now)
                show(progress)

            if interruption.came():
                break
            if order.verify_only:
                compared[tenant] = await source.compare_to(
                    target, tenant, at_once=order.concurrency, on_progress=see, stop=interruption.came
                )
            else:
                reports[tenant] = await source.copy_to(
                    target, tenant, options=options, on_progress=see, stop=interruption.came
                )
        added: list[str] = []
        if not order.verify_only and not interruption.came():
            moving = [name for name, report in reports.items() if not report.complete]
            added = await source.register_in(target, tenant=order.tenant, but=moving)
    seconds = time.monotonic() - began
    return CopySummary(reports, compared, seconds, interrupted=interruption.came(), registered=added)


async def _tenants(order: Order, source: FhirStore) -> list[str]:
    """Returns the tenants to copy. Raises CannotCopy for one that the source has not, or that has no place."""
    names = await source.tenancy.names()
    if order.tenant is not None:
        if order.tenant not in names:
            raise CannotCopy(f"no tenant {order.tenant!r} in {order.source.location}; there is {', '.join(names[:20])}")
        names = [order.tenant]
    missing = [name for name in names if order.target.buckets and name not in order.target.buckets]
    if missing:
        raise CannotCopy(f"--to-buckets names no bucket of {', '.join(missing[:20])}")
    return names


@asynccontextmanager
async def _bar(_: float) -> AsyncIterator[Show]:
    """Shows progress on a terminal: a bar of the resources of the tenant under way."""
    columns = (BarColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task("looking at both stores", total=None)

        def show(progress: Progress) -> None:
            now = progress.now
            total = None if now is None else now.total
            bars.update(
                task, description=escape(progress.line()), total=total, completed=0 if now is None else now.resources
            )

        yield show


@asynccontextmanager
async def _lines(every: float) -> AsyncIterator[Show]:
    """Shows progress as lines."""
    progress = Progress()

    def show(now: Progress) -> None:
        nonlocal progress
        progress = now

    def line() -> str:
        return progress.line()

    async with ProgressLines(line, every=every).ticking():
        yield show
