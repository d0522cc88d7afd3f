"""A setting that is misspelt or malformed stops the start, in one line that names it and says what is possible."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from server.commands.settings import as_markdown, as_text
from server.settings import TABLE, BadSetting, Settings, from_environment, values
from server.settings.unknown import READ_BY_COMMANDS, READ_BY_TESTS
from tests.server.processes import run_command

_ROOT = Path(__file__).parents[2]


def _told(env: dict[str, str]) -> str:
    with pytest.raises(BadSetting) as caught:
        from_environment(env)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("FHIRSTORE_BASEURL", "FHIRSTORE_BASE_URL"),
        ("FHIRSTORE_TENANT", "FHIRSTORE_TENANTS"),
        ("FHIRSTORE_VALIDATE", "FHIRSTORE_VALIDATION"),
        ("FHIRSTORE_MAX_BODY", "FHIRSTORE_MAX_BODY_BYTES"),
        ("fhirstore_store", "FHIRSTORE_STORE"),
        ("FHIRSTORE_PORT", "PORT"),
        ("FHIRSTORE_AWS_REGION", "AWS_REGION"),
    ],
)
def test_an_unknown_variable_is_named_with_the_nearest_known_one(name: str, meant: str) -> None:
    """A misspelt name is never passed over."""
    assert _told({name: "1"}) == f"{name}: no such setting; did you mean {meant}?"


def test_a_variable_like_none_leads_to_the_list() -> None:
    """Where nothing is near, the message says where the names are."""
    assert _told({"FHIRSTORE_QQQQ": ""}) == (
        "FHIRSTORE_QQQQ: no such setting; `fhirstore settings` lists those that exist"
    )


def test_seconds_are_a_number_above_zero() -> None:
    """Whole or with a fraction; no sign, no exponent, no unit."""
    assert (values.seconds("30"), values.seconds("0.25")) == (30.0, 0.25)
    for wrong in ("0", "0.0", "-1", "1e3", "30s", "nan", "inf", "1.", "٣"):
        with pytest.raises(ValueError, match="must be a positive number of seconds"):
            values.seconds(wrong)


def test_every_bucket_that_cannot_be_a_folder_is_named(tmp_path: Path) -> None:
    """In a `file:` store a tenant's bucket is a folder, named as tenants are; nothing is made before that is known."""
    env = {
        "FHIRSTORE_TENANCY": "bucket",
        "FHIRSTORE_TENANT_BUCKETS": "a=ok,b=../x,c=C",
        "FHIRSTORE_STORE": f"file:{tmp_path}",
    }
    ended = run_command({**env, "FHIRSTORE_TENANT_SOURCE": "header"}, "serve")
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (2, "", 1)
    assert "'../x', 'C'" in ended.stderr
    assert list(tmp_path.iterdir()) == []


def test_all_that_is_wrong_is_told_at_once() -> None:
    """One start shows every bad variable, in one line."""
    told = _told({"FHIRSTORE_VALIDATON": "off", "FHIRSTORE_VALIDATION": "on", "PORT": "x\ny", "HOST": "http://a"})
    for name in ("FHIRSTORE_VALIDATON", "FHIRSTORE_VALIDATION", "PORT", "HOST"):
        assert f"{name}: " in told
    assert "\n" not in told


def test_what_kubernetes_and_the_tests_set_is_no_mistake() -> None:
    """A Service called fhirstore puts variables with our prefix into every container; the tests have some, too."""
    linked = {
        "FHIRSTORE_SERVICE_HOST": "10.0.0.7",
        "FHIRSTORE_SERVICE_PORT": "8000",
        "FHIRSTORE_SERVICE_PORT_HTTP": "8000",
        "FHIRSTORE_PORT": "tcp://10.0.0.7:8000",
        "FHIRSTORE_PORT_8000_TCP": "tcp://10.0.0.7:8000",
        "FHIRSTORE_PORT_8000_TCP_PROTO": "tcp",
        "FHIRSTORE_PORT_8000_TCP_PORT": "8000",
        "FHIRSTORE_PORT_8000_TCP_ADDR": "10.0.0.7",
        "FHIRSTORE_MINIO_SERVICE_HOST": "10.0.0.8",
        "FHIRSTORE_MINIO_PORT": "tcp://10.0.0.8:9000",
    }
    assert from_environment({**linked, **dict.fromkeys(READ_BY_TESTS | READ_BY_COMMANDS, "1")}) == Settings()


