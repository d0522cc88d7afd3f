"""docker/terraform: Terraform reads it, and its documents say what fhirstore says. Needs the program `terraform`.

The resources need the provider of AWS, so they are formatted and parsed here, not planned.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from typer.testing import CliRunner

from server.cli import app
from tests.docker.iam import ROLES, policy
from tests.docs.pages import ROOT

FOLDER = ROOT / "docker" / "terraform"
pytestmark = pytest.mark.skipif(shutil.which("terraform") is None, reason="needs terraform")


def _terraform(folder: Path, *words: str) -> str:
    env = {**os.environ, "TF_CLI_CONFIG_FILE": os.devnull, "CHECKPOINT_DISABLE": "1", "TF_IN_AUTOMATION": "1"}
    done = subprocess.run(
        ["terraform", *words], cwd=folder, env=env, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _documents(folder: Path, **variables: object) -> Mapping[str, object]:
    """Applies the module without a provider. Returns its outputs."""
    shutil.copytree(FOLDER / "documents", folder / "documents")
    module = {"source": "./documents", **variables}
    outputs = {name: {"value": f"${{module.documents.{name}}}"} for name in ("policies", "rules")}
    (folder / "main.tf.json").write_text(json.dumps({"module": {"documents": module}, "output": outputs}))
    _terraform(folder, "init", "-no-color")
    _terraform(folder, "validate", "-no-color")
    _terraform(folder, "apply", "-auto-approve", "-no-color")
    return {name: each["value"] for name, each in json.loads(_terraform(folder, "output", "-json")).items()}


def test_every_file_is_read_and_formatted() -> None:
    """`terraform fmt` parses each file, and would change none."""
    assert len(list(FOLDER.rglob("*.tf"))) == 7
    assert _terraform(FOLDER, "fmt", "-check", "-recursive", "-list=true") == ""


@pytest.mark.parametrize("prefix", ["", "production/"])
def test_a10_its_lifecycle_rules_are_those_of_the_command(tmp_path: Path, prefix: str) -> None:
    """With the same ids, so that `fhirstore lifecycle check` finds nothing to say."""
    got = _documents(tmp_path, bucket="b", prefix=prefix)["rules"]
    printed = CliRunner().invoke(app, ["lifecycle", "print", "--json"], env={"FHIRSTORE_STORE": f"s3://b/{prefix}"})
    assert printed.exit_code == 0, printed.output
    assert got == json.loads(printed.output)["Rules"]


def test_a10_archiving_is_the_rule_of_the_command(tmp_path: Path) -> None:
    """`archive_after_days` makes the rule that the tenant settings of that name make."""
    got = _documents(tmp_path, bucket="b", prefix="data/", archive_after_days=30)["rules"]
    settings = tmp_path / "tenants.toml"
    settings.write_text("[default]\narchive_after_days = 30\n")
    env = {"FHIRSTORE_STORE": "s3://b/data", "FHIRSTORE_TENANT_SETTINGS": str(settings), "FHIRSTORE_TAGS": "versions"}
    printed = CliRunner().invoke(app, ["lifecycle", "print", "--json"], env=env)
    assert printed.exit_code == 0, printed.output
    wanted = json.loads(printed.output)["Rules"]
    assert isinstance(got, list)
    assert [rule for rule in got if "history" in rule["ID"]] == [rule for rule in wanted if "history" in rule["ID"]]
    assert len(got) == 4


def test_a16_its_policies_are_those_that_are_judged(tmp_path: Path) -> None:
    """Terraform renders each template to the policy that tests/docker/test_policies.py judges."""
    policies = _documents(tmp_path, bucket="clinic-data", prefix="production/")["policies"]
    assert isinstance(policies, dict)
    assert set(policies) == set(ROLES)
    for role, text in policies.items():
        judged = policy(role, bucket="clinic-data", prefix="production/")
        assert tuple(json.loads(text)["Statement"]) == judged.statements
