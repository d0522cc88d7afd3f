"""What a comparison of the search index of this machine adds to the report of fsck."""

from __future__ import annotations

from dataclasses import replace

from fhirstore.format.keyspace import Keyspace
from fhirstore.indexing.verify import Differs, IndexComparison
from fhirstore.upkeep.fsck.finding import Finding
from fhirstore.upkeep.fsck.run import FsckReport, Thoroughness

KIND = "index-differs"


def with_index(report: FsckReport, verified: IndexComparison, keys: Keyspace, *, how: Thoroughness) -> FsckReport:
    """Returns the report with a finding for each resource of which the index says something else.

    They count as repaired where `how` repairs: the caller then drops the index.
    """
    if verified.ok:
        return report
    room = max(0, how.keep - len(report.findings))
    findings = tuple(_finding(keys, one, repaired=how.repair or None) for one in verified.differences[:room])
    return replace(
        report,
        counts={**report.counts, KIND: verified.differing},
        repaired=report.repaired + (verified.differing if how.repair else 0),
        findings=(*report.findings, *findings),
        left_off=report.left_off + verified.differing - len(findings),
    )


def _finding(keys: Keyspace, one: Differs, *, repaired: bool | None) -> Finding:
    type_, _, id_ = one.name.partition("/")
    return Finding(KIND, keys.resource(type_, id_).current, one.what, repairable=True, repaired=repaired)