def test_the_variables_of_the_tests_are_those_that_the_tests_read() -> None:
    """Every FHIRSTORE_ name in the tests and harnesses is a setting or listed as theirs, or here to be refused."""
    named: set[str] = set()
    for folder in ("tests", "conformance"):
        for path in (_ROOT / folder).rglob("*.py"):
            if path != Path(__file__):
                named |= set(re.findall(r"\bFHIRSTORE_[A-Z0-9_]*[A-Z0-9]\b", path.read_text()))
    assert named - {one.name for one in TABLE.values()} - READ_BY_COMMANDS == READ_BY_TESTS


@pytest.mark.parametrize(
    "url",
    [
        "fhir.example.org",
        "ftp://fhir.example.org/fhir",
        "https:///fhir",
        "https://fhir.example.org:port/fhir",
        "https://fhir.example.org:0",
        "https://a b/fhir",
        "https://fhir.example.org/fhir?x=1",
        "https://fhir.example.org/fhir#x",
        "https://fhir.example.org/fhir?",
        "https://user:secret@fhir.example.org/fhir",
        "https://fhir.example.org/a//b",
        "https://fhir.example.org/../b",
        "https://fhir.example.org\\fhir",
        "https://[::1/fhir",
        "https://-x-.example.org",
    ],
)
@pytest.mark.parametrize("name", ["FHIRSTORE_BASE_URL", "FHIRSTORE_S3_ENDPOINT_URL"])
def test_a_url_that_is_none_is_refused_without_repeating_a_password(name: str, url: str) -> None:
    """Not even where the variable has no part in what is started: an endpoint beside a `file:` store."""
    if name == "FHIRSTORE_S3_ENDPOINT_URL" and ("//b" in url or ".." in url):
        pytest.skip("an S3 server's path is its own affair")
    told = _told({name: url})
    assert told.startswith(f"{name}: must be ") or told.startswith(f"{name}: must have ")
    assert "secret" not in told


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://fhir.example.org/fhir/", "https://fhir.example.org/fhir"),
        ("http://127.0.0.1:8000/fhir", "http://127.0.0.1:8000/fhir"),
        ("https://[2001:db8::1]:8443/a/b", "https://[2001:db8::1]:8443/a/b"),
        (" https://fhir_1.internal\r", "https://fhir_1.internal"),
        ("", None),
    ],
)
def test_a_base_url_is_kept_without_a_slash_at_its_end(url: str, kept: str | None) -> None:
    """White space around a value is not part of it; an empty value is none."""
    assert from_environment({"FHIRSTORE_BASE_URL": url}).base_url == kept


def test_every_malformed_tenant_is_named() -> None:
    """Whoever reads the message need not start again to find the next one."""
    told = _told({"FHIRSTORE_TENANTS": "good,Bad,b_d,-x", "FHIRSTORE_TENANT_SOURCE": "header"})
    assert told.startswith("FHIRSTORE_TENANTS: 'Bad', 'b_d', '-x' are no tenant ids; ")
    told = _told({"FHIRSTORE_TENANCY": "bucket", "FHIRSTORE_TENANT_BUCKETS": "A=a,ok=b,C=c"})
    assert told.startswith("FHIRSTORE_TENANT_BUCKETS: 'A', 'C' are no tenant ids; ")
    assert "'*' is no tenant id" in _told({"FHIRSTORE_TENANTS": "a,*", "FHIRSTORE_TENANT_SOURCE": "header"})


