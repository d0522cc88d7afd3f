"""`python -m conformance population`: a made-up population as NDJSON files."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from conformance.population.population import Population


def population(
    resources: Annotated[int, typer.Argument(min=1, help="How many.")],
    out: Annotated[Path, typer.Option(help="Folder for the files, one per type; it may not have any of them.")],
    seed: Annotated[int, typer.Option(help="The same seed gives the same resources.")] = 1,
) -> None:
    """Write a made-up population of patients as NDJSON, the format of bulk data."""
    out.mkdir(parents=True, exist_ok=True)
    counts: Counter[str] = Counter()
    with ExitStack() as stack:
        files: dict[str, BinaryIO] = {}
        for made in Population(seed).take(resources):
            if made.type not in files:
                try:
                    files[made.type] = stack.enter_context((out / f"{made.type}.ndjson").open("xb"))
                except FileExistsError as error:
                    raise typer.BadParameter(f"{error.filename} exists", param_hint="--out") from error
            files[made.type].write(made.content + b"\n")
            counts[made.type] += 1
    for type_, written in counts.most_common():
        print(f"{written:>10,} {type_}")
