"""Broken bodies by the million: `python -m tests.fhir.validation.fuzz --minutes 10 [--seed 1] [--full 50]`.

Examples and made-up resources are broken as bytes, as values and by the kinds of `mutations`, up to four times each,
and read, validated, given an identity and written. Of what comes out of that:

- nothing is raised but FhirError, and it becomes an OperationOutcome that is itself valid and quotes no marked text
- what the standard library cannot read is not read
- what the fast pass accepts, the exact pass finds nothing in
- what is accepted comes back
"""

from __future__ import annotations

import argparse
import json as stdlib
import sys
import time
from collections import Counter
from random import Random
from typing import TypeVar

from fhirstore.errors import FhirError
from fhirstore.fhir import json
from fhirstore.fhir.definitions.load import RELEASES, definitions
from fhirstore.fhir.validation import Validator
from server.http.outcome import error_answer
from tests.fhir.validation.coming_back import assert_comes_back
from tests.fhir.validation.examples import packed
from tests.fhir.validation.made_up import Maker
from tests.fhir.validation.mutations import KINDS

_T = TypeVar("_T")
_MARK = "Zyx9w8v7"
_PIECES = [
    *rb"""" \ \u \ud800 { } [ ] , : - -0 1e999 0 . null "a": NaN true "" {} [] "id": "_id": \u003a \u002d""".split(),
    *(b"\xff", b"\xed\xa0\x80", b"\0", b"\xf0\x9f", b"\n", b" ", b"9" * 5000, b"[" * 70),
    *(b'"extension":[{"url":"u"}]', b'"resourceType":"Patient",'),
]


