"""Settings: where jobs run, and how many."""

from __future__ import annotations

from dataclasses import dataclass

from fhirstore import JobLimits
from server.settings import values
from server.settings.setting import setting


@dataclass(frozen=True)
class Jobs:
    """Where jobs run, and how many."""

    worker: bool = setting(
        "FHIRSTORE_WORKER",
        values.flag,
        True,
        "Run jobs (such as exports) in the server processes; `false`: only `fhirstore worker` processes do.",
    )
    jobs_at_once: int = setting(
        "FHIRSTORE_JOBS_AT_ONCE", values.positive, 2, "The most jobs that one process runs at once."
    )
    max_running_jobs: int = setting(
        "FHIRSTORE_MAX_RUNNING_JOBS",
        values.positive,
        4,
        "The most jobs of a tenant that run at once, in all processes together.",
    )
    max_queued_jobs: int = setting(
        "FHIRSTORE_MAX_QUEUED_JOBS",
        values.count,
        20,
        "The most jobs of a tenant that wait, beside those that may run; one more is answered 429.",
    )

    @property
    def job_limits(self) -> JobLimits:
        """How many jobs a tenant may have."""
        return JobLimits(self.max_running_jobs, self.max_queued_jobs)
