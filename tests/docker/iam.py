"""Judges a request by an IAM policy: what matters here of https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html.

A request is refused unless a statement allows it, and whatever another allows where a statement denies it. `*` and `?`
in actions and resources match any characters, `/` too. An element that this page does not know is an error, so that
no policy is judged by half of what it says.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from tests.docs.pages import ROOT

POLICIES = ROOT / "docker" / "terraform" / "documents" / "policies"
ROLES = ("server", "worker", "reader", "admin")
_OF_THE_BUCKET = ("s3:ListBucket", "s3:ListBucketMultipartUploads")
_ELEMENTS = {"Sid", "Effect", "Action", "Resource", "Condition"}


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy for one bucket."""

    statements: tuple[dict[str, object], ...]
    bucket: str

    def allows(self, action: str, key: str) -> bool:
        """Returns whether the holder may do this. `key`: of an object, or the prefix of a listing."""
        listing = action in _OF_THE_BUCKET
        resource = f"arn:aws:s3:::{self.bucket}" + ("" if listing else f"/{key}")
        effects = {
            one["Effect"] for one in self.statements if _concerns(one, action, resource, key if listing else None)
        }
        return "Allow" in effects and "Deny" not in effects


def policy(role: str, *, bucket: str, prefix: str) -> Policy:
    """Returns the policy of a role as Terraform would render its template."""
    text = (POLICIES / f"{role}.json").read_text().replace("${bucket}", bucket).replace("${prefix}", prefix)
    assert "${" not in text
    return Policy(tuple(json.loads(text)["Statement"]), bucket)


def path_of(role: str) -> Path:
    """Returns the template of a role."""
    return POLICIES / f"{role}.json"


def _concerns(statement: dict[str, object], action: str, resource: str, prefix: str | None) -> bool:
    assert set(statement) <= _ELEMENTS, statement
    if not _any(statement["Action"], action) or not _any(statement["Resource"], resource):
        return False
    condition = cast("dict[str, dict[str, object]]", statement.get("Condition", {}))
    assert not condition or (set(condition) == {"StringLike"} and set(condition["StringLike"]) == {"s3:prefix"})
    return not condition or (prefix is not None and _any(condition["StringLike"]["s3:prefix"], prefix))


def _any(patterns: object, text: str) -> bool:
    return any(_matches(str(pattern), text) for pattern in (patterns if isinstance(patterns, list) else [patterns]))


def _matches(pattern: str, text: str) -> bool:
    parts = (".*" if part == "*" else "." if part == "?" else re.escape(part) for part in re.split(r"([*?])", pattern))
    return re.fullmatch("".join(parts), text, re.DOTALL) is not None
