"""docker/grafana/fhirstore.json shows every metric, and asks for none that does not exist."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from server.observing.catalogue import CATALOGUE, Kind

_DASHBOARD = Path(__file__).parents[3] / "docker" / "grafana" / "fhirstore.json"
_SERIES = re.compile(r"(fhirstore_[a-z_]+)")
_BY = re.compile(r"by \(([a-z_, ]+)\) *\(")
_TARGET_LABELS = {"job", "instance"}  # of the scrape, not of the metric


def _queries() -> Iterator[str]:
    board = json.loads(_DASHBOARD.read_text())
    for panel in board["panels"]:
        for target in panel.get("targets", ()):
            yield target["expr"]
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["query"]["query"]


def _metric(series: str) -> str:
    """The metric of a series: a histogram has three kinds."""
    name = re.sub(r"_(bucket|sum|count)$", "", series)
    return name if name in CATALOGUE and CATALOGUE[name].kind is Kind.HISTOGRAM else series


def test_every_query_names_metrics_and_labels_that_exist() -> None:
    """Also in `by (…)`."""
    queries = list(_queries())
    assert len(queries) > 30
    for query in queries:
        metrics = [CATALOGUE[_metric(series)] for series in _SERIES.findall(query)]
        labels = _TARGET_LABELS | {"le"} | {label for metric in metrics for label in metric.labels}
        for group in _BY.findall(query):
            assert set(group.split(", ")) <= labels, query
        for given in re.findall(r"([a-z_]+)(?:=~|!=|=|!~)\"", query):
            assert given in labels, query
        assert query.count("(") == query.count(")") and query.count("{") == query.count("}")


def test_every_metric_is_shown() -> None:
    """A metric that nobody looks at is not worth its series."""
    shown = {_metric(series) for query in _queries() for series in _SERIES.findall(query)}
    assert shown == set(CATALOGUE)


def test_panels_are_in_place() -> None:
    """Ids are unique, panels do not overlap, and each has a title."""
    panels = json.loads(_DASHBOARD.read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        grid = panel["gridPos"]
        cells = {
            (x, y) for x in range(grid["x"], grid["x"] + grid["w"]) for y in range(grid["y"], grid["y"] + grid["h"])
        }
        assert panel["title"] and not cells & taken and grid["x"] + grid["w"] <= 24
        taken |= cells
