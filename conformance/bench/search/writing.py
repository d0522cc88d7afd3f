"""What an index costs writers: creates on a server that is searched, beside creates on one that never was.

The second one keeps no index. Both have a fresh store in files, and are measured in turns.
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import httpx

from conformance.bench.search.measuring import until_searchable
from conformance.rates.load import LoadFailed, Target
from conformance.rates.run import environment
from conformance.rates.sampling import Effort, Processes, sample
from conformance.rates.servers import Running, fhirstore
from conformance.rates.workload import CREATE, creates

_ROUNDS = 6
_EFFORT = Effort(connections=16, seconds=1.5)


async def creates_per_second() -> tuple[float, float]:
    """Returns the rate without an index, and the rate beside one that is kept up to date. Raises LoadFailed."""
    rates: dict[bool, list[float]] = {False: [], True: []}
    with tempfile.TemporaryDirectory(prefix="fhirstore-bench-") as name, ExitStack() as stack:
        servers = {searched: _served(stack, Path(name) / str(searched)) for searched in rates}
        async with httpx.AsyncClient(timeout=60, trust_env=False) as client:
            for _ in range(_ROUNDS):
                for searched, server in servers.items():
                    if searched:
                        await until_searchable(client, server.url)
                    taken = await sample(
                        Target.of(server.url),
                        creates(),
                        expected=CREATE.expected,
                        effort=_EFFORT,
                        processes=Processes(),
                    )
                    if taken.unexpected:
                        raise LoadFailed(f"creates were answered {taken.unexpected}")
                    rates[searched].append(taken.rate)
    return median(rates[False]), median(rates[True])


def _served(stack: ExitStack, folder: Path) -> Running:
    folder.mkdir()
    with environment({"FHIRSTORE_INDEX": str(folder / "index")}):
        return stack.enter_context(fhirstore(f"file:{folder / 'data'}", folder))
