"""Metrics as a scraper sees them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import httpx
from prometheus_client.parser import text_string_to_metric_families

_PATIENCE = 30.0  # seconds


class Scrape:
    """One scrape, parsed."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.families = {one.name: one for one in text_string_to_metric_families(text)}
        self._samples = [sample for one in self.families.values() for sample in one.samples]

    def value(self, name: str, **labels: str) -> float:
        """The sum of the samples with this name and at least these labels."""
        return sum(
            sample.value for sample in self._samples if sample.name == name and labels.items() <= sample.labels.items()
        )

    def by(self, name: str, label: str, **labels: str) -> Mapping[str, int]:
        """These sums for each value of a label."""
        found = {sample.labels[label] for sample in self._samples if sample.name == name}
        sums = {value: int(self.value(name, **labels, **{label: value})) for value in sorted(found)}
        return {value: total for value, total in sums.items() if total}


def scrape(url: str) -> Scrape:
    """Scrapes now."""
    answer = httpx.get(url, timeout=10)
    assert answer.status_code == 200, answer.text
    return Scrape(answer.text)


def scrape_until(url: str, so: Callable[[Scrape], bool]) -> Scrape:
    """Scrapes until it is so; snapshots are a second old at most."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        found = scrape(url)
        if so(found):
            return found
        assert time.monotonic() < deadline, found.text
        time.sleep(0.2)
