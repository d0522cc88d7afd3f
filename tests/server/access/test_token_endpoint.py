"""The token endpoint: SMART Backend Services as the specification has it, and what attackers try."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator

import httpx
import pytest

from server.settings import Settings
from tests.server.access.signing import base64url, ec_key, public, rsa_key, signed
from tests.server.access.smart_clients import TOKEN_URL, Program, Smart, form, smart

RSA = rsa_key("etl")


@pytest.fixture
async def served() -> AsyncIterator[Smart]:
    """A server with a client `default.etl`."""
    async with smart() as value:
        value.programs["etl"] = await value.register("etl", "system/*.rs", "system/bulk-submit")
        yield value


def refused(answer: httpx.Response, error: str, status: int = 400) -> str:
    """Checks that it is an error of RFC 6749; returns its description."""
    assert (answer.status_code, answer.json()["error"]) == (status, error), answer.text
    assert answer.headers["content-type"] == "application/json"
    assert "no-store" in answer.headers["cache-control"]
    description: str = answer.json()["error_description"]
    return description


async def test_a_client_gets_a_token_and_reads_with_it(served: Smart) -> None:
    """The whole course, from discovery on."""
    found = (await served.client.get("/fhir/.well-known/smart-configuration")).json()
    assert found["token_endpoint"] == TOKEN_URL
    assert {"ES384", "RS384"} == set(found["token_endpoint_auth_signing_alg_values_supported"])
    answer = await served.ask(served.programs["etl"], scope="system/Patient.rs")
    assert answer.status_code == 200
    assert "no-store" in answer.headers["cache-control"]
    token = answer.json()
    assert (token["token_type"], token["expires_in"], token["scope"]) == ("bearer", 300, "system/Patient.rs")
    headers = {"Authorization": f"Bearer {token['access_token']}"}
    assert (await served.client.get("/fhir/Patient", headers=headers)).status_code == 200
    assert (await served.client.get("/fhir/Observation", headers=headers)).status_code == 403


async def test_keys_of_rsa_are_as_good(served: Smart) -> None:
    """RS384 is the other algorithm that SMART requires."""
    program = await served.register("rsa", "system/*.rs", key=RSA)
    assert (await served.ask(program)).status_code == 200


async def test_an_assertion_counts_once(served: Smart) -> None:
    """Also when the same jti comes in another assertion."""
    program = served.programs["etl"]
    assertion = program.assertion(jti="once")
    assert (await served.client.post(TOKEN_URL, data=form(assertion))).status_code == 200
    for again in (assertion, program.assertion(jti="once", exp=int(time.time()) + 100)):
        assert "jti" in refused(await served.client.post(TOKEN_URL, data=form(again)), "invalid_client")


async def test_one_jti_is_not_used_up_by_another_client(served: Smart) -> None:
    """Each client has its own."""
    other = await served.register("other", "system/*.rs")
    for program in (served.programs["etl"], other):
        answer = await served.client.post(TOKEN_URL, data=form(program.assertion(jti="same")))
        assert answer.status_code == 200


class Seconds(int):
    """So many seconds from now, whenever the test runs."""


CLAIMS: dict[str, tuple[dict[str, object], str]] = {
    "another audience": ({"aud": "https://other.example/auth/token"}, "aud"),
    "the base URL as audience": ({"aud": "http://testserver/fhir"}, "aud"),
    "no audience": ({"aud": ...}, "aud"),
    "too long a life": ({"exp": Seconds(3_600)}, "5 minutes"),
    "too long a life since long ago": ({"exp": Seconds(240), "iat": Seconds(-3_600)}, "5 minutes"),
    "expired": ({"exp": Seconds(-60)}, "expired"),
    "no expiry": ({"exp": ...}, "exp"),
    "a negative expiry": ({"exp": -300}, "exp"),
    "not valid yet": ({"nbf": Seconds(120)}, "nbf"),
    "from the future": ({"iat": Seconds(120)}, "iat"),
    "no jti": ({"jti": ...}, "jti"),
    "a jti that is a number": ({"jti": 7}, "jti"),
    "a long jti": ({"jti": "x" * 501}, "jti"),
    "another subject": ({"sub": "default.other"}, "iss and sub"),
    "no subject": ({"sub": ...}, "iss and sub"),
}


@pytest.mark.parametrize("case", CLAIMS)
async def test_a_wrong_claim_is_told_to_whoever_has_the_key(served: Smart, case: str) -> None:
    """400 invalid_client with the claim that is wrong."""
    changes, why = CLAIMS[case]
    now = int(time.time())
    claims = {name: now + int(value) if isinstance(value, Seconds) else value for name, value in changes.items()}
    assertion = served.programs["etl"].assertion(**claims)
    assert why in refused(await served.client.post(TOKEN_URL, data=form(assertion)), "invalid_client")


async def test_nobody_learns_which_clients_there_are(served: Smart) -> None:
    """An unknown client, one of an unknown tenant, a wrong key, a wrong kid, a removed client: the same answer."""
    etl = served.programs["etl"]
    gone = await served.register("gone", "system/*.rs")
    assert await served.store.tenant("default").credentials.clients.remove(gone.id)
    stranger = ec_key("etl")
    tokens = [
        Program("default.nobody", stranger).assertion(),
        Program("nowhere.etl", stranger).assertion(),
        Program("etl", stranger).assertion(),
        Program(etl.id, stranger).assertion(),
        signed(etl.key, etl.claims(), header={"kid": "other"}),
        signed(RSA, etl.claims(), alg="RS384"),
        gone.assertion(),
    ]
    answers = [await served.client.post(TOKEN_URL, data=form(token)) for token in tokens]
    assert len({(answer.status_code, answer.text) for answer in answers}) == 1
    refused(answers[0], "invalid_client")


async def test_only_the_two_algorithms_of_smart_count(served: Smart) -> None:
    """Not `none`, no HMAC with the public key, and not others of the same key."""
    etl = served.programs["etl"]
    unsigned = f"{base64url(json.dumps({'alg': 'none'}).encode())}.{base64url(json.dumps(etl.claims()).encode())}."
    other = await served.register("weak", "system/*.rs", key=rsa_key("weak"))
    for token in (
        unsigned,
        signed(other.key, other.claims(), alg="RS256"),
        signed(other.key, other.claims(), alg="PS384"),
    ):
        refused(await served.client.post(TOKEN_URL, data=form(token)), "invalid_client")


async def test_a_key_is_never_taken_from_the_assertion(served: Smart) -> None:
    """jku that is not registered, x5u, x5c, jwk: refused even with a good signature; no kid as well."""
    etl = served.programs["etl"]
    headers: list[dict[str, object]] = [
        {"jku": "https://evil.example/keys"}, {"x5u": "https://evil.example/cert"}, {"x5c": ["MIIB"]},
        {"jwk": public(etl.key)["keys"][0]}, {"crit": ["exp"]}, {"kid": None},  # type: ignore[index]
    ]  # fmt: skip
    for header in headers:
        token = signed(etl.key, etl.claims(), header=header)
        refused(await served.client.post(TOKEN_URL, data=form(token)), "invalid_client")


SCOPES = {
    "system/*.rs": "system/*.rs",
    "system/*.read": "system/*.read",
    "system/Patient.read system/Observation.rs": "system/Patient.read system/Observation.rs",
    "system/*.cruds": "system/*.rs",
    "system/Patient.write": None,
    "system/bulk-submit": "system/bulk-submit",
    "system/fhirstore.admin": None,
    "system/fhirstore.admin system/Patient.r": "system/Patient.r",
    "system/Everything.rs": None,
    "system/*.rs rubbish": None,
    "patient/*.rs": None,
    "user/*.rs": None,
    "system/Patient.rs?_content=x": None,
    "system/Observation.rs?code=1": "system/Observation.rs?code=1",
    "": "system/*.rs system/bulk-submit",
}


@pytest.mark.parametrize("scope", SCOPES)
async def test_no_more_is_granted_than_was_registered(served: Smart, scope: str) -> None:
    """What was asked for and registered, in the form that was asked for; unknown scopes are never passed over."""
    answer = await served.ask(served.programs["etl"], scope=scope)
    if SCOPES[scope] is None:
        refused(answer, "invalid_scope")
    else:
        assert answer.json()["scope"] == SCOPES[scope]


async def test_a_client_of_a_part_is_granted_that_part(served: Smart) -> None:
    """system/*.rs, which every bulk client asks for, becomes what it may have."""
    program = await served.register("part", "system/Patient.rs", "system/Observation.cruds?code=1")
    assert (await served.ask(program)).json()["scope"] == "system/Patient.rs system/Observation.rs?code=1"


FORMS: dict[str, tuple[dict[str, str], str]] = {
    "another grant": ({"grant_type": "authorization_code"}, "unsupported_grant_type"),
    "a refresh": ({"grant_type": "refresh_token", "refresh_token": "x"}, "unsupported_grant_type"),
    "no grant": ({"grant_type": ""}, "invalid_request"),
    "another kind of assertion": ({"client_assertion_type": "urn:x"}, "invalid_request"),
    "no assertion": ({"client_assertion": ""}, "invalid_request"),
    "an assertion that is none": ({"client_assertion": "x"}, "invalid_client"),
    "an oversized assertion": ({"client_assertion": "x" * 20_000}, "invalid_client"),
    "a secret": ({"client_secret": "x"}, "invalid_client"),
}


@pytest.mark.parametrize("case", FORMS)
async def test_a_wrong_form_has_the_error_of_rfc_6749(served: Smart, case: str) -> None:
    """400 with its name."""
    changes, error = FORMS[case]
    refused(await served.ask(served.programs["etl"], **changes), error)


async def test_a_parameter_that_is_sent_twice_is_refused(served: Smart) -> None:
    """As RFC 6749 has it: two readers could take another one."""
    data = {**form(served.programs["etl"].assertion()), "scope": ["system/Patient.rs", "system/*.rs"]}
    refused(await served.client.post(TOKEN_URL, data=data), "invalid_request")


async def test_other_bodies_and_methods_are_refused(served: Smart) -> None:
    """JSON, what is no form, too many bytes; GET with the assertion in the URL; a secret in the header."""
    client, data = served.client, form(served.programs["etl"].assertion())
    refused(await client.post(TOKEN_URL, json=data), "invalid_request")
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    refused(await client.post(TOKEN_URL, content=b"\xff=1", headers=kind), "invalid_request")
    refused(await client.post(TOKEN_URL, content=b"a=1&" * 100, headers=kind), "invalid_request")
    refused(await client.post(TOKEN_URL, content=b"a=" + b"x" * 70_000, headers=kind), "invalid_request", 413)
    assert (await client.get(TOKEN_URL, params=data)).status_code == 405
    refused(await client.post(TOKEN_URL, data=data, auth=("default.etl", "secret")), "invalid_client")


async def test_a_client_that_keeps_failing_has_to_wait(served: Smart) -> None:
    """429 with Retry-After before any work is done; other clients at the same address are served."""
    stranger = Program("default.etl", ec_key("etl"))
    statuses = [(await served.ask(stranger)).status_code for _ in range(20)]
    assert statuses[:10] == [400] * 10
    assert statuses[-1] == 429
    answer = await served.ask(stranger)
    assert int(answer.headers["Retry-After"]) >= 1
    refused(answer, "temporarily_unavailable", 429)
    other = await served.register("other", "system/*.rs")
    assert (await served.ask(other)).status_code == 200


async def test_a_token_is_no_assertion_and_an_assertion_no_token(served: Smart) -> None:
    """Neither opens what the other one does."""
    program = served.programs["etl"]
    token = (await served.ask(program)).json()["access_token"]
    refused(await served.client.post(TOKEN_URL, data=form(token)), "invalid_client")
    headers = {"Authorization": f"Bearer {program.assertion()}"}
    assert (await served.client.get("/fhir/Patient", headers=headers)).status_code == 401


async def test_tokens_count_in_every_process_until_their_key_is_replaced() -> None:
    """A second process verifies what the first one issued, from the store alone; new keys end both within a minute,
    also for a token that is used all the time."""
    from fhirstore import FhirStore
    from fhirstore.objects.memory import MemoryStore
    from fhirstore.tenancy import PrefixTenancy
    from server.access.smart.own_tokens import OwnTokens, key_maker
    from server.access.tokens.bad_token import Unauthorized
    from server.access.tokens.verification import Verification

    objects = MemoryStore()
    moved, began = 0.0, time.time()
    stores = [FhirStore(PrefixTenancy(objects, frozenset({"default"}))) for _ in range(2)]
    one, other = (OwnTokens(store, monotonic=lambda: moved) for store in stores)
    from fhirstore import Client

    client = Client(id="default.etl", tenant="default", scopes=("system/*.rs",), jwks=public(ec_key("k")))
    token = await one.issue(client, "system/*.rs")
    headers = {b"authorization": f"Bearer {token}".encode()}
    processes = [Verification({"urn:fhirstore": tokens}, now=lambda: began + moved) for tokens in (one, other)]
    for verification in processes:
        assert (await verification.verified(headers)).access.client == "default.etl"
    await stores[0].tenant("default").credentials.keys.for_signing(key_maker("default"), anew=True)
    for verification in processes:
        moved = 0.0
        with pytest.raises(Unauthorized):
            while moved <= 61:
                moved += 1
                await verification.verified(headers)
    assert (await one.issue(client, "system/*.rs")).split(".")[0] != token.split(".")[0]


async def test_with_tenants_in_paths_each_has_its_own_endpoint() -> None:
    """A client of one tenant gets no token at that of another one, and nobody learns which there are."""
    settings = Settings(auth="smart", tenant_source="path", tenants=frozenset({"a", "b"}))
    async with smart(settings) as served:
        program = await served.register("etl", "system/*.rs", tenant="a")
        program.token_url = "http://testserver/fhir/a/auth/token"
        headers = await served.headers(program)
        assert (await served.client.get("/fhir/a/Patient", headers=headers)).status_code == 200
        assert (await served.client.get("/fhir/b/Patient", headers=headers)).status_code == 403
        told = set()
        for tenant in ("b", "nowhere"):
            url = f"http://testserver/fhir/{tenant}/auth/token"
            answer = await served.client.post(url, data=form(program.assertion(aud=url)))
            told.add((answer.status_code, answer.text))
        assert len(told) == 1
        found = [
            (await served.client.get(f"/fhir/{t}/.well-known/smart-configuration")).status_code
            for t in ("b", "nowhere")
        ]
        assert found == [200, 200]
