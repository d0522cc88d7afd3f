"""A10: the rules that a store wants of its bucket, as values."""

from __future__ import annotations

import pytest

from fhirstore import Retention, cors_rules, lifecycle_rules, merged_rules, rule_differences
from fhirstore.errors import RequestRefused
from fhirstore.objects import Rule
from fhirstore.upkeep.bucket_rules import normal

NOBODY = Retention()
THEIRS: Rule = {
    "ID": "theirs",
    "Status": "Enabled",
    "Filter": {"Prefix": "logs/"},
    "Expiration": {"Days": 1},
}


def by_name(rules: list[Rule]) -> dict[str, Rule]:
    return {str(rule["ID"]): rule for rule in rules}


def test_a10_what_is_not_asked_for_has_no_rule() -> None:
    """Without retention only stale uploads are aborted, after seven days; payloads are never deleted by a rule."""
    (rule,) = lifecycle_rules("", {}, NOBODY)
    assert rule["ID"] == "fhirstore-uploads@/"
    assert rule["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 7}


def test_a10_each_kind_is_found_by_its_tag_below_the_prefix() -> None:
    """Only what carries the tag of its kind is moved or deleted; small versions stay."""
    asked = Retention(archive_after=60, exports=3, submissions=67)
    rules = by_name(lifecycle_rules("data/", {}, asked))
    assert set(rules) == {f"fhirstore-{name}@data/" for name in ("history", "exports", "submissions", "uploads")}
    history = rules["fhirstore-history@data/"]
    assert history["Transitions"] == [{"Days": 60, "StorageClass": "DEEP_ARCHIVE"}]
    assert history["Filter"] == {
        "And": {"Prefix": "data/", "Tags": [{"Key": "kind", "Value": "version"}], "ObjectSizeGreaterThan": 131_072}
    }
    assert "Expiration" not in history
    for name, days in (("export", 3), ("submission", 67)):
        rule = rules[f"fhirstore-{name}s@data/"]
        assert rule["Filter"] == {"And": {"Prefix": "data/", "Tags": [{"Key": "kind", "Value": name}]}}
        assert rule["Expiration"] == {"Days": days}


def test_segments_of_the_audit_trail_expire_where_that_is_asked_for() -> None:
    """By the tag that they always have."""
    rule = by_name(lifecycle_rules("data/", {}, Retention(audit=365)))["fhirstore-audit@data/"]
    assert rule["Filter"] == {"And": {"Prefix": "data/", "Tags": [{"Key": "kind", "Value": "audit"}]}}
    assert rule["Expiration"] == {"Days": 365}


def test_a10_retention_of_tenants_has_rules_of_their_own() -> None:
    """Each tenant's rules are for its prefix, so that a longer retention is not undone by a shorter one."""
    tenants = {"a": Retention(archive_after=30), "b": Retention(exports=9), "c": NOBODY}
    rules = by_name(lifecycle_rules("", tenants, NOBODY))
    assert set(rules) == {"fhirstore-history-a@/", "fhirstore-exports-b@/", "fhirstore-uploads@/"}
    assert "'Prefix': 'a/'" in str(rules["fhirstore-history-a@/"])
    assert "'Prefix': 'b/'" in str(rules["fhirstore-exports-b@/"])
    with pytest.raises(RequestRefused, match="1001 rules, and a bucket takes 1000"):
        lifecycle_rules("", {f"t{n}": Retention(exports=2) for n in range(1000)}, NOBODY)


def test_a10_rules_of_others_stay_and_ours_are_replaced() -> None:
    """Others are never touched, also those of another store in the same bucket; applying twice changes nothing."""
    old = lifecycle_rules("", {}, Retention(exports=2, submissions=3))
    neighbour = lifecycle_rules("other/", {}, Retention(exports=5))
    wanted = lifecycle_rules("", {}, Retention(exports=4))
    once = merged_rules([THEIRS, *old, *neighbour], wanted, "")
    assert once == [THEIRS, *neighbour, *wanted]
    assert merged_rules(once, wanted, "") == once
    assert rule_differences(once, wanted, "") == []
    told = rule_differences([THEIRS, *old], wanted, "")
    assert [line.split(":")[0] for line in told] == ["differs", "not wanted any more"]
    assert rule_differences([THEIRS], wanted, "")[0].startswith("missing: fhirstore-exports@/")


@pytest.mark.parametrize(
    "form",
    [
        {"Filter": {"Prefix": "a/"}, "NoncurrentVersionTransitions": []},
        {"Prefix": "a/"},
        {"Filter": {"And": {"Prefix": "a/", "ObjectSizeGreaterThan": 0}}, "Prefix": ""},
    ],
)
def test_a10_a_rule_is_the_same_in_every_form_that_servers_tell_it_in(form: dict[str, object]) -> None:
    """A difference is one of meaning."""
    rule = {"ID": "x", "Status": "Enabled", "Expiration": {"Days": 1}}
    assert normal({**rule, **form}) == normal({**rule, "Filter": {"Prefix": "a/"}})


def test_a10_pages_may_upload_only_from_the_origins_of_the_setting() -> None:
    """Without origins there is no rule; with some, pages can send parts and read their ETags."""
    assert cors_rules("", ()) == []
    (rule,) = cors_rules("", ("https://a.example.org",))
    assert rule["AllowedOrigins"] == ["https://a.example.org"]
    assert rule["AllowedMethods"] == ["GET", "HEAD", "POST", "PUT"]
    assert "ETag" in str(rule["ExposeHeaders"])
