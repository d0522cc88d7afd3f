"""Rules of a bucket as Terraform, for the AWS provider.

The resource holds all rules of its bucket, so whoever has rules of others puts them into the same one.
https://registry.terraform.io/providers/hashicorp/aws/latest/docs/resources/s3_bucket_lifecycle_configuration
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import cast

from fhirstore.objects import Rule

_ARGUMENTS = {
    "ID": "id",
    "Status": "status",
    "Prefix": "prefix",
    "Days": "days",
    "StorageClass": "storage_class",
    "DaysAfterInitiation": "days_after_initiation",
    "ObjectSizeGreaterThan": "object_size_greater_than",
    "Key": "key",
    "Value": "value",
    "AllowedOrigins": "allowed_origins",
    "AllowedMethods": "allowed_methods",
    "AllowedHeaders": "allowed_headers",
    "ExposeHeaders": "expose_headers",
    "MaxAgeSeconds": "max_age_seconds",
}
_BLOCKS = {
    "Filter": "filter",
    "And": "and",
    "Tag": "tag",
    "Expiration": "expiration",
    "Transitions": "transition",
    "AbortIncompleteMultipartUpload": "abort_incomplete_multipart_upload",
}


def as_terraform(bucket: str, rules: Sequence[Rule], *, cors: bool = False) -> str:
    """Returns the resource with these rules of ours."""
    kind, block = ("cors_configuration", "cors_rule") if cors else ("lifecycle_configuration", "rule")
    name = re.sub(r"[^A-Za-z0-9_]", "_", bucket)
    lines = [f'resource "aws_s3_bucket_{kind}" "fhirstore_{name}" {{', f"  bucket = {_value(bucket)}"]
    for rule in rules:
        lines += ["", f"  {block} {{", *_members(rule, "    "), "  }"]
    return "\n".join([*lines, "}", ""])


def _members(members: Mapping[str, object], indent: str) -> Iterator[str]:
    for name, value in members.items():
        if name == "Tags":
            pairs = cast("Sequence[Mapping[str, str]]", value)
            yield f"{indent}tags = {{"
            yield from (f"{indent}  {_value(tag['Key'])} = {_value(tag['Value'])}" for tag in pairs)
            yield f"{indent}}}"
        elif name in _BLOCKS:
            for one in value if isinstance(value, list) else [value]:
                yield f"{indent}{_BLOCKS[name]} {{"
                yield from _members(cast("Mapping[str, object]", one), f"{indent}  ")
                yield f"{indent}}}"
        else:
            yield f"{indent}{_ARGUMENTS[name]} = {_value(value)}"


def _value(value: object) -> str:
    return json.dumps(value).replace("${", "$${").replace("%{", "%%{")
