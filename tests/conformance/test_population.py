"""The made-up population: the same from the same seed, sound, and of the shape it promises."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from itertools import chain
from pathlib import Path

import typer
from typer.testing import CliRunner

from conformance.population.command import population
from conformance.population.population import Generated, Population
from fhirstore.fhir import json as exact
from fhirstore.fhir.definitions.load import definitions
from fhirstore.fhir.validation import Validator

SOME = 2000
DIGEST = "5cbd02620140a60b60eb0a25b3c17e2bf435107f02d76af10b9409a0149b1c76"
REFERENCE = re.compile(r'"reference":"([^"#]+)"')

app = typer.Typer()
app.command()(population)


def test_a_seed_is_a_population() -> None:
    """Equal seeds give equal bytes, so that figures of different days are of the same data; other seeds give others."""
    digest = hashlib.sha256(b"\n".join(made.content for made in Population(7).take(SOME))).hexdigest()
    assert digest == DIGEST
    assert next(Population(8).take(1)) != next(Population(7).take(1))


def test_a_patient_needs_no_other() -> None:
    """The patients one by one, made by others in any order, are the population."""
    whole = list(chain.from_iterable(Population(7).patient(n) for n in range(3)))
    assert list(Population(7).take(len(whole))) == whole
    later = list(Population(7).patient(2))
    assert whole[-len(later) :] == later
    person = Population(7).person(2)
    assert (later[0].type, later[0].id) == ("Patient", person.id)
    assert json.loads(later[0].content)["name"][0]["family"] == person.family


def test_resources_are_sound() -> None:
    """All pass full validation, and have ids of their own."""
    validator = Validator(definitions(), "full")
    names = set()
    for made in Population(7).take(SOME):
        validator.check(exact.parse(made.content))
        content = json.loads(made.content)
        assert (content["resourceType"], content["id"]) == (made.type, made.id)
        names.add((made.type, made.id))
    assert len(names) == SOME


def test_references_lead_to_resources() -> None:
    """What resources of whole patients refer to is there."""
    made = list(chain.from_iterable(Population(7).patient(n) for n in range(5)))
    names = {f"{each.type}/{each.id}" for each in made}
    targets = {target for each in made for target in REFERENCE.findall(each.content.decode())}
    assert targets
    assert targets <= names


def test_the_mix_is_that_of_patients_records() -> None:
    """Observations are almost half, a resource has about 1.5 KB, and many things are observed."""
    made = list(Population(7).take(SOME))
    counts = Counter(each.type for each in made)
    assert len(counts) >= 18
    assert 0.35 < counts["Observation"] / SOME < 0.55
    assert 1200 < sum(len(each.content) for each in made) / SOME < 1800
    codes = Counter(_code(each) for each in made if each.type == "Observation")
    assert len(codes) > 20


def test_files_are_bulk_data(tmp_path: Path) -> None:
    """One NDJSON file per type; files that are there are never written over."""
    told = CliRunner().invoke(app, ["500", "--out", str(tmp_path)])
    assert told.exit_code == 0, told.output
    lines = [line for path in tmp_path.glob("*.ndjson") for line in path.read_bytes().splitlines()]
    assert sorted(lines) == sorted(made.content for made in Population(1).take(500))
    assert f"{len((tmp_path / 'Patient.ndjson').read_bytes().splitlines())} Patient" in told.output
    assert CliRunner().invoke(app, ["500", "--out", str(tmp_path)]).exit_code == 2


def _code(made: Generated) -> str:
    return str(json.loads(made.content)["code"]["coding"][0]["code"])
