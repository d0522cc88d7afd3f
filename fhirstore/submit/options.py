"""How submissions are processed: what the operator sets."""

from __future__ import annotations

from dataclasses import dataclass, field

from fhirstore.submit.lines import Bounds
from fhirstore.submit.local import LocalFiles
from fhirstore.submit.source import Sources
from fhirstore.submit.submitters import Submitters

DAY = 86_400_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitOptions:
    """`submitters`: who may submit. `sources`: reads what they submit. `concurrency`: resources written at a time.

    `bounds`: of lines and segments. Times in ms: `keep`, a submission and its raw input after its end; `idle`, how long
    one may be in progress without a request; `unfinished`, how long a provider may be at work on a manifest; `pause`,
    before a source that fails for the time being is asked again, at first. `tries`: how often it is asked in vain.
    `kind`: of the jobs. A worker leaves jobs of another kind alone, so that one that does not know these submitters
    never fails their submissions.
    """

    submitters: Submitters = field(default_factory=Submitters)
    sources: Sources = field(default_factory=LocalFiles)
    concurrency: int = 32
    bounds: Bounds = field(default_factory=Bounds)
    keep: int = 30 * DAY
    idle: int = 7 * DAY
    unfinished: int = DAY
    pause: int = 2_000
    tries: int = 6
    kind: str = "submit"