@pytest.mark.parametrize(
    ("env", "says"),
    [
        ({"FHIRSTORE_TENANTS": "a,b,a"}, "repeated: 'a'"),
        ({"FHIRSTORE_TENANTS": " , "}, "FHIRSTORE_TENANTS: is empty"),
        ({"FHIRSTORE_TENANTS": ""}, "FHIRSTORE_TENANTS: is empty"),
        ({"FHIRSTORE_TENANTS": "*"}, "no request can name one"),
        ({"FHIRSTORE_TENANTS": "a,b"}, "no request can name one"),
        ({"FHIRSTORE_TENANCY": "bucket", "FHIRSTORE_TENANT_BUCKETS": "a=x,b=x"}, "two tenants share 'x'"),
        ({"FHIRSTORE_TENANCY": "bucket", "FHIRSTORE_TENANT_BUCKETS": "a=x,a=y"}, "repeated: 'a'"),
        ({"FHIRSTORE_TENANCY": "bucket", "FHIRSTORE_TENANT_BUCKETS": "a=x,b,=c"}, "not 'b', '=c'"),
        ({"FHIRSTORE_TENANCY": "bucket", "FHIRSTORE_TENANT_BUCKETS": "a=x,b=y"}, "no request can name one"),
        ({"FHIRSTORE_CORS_ORIGINS": "https://a/path"}, "'https://a/path'"),
        ({"FHIRSTORE_CORS_ORIGINS": "https://"}, "'https:'"),
        ({"FHIRSTORE_CORS_ORIGINS": "https://a,https://a"}, "repeated: 'https://a'"),
        ({"FHIRSTORE_CORS_ORIGINS": "*,https://a"}, "* alone"),
        ({"FHIRSTORE_ALLOWED_HOSTS": "https://a"}, "'https://a'"),
        ({"FHIRSTORE_ALLOWED_HOSTS": "a:8000"}, "'a:8000'"),
        ({"FHIRSTORE_ALLOWED_HOSTS": "*,a"}, "* alone"),
        ({"PORT": "65536"}, "not '65536'"),
        ({"PORT": "-1"}, "not '-1'"),
        ({"HOST": "127.0.0.1:8000"}, "HOST: must be"),
        ({"HOST": "a..b"}, "HOST: must be"),
        ({"AWS_REGION": "eu central"}, "AWS_REGION: must be"),
        ({"FHIRSTORE_MAX_BODY_BYTES": "16MB"}, "not '16MB'"),
        ({"FHIRSTORE_ENABLE_PURGE": "yes"}, "true or false"),
    ],
)
def test_what_is_malformed_or_contradicts_itself_is_refused(env: dict[str, str], says: str) -> None:
    """The message quotes what is wrong."""
    assert says in _told(env)


@pytest.mark.parametrize(
    "env",
    [
        {"FHIRSTORE_BASE_URI": "https://fhir.example.org/fhir"},
        {"FHIRSTORE_BASE_URL": "fhir.example.org/fhir"},
        {"FHIRSTORE_TENANTS": "Clinic A"},
        {"FHIRSTORE_S3_ENDPOINT_URL": "minio:9000"},
        {"FHIRSTORE_CORS_ORIGINS": "app.example.org"},
        {"PORT": "http"},
        {"HOST": "http://localhost"},
    ],
)
@pytest.mark.slow
def test_a_bad_setting_ends_the_start_before_anything_is_done(env: dict[str, str], tmp_path: Path) -> None:
    """Exit code 2, one line on stderr, no banner, and no store; for the commands beside `serve`, too."""
    for command in ("serve", "sweep") if "HOST" in env else ("serve",):
        ended = run_command({**env, "FHIRSTORE_STORE": f"file:{tmp_path}/data"}, command)
        assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (2, "", 1)
        assert ended.stderr.startswith(f"fhirstore: {next(iter(env))}: ")
    assert list(tmp_path.iterdir()) == []


def test_the_page_about_settings_is_the_table(tmp_path: Path) -> None:
    """docs/settings.md holds what `fhirstore settings --markdown` prints, and text form has every name."""
    printed = run_command({}, "settings", "--markdown").stdout
    assert printed == as_markdown()
    assert printed in (_ROOT / "docs" / "settings.md").read_text(), "run: fhirstore settings --markdown"
    for name, one in TABLE.items():
        assert f"\n{one.name}" in "\n" + as_text()
        assert one.meaning.endswith("."), name
        assert "|" not in one.unset + one.meaning, name


def test_commands_without_requests_need_no_tenant_source() -> None:
    """`fsck` of all tenants is possible where a server could not tell which tenant a request means."""
    env = {"FHIRSTORE_TENANTS": "*"}
    assert from_environment(env, serving=False).tenants is None
    with pytest.raises(BadSetting, match="FHIRSTORE_TENANT_SOURCE"):
        from_environment(env)
