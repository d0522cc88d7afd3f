"""The lifecycle and CORS rules that a store wants its bucket to have, and how they live beside the rules of others.

| rule | objects | what the bucket does |
|---|---|---|
| `history` | versions, by their tag | moves them to an archive class some days after they were written |
| `exports` | output of exports, by its tag | deletes it, also where no server runs that would |
| `submissions` | raw lines of submissions, by their tag | the same |
| `audit` | segments of the audit trail, by their tag | deletes them |
| `uploads` | multipart uploads that nobody completed | aborts them |

A rule is ours by its ID: `fhirstore-{name}@{root}` or `fhirstore-{name}-{tenant}@{root}`, so that several stores share
a bucket. All functions are pure; rules have the JSON of `aws s3api`.
https://docs.aws.amazon.com/AmazonS3/latest/userguide/intro-lifecycle-rules.html
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from fhirstore.errors import RequestRefused
from fhirstore.objects.bucket import Rule
from fhirstore.tags import AUDIT, EXPORT, SUBMISSION, VERSION

MOST_RULES = 1_000
"""Of a bucket: https://docs.aws.amazon.com/AmazonS3/latest/userguide/how-to-set-lifecycle-configuration-intro.html."""

WORTH_ARCHIVING = 128 * 1024
"""Bytes. An archived object costs 40 KB of overhead and a request: of a smaller one nothing is saved for years."""

_METHODS = ["GET", "HEAD", "POST", "PUT"]
_EXPOSED = ["ETag", "Content-Length", "Content-Range", "Accept-Ranges", "x-amz-checksum-sha256"]


class Retention(msgspec.Struct, frozen=True, kw_only=True):
    """How long a tenant's objects stay, in days from when they were written. None: not moved, not deleted.

    `storage_class`: where versions of more than `archive_above` bytes go after `archive_after` days.
    """

    archive_after: int | None = None
    exports: int | None = None
    submissions: int | None = None
    audit: int | None = None
    uploads: int = 7
    storage_class: str = "DEEP_ARCHIVE"
    archive_above: int = WORTH_ARCHIVING


def lifecycle_rules(root: str, tenants: Mapping[str, Retention], default: Retention) -> list[Rule]:
    """Returns the rules of a store that lies below `root` of a bucket.

    `tenants`: the retention of each that lies below `{root}{tenant}/`; empty: all have the `default`. Raises
    RequestRefused where there are more rules than a bucket takes.
    """
    places = {f"-{name}": (f"{root}{name}/", retention) for name, retention in sorted(tenants.items())}
    rules: list[Rule] = []
    for name, (prefix, kept) in (places or {"": (root, default)}).items():
        if kept.archive_after is not None:
            move = {"Days": kept.archive_after, "StorageClass": kept.storage_class}
            chosen = _filter(prefix, VERSION, above=kept.archive_above)
            rules.append(_rule(f"history{name}", root, chosen, Transitions=[move]))
        if kept.exports is not None:
            rules.append(_rule(f"exports{name}", root, _filter(prefix, EXPORT), Expiration={"Days": kept.exports}))
        if kept.audit is not None:
            rules.append(_rule(f"audit{name}", root, _filter(prefix, AUDIT), Expiration={"Days": kept.audit}))
        if kept.submissions is not None:
            chosen = _filter(prefix, SUBMISSION)
            rules.append(_rule(f"submissions{name}", root, chosen, Expiration={"Days": kept.submissions}))
    abort = {"DaysAfterInitiation": default.uploads}
    rules.append(_rule("uploads", root, {"Prefix": root}, AbortIncompleteMultipartUpload=abort))
    if len(rules) > MOST_RULES:
        raise RequestRefused(
            detail=f"{len(rules)} rules, and a bucket takes {MOST_RULES}; give more tenants the same retention"
        )
    return rules


def cors_rules(root: str, origins: Sequence[str]) -> list[Rule]:
    """Returns the rules by which web pages of these origins upload to the bucket, and download from it."""
    if not origins:
        return []
    return [
        {
            "ID": _id("pages", root),
            "AllowedOrigins": list(origins),
            "AllowedMethods": _METHODS,
            "AllowedHeaders": ["*"],
            "ExposeHeaders": _EXPOSED,
            "MaxAgeSeconds": 3600,
        }
    ]


def merged_rules(found: Sequence[Rule], wanted: Sequence[Rule], root: str) -> list[Rule]:
    """Returns the rules that the bucket should have: those of others as they are, and after them ours."""
    return [*(rule for rule in found if not is_ours(rule, root)), *wanted]


def rule_differences(found: Sequence[Rule], wanted: Sequence[Rule], root: str) -> list[str]:
    """Returns a line for each of our rules that is missing, not as it should be, or there in vain."""
    have = {str(rule.get("ID")): rule for rule in found if is_ours(rule, root)}
    want = {str(rule.get("ID")): rule for rule in wanted}
    lines = [f"missing: {name}: {_text(rule)}" for name, rule in want.items() if name not in have]
    for name, rule in have.items():
        if name not in want:
            lines.append(f"not wanted any more: {name}: {_text(rule)}")
        elif normal(rule) != normal(want[name]):
            lines.append(f"differs: {name}: is {_text(rule)}; should be {_text(want[name])}")
    return lines


def is_ours(rule: Rule, root: str) -> bool:
    """Whether it is a rule of the store below `root`."""
    name = str(rule.get("ID", ""))
    return name.startswith("fhirstore-") and name.endswith(f"@{root or '/'}")


def normal(rule: Rule) -> dict[str, object]:
    """Returns the rule in one form, whatever form a server tells it in: what is empty left out, lists in order."""
    plain = _normal(rule)
    assert isinstance(plain, dict)  # noqa: S101 - a rule is a mapping
    chosen = plain.pop("Filter", {})
    prefix = plain.pop("Prefix", None)  # the form before filters
    flat = {**chosen.pop("And", {}), **chosen} if isinstance(chosen, dict) else {}
    if prefix is not None:
        flat["Prefix"] = prefix
    if flat.get("ObjectSizeGreaterThan") == 0:  # some servers tell it where it was not given
        del flat["ObjectSizeGreaterThan"]
    if (tag := flat.pop("Tag", None)) is not None:
        flat["Tags"] = [tag]
    return {**plain, **({"Filter": flat} if flat else {})}


def _normal(value: object) -> object:
    if isinstance(value, Mapping):
        members = {str(name): _normal(member) for name, member in value.items()}
        return {name: member for name, member in members.items() if member not in (None, "", [], {})}
    if isinstance(value, list | tuple):
        return sorted((_normal(one) for one in value), key=_text)
    return value if isinstance(value, str | int | float) else str(value)


def _text(value: object) -> str:
    return json.dumps(value, sort_keys=True, default=str)


def _rule(name: str, root: str, chosen: Mapping[str, object], **action: object) -> Rule:
    return {"ID": _id(name, root), "Status": "Enabled", "Filter": chosen, **action}


def _id(name: str, root: str) -> str:
    return f"fhirstore-{name}@{root or '/'}"


def _filter(prefix: str, kind: str, *, above: int = 0) -> Mapping[str, object]:
    tag = {"Key": "kind", "Value": kind}
    if not prefix and not above:
        return {"Tag": tag}
    return {"And": dict(_members(prefix, tag, above))}


def _members(prefix: str, tag: Mapping[str, str], above: int) -> Iterator[tuple[str, object]]:
    if prefix:
        yield "Prefix", prefix
    yield "Tags", [tag]
    if above:
        yield "ObjectSizeGreaterThan", above
