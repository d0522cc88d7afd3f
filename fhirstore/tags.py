"""Tags of objects, by which a bucket's lifecycle rules and bills tell them apart.

| tag | value |
|---|---|
| `kind` | `export`: output of an export · `payload`: bytes of a Binary · `submission`: raw lines of a submission · `version`: one version of a resource |
| `tenant` | the tenant's id |
| `type` | the resource type, of a version or a payload |
| `job` | the job's id, of an export's output or a submission's lines |

A tag costs no request, since it goes with the PUT, but AWS bills tags by the object. So each kind can be switched on
and off; versions, of which there are most, are off unless asked for. Objects of a sealed run have their own
(`fhirstore.runs.sealing`). https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-tagging.html
"""  # noqa: E501 - a table row is one line

from __future__ import annotations

from dataclasses import dataclass

from fhirstore.objects.facts import Facts

EXPORT, PAYLOAD, SUBMISSION, VERSION = "export", "payload", "submission", "version"
KINDS = (EXPORT, PAYLOAD, SUBMISSION, VERSION)
AUDIT = "audit"
"""The `kind` of segments of the audit trail, which always have it."""

USUAL = frozenset({EXPORT, PAYLOAD, SUBMISSION})


@dataclass(frozen=True, slots=True)
class Tags:
    """Which `kinds` of objects are tagged."""

    kinds: frozenset[str] = USUAL

    def __post_init__(self) -> None:
        unknown = sorted(self.kinds.difference(KINDS))
        if unknown:
            raise ValueError(f"no such kind of object: {', '.join(unknown)}; there is {', '.join(KINDS)}")

    def facts(self, kind: str, tenant: str, *, content_type: str | None = None, **more: str) -> Facts | None:
        """Returns the facts of an object of this kind; None where it has neither tags nor a content type.

        `more`: further tags by name.
        """
        if kind in self.kinds:
            return Facts(content_type=content_type, tags={"kind": kind, "tenant": tenant, **more})
        return None if content_type is None else Facts(content_type=content_type)