class Fuzzer:
    """Breaks and checks; `run` until something is found that must not be."""

    def __init__(self, seed: int, *, longest: int = 20_000, full_every: int = 0) -> None:
        self.random = Random(seed)
        self.counts: Counter[str] = Counter()
        self._full_every = full_every
        self._seeds = [(release, body) for release, _, body in packed() if len(body) <= longest]
        self._validators = {release: Validator(definitions(release)) for release in RELEASES}
        self._full = {release: Validator(definitions(release), "full") for release in RELEASES}

    def step(self) -> None:
        """One body. Raises whatever must not happen."""
        release, body = self._seed()
        for _ in range(self._choice((1, 1, 2, 4))):
            body = self._choice((self._bytes, self._bytes, self._values, self._values, self._kind))(release, body)
        try:
            self._check(release, body)
        except Exception:
            sys.stderr.write(f"FHIR {release}: {body[:3000]!r}\n")
            raise

    def _seed(self) -> tuple[str, bytes]:
        if self.random.random() < 0.3:
            release = self._choice(sorted(RELEASES))
            return release, Maker(self._validators[release].definitions, self.random).resource().encode()
        return self._choice(self._seeds)

    def _check(self, release: str, body: bytes) -> None:
        self.counts["bodies"] += 1
        try:
            resource = json.parse(body, max_values=20_000)
        except FhirError as error:
            self.counts["not read"] += 1
            self._check_outcome(error)
            return
        stdlib.loads(body, parse_int=str)
        validator = self._validators[release]
        at_once, errors = validator.accepts_at_once(resource), list(validator.errors(resource))
        assert not (at_once and errors), errors[:3]
        try:
            validator.check(resource)
            if self._full_every and self.random.randrange(self._full_every) == 0:
                self.counts["fully"] += 1
                self._full[release].check(resource)
        except FhirError as error:
            self.counts["refused"] += 1
            self._check_outcome(error)
        else:
            self.counts["accepted"] += 1
            assert_comes_back(body)
        try:
            json.with_identity(resource, id="x", version=1, last_updated=0)
        except FhirError as error:
            self._check_outcome(error)

    def _check_outcome(self, error: FhirError) -> None:
        answer = error_answer(error)
        assert answer.status_code in (400, 413, 422)
        assert _MARK.encode() not in bytes(answer.body), "content in a message"
        outcome = json.parse(bytes(answer.body))
        assert self._validators["4.0"].issues(outcome) == ()

    # --- breaking -------------------------------------------------------------------------------------------

    def _bytes(self, release: str, body: bytes) -> bytes:
        start = self.random.randint(0, len(body))
        end = min(len(body), start + self._choice((0, 0, 1, 1, 3, 20, 500)))
        how = self.random.randrange(5)
        if how == 0:
            return body[:start] + self._choice(_PIECES) + body[end:]
        if how == 1:
            return body[:start] + body[end:]
        if how == 2:
            return body[:end] + body[start:]
        if how == 3:
            other = self._choice(self._seeds)[1]
            place = self.random.randint(0, len(other))
            return body[:start] + other[place : place + 200] + body[end:]
        return body[:start] + bytes(self.random.randrange(256) for _ in range(end - start)) + body[end:]

    def _values(self, release: str, body: bytes) -> bytes:
        try:
            resource = json.parse(body)
        except FhirError:
            return body
        containers: list[dict[str, object] | list[object]] = []
        pending: list[object] = [resource]
        while pending:
            value = pending.pop()
            if isinstance(value, dict | list) and value:
                containers.append(value)
                pending += value.values() if isinstance(value, dict) else value
        if not containers:
            return body
        container, other = self._choice(containers), self._choice(containers)
        if isinstance(container, list):
            index = self.random.randrange(len(container))
            container[index] = self._junk(other)
        else:
            name = self._choice(list(container))
            how = self.random.randrange(4)
            if how == 0:
                container[self._choice((f"_{name}", name.lower(), name + "x", _MARK + " y", "", "extension"))] = (
                    container.pop(name)
                )
            elif how == 1:
                container[f"_{name}"] = self._junk(other)
            elif how == 2:
                del container[name]
            else:
                container[name] = self._junk(other)
        try:
            return json.encode(resource)
        except RecursionError:  # it holds itself now
            return body

    def _junk(self, other: object) -> object:
        encoded = json.encode({"x": other}) if self.random.random() < 0.3 else b'{"x":null}'
        return self._choice(
            (
                json.parse(encoded)["x"] if len(encoded) < 2000 else None,
                *(
                    None,
                    True,
                    0,
                    -1,
                    2**31,
                    2**70,
                    "",
                    " ",
                    "a",
                    _MARK,
                    f"{_MARK} \u0000",
                    "2021-02-30",
                    "<div>",
                    {},
                    [],
                ),
                *([None], [[]], {"": 1}, {_MARK + "!": {}}, {"id": 1}, {"extension": [{}]}, [{"extension": None}]),
                *(json.NumberLiteral(b"1e5"), json.NumberLiteral(b"-0"), {"resourceType": "Patient"}, ["a", None]),
            )
        )

    def _kind(self, release: str, body: bytes) -> bytes:
        facts = self._validators[release].definitions
        try:
            resource = json.parse(body)
            self._validators[release].check(resource)
        except FhirError:
            return body
        KINDS[self._choice(list(KINDS))](resource, facts, self.random)
        return json.encode(resource)

    def _choice(self, items: tuple[_T, ...] | list[_T]) -> _T:
        return items[self.random.randrange(len(items))]


def main() -> None:
    """Fuzz for some minutes and print the counts."""
    options = argparse.ArgumentParser(description="Fuzz the JSON reader and the validator.")
    options.add_argument("--minutes", type=float, default=10)
    options.add_argument("--seed", type=int, default=int(time.time()))
    options.add_argument(
        "--full", type=int, default=50, help="one accepted body in so many is validated fully; 0: none"
    )
    given = options.parse_args()
    sys.stdout.write(f"seed {given.seed}\n")
    fuzzer = Fuzzer(given.seed, full_every=given.full)
    end = time.monotonic() + given.minutes * 60
    while time.monotonic() < end:
        for _ in range(100):
            fuzzer.step()
    sys.stdout.write(", ".join(f"{count} {name}" for name, count in fuzzer.counts.items()) + "\n")


if __name__ == "__main__":
    main()
