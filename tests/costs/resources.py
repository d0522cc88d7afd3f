"""`python -m tests.costs resources`: what reading, validating and writing one resource costs, without a store.

Each input is compact JSON: a Patient as the other measurements send it, three official examples of R4 (CC0), one of
them without its narrative as well, and a Bundle of them. Every figure is the least of many short samples, and samples
of one row's figures take turns, so that a busy machine disturbs the ratios little. The yardsticks are `orjson.loads`,
which only reads, and fhir.resources (its models of R4B), which reads, validates and writes; both where installed.
"""

from __future__ import annotations

import gc
import json as stdlib
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from conformance.rates.patients import registered_patients
from fhirstore.fhir import json
from fhirstore.fhir.definitions.load import definitions
from fhirstore.fhir.validation import Validator

EXAMPLES = Path(__file__).parent / "examples.ndjson"
_BUNDLE = 300_000  # bytes, about
_IDENTITY = {"id": "01HF6YEXAMPLE0000000000000", "version": 3, "last_updated": 1_763_611_897_123}


@dataclass(frozen=True, slots=True)
class ResourceRow:
    """µs a resource; None: not measured. `whole`: parse, validate, inject the identity and encode, in one go."""

    name: str
    bytes: int
    orjson: float | None
    parse: float
    validate: float
    identity: float
    whole: float
    fhir_resources: float | None

    @property
    def ratio(self) -> float | None:
        """The whole over `orjson.loads`."""
        return None if self.orjson is None else self.whole / self.orjson


def inputs() -> Mapping[str, bytes]:
    """Name -> compact JSON."""
    patient, observation, questionnaire = EXAMPLES.read_bytes().splitlines()
    bare = json.parse(observation)
    del bare["text"]
    return {
        "Patient, 2 KB": next(registered_patients()),
        "Patient with a narrative": patient,
        "Observation, 4 KB, half narrative": observation,
        "the same without narrative": json.encode(bare),
        "Questionnaire, 3 KB": questionnaire,
        "Bundle, 300 KB": _bundle(patient, observation, questionnaire),
    }


def _bundle(*resources: bytes) -> bytes:
    entries: list[bytes] = []
    while sum(map(len, entries)) < _BUNDLE:
        number = b"%d" % len(entries)
        entries.append(b'{"fullUrl":"http://example.org/%s","resource":%s}' % (number, resources[len(entries) % 3]))
    return b'{"resourceType":"Bundle","type":"collection","entry":[%s]}' % b",".join(entries)


def measure(name: str, body: bytes, *, samples: int = 60) -> ResourceRow:
    """One row."""
    validator = Validator(definitions("4.0"))
    resource, compact = json.read(body)
    validator.check(resource)

    def whole() -> None:
        content, compact = json.read(body)
        validator.check(content)
        json.Template(content, compact).fill(**_IDENTITY)  # type: ignore[arg-type] # a dict for short

    works: dict[str, Callable[[], object]] = {
        "parse": lambda: json.parse(body),
        "validate": lambda: validator.check(resource),
        "identity": lambda: json.Template(resource, compact).fill(**_IDENTITY),  # type: ignore[arg-type]
        "whole": whole,
    }
    if find_spec("orjson"):
        loads: Callable[[bytes], object] = import_module("orjson").loads
        works["orjson"] = lambda: loads(body)
    if find_spec("fhir") and find_spec("fhir.resources"):
        model = import_module("fhir.resources.R4B").get_fhir_model_class(str(resource["resourceType"]))
        works["fhir_resources"] = lambda: model.model_validate_json(body).model_dump_json()
    least = dict.fromkeys(works, float("inf"))
    repeats = {name: _repeats(work) for name, work in works.items()}
    for _ in range(samples):
        for kind, work in works.items():
            least[kind] = min(least[kind], _sample(work, repeats[kind]))
    figures = {kind: round(seconds * 1e6, 1) for kind, seconds in least.items()}
    return ResourceRow(
        name=name,
        bytes=len(body),
        orjson=figures.get("orjson"),
        parse=figures["parse"],
        validate=figures["validate"],
        identity=figures["identity"],
        whole=figures["whole"],
        fhir_resources=figures.get("fhir_resources"),
    )


def _repeats(work: Callable[[], object]) -> int:
    """How often in one sample: two milliseconds' worth, at least once."""
    work()
    return max(1, int(0.002 / max(_sample(work, 3), 1e-7)))


def _sample(work: Callable[[], object], repeats: int) -> float:
    """Seconds for one of `repeats`; garbage is collected before, not meanwhile."""
    gc.collect(0)
    gc.disable()
    try:
        start = perf_counter()
        for _ in range(repeats):
            work()
        return (perf_counter() - start) / repeats
    finally:
        gc.enable()


def resources(
    samples: Annotated[int, typer.Option(min=1, help="Samples of each figure; the least is shown.")] = 60,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Parse, validate, identify and encode one resource: µs, and beside orjson.loads and fhir.resources."""
    rows = [measure(name, body, samples=samples) for name, body in inputs().items()]
    if json:
        sys.stdout.write(stdlib.dumps([asdict(row) | {"ratio": row.ratio} for row in rows], indent=2) + "\n")
        return
    table = Table("resource", box=box.MARKDOWN)
    for heading in ("bytes", "parse", "validate", "identity", "whole µs", "orjson.loads", "ratio", "fhir.resources"):
        table.add_column(heading, justify="right")
    for row in rows:
        times = (row.parse, row.validate, row.identity, row.whole, row.orjson, row.ratio, row.fhir_resources)
        table.add_row(row.name, f"{row.bytes:,}", *("" if one is None else f"{one:,.1f}" for one in times))
    Console(width=130).print(table)
