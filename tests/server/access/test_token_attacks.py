"""Tokens that an attacker could make are refused, each for its own reason; none is looked at twice."""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from joserfc.jwk import OctKey

from fhirstore import Access
from fhirstore.errors import SourceFailed
from server.access.tokens.bad_token import Unauthorized
from server.access.tokens.issuers import OutsideIssuer
from server.access.tokens.key_sets import ROTATION, KeysUnavailable
from server.access.tokens.verification import MOST_KEPT, Verification
from server.settings import Settings
from tests.server.access.signing import NOW, AnyKey, base64url, ec_key, public, rsa_key, signed

ISSUER = "https://login.example.org/realms/clinic"
AUDIENCE = "https://fhir.example.org/fhir"
SETTINGS = Settings(auth="jwt", auth_issuers=(ISSUER,), auth_audience=(AUDIENCE,), base_url=AUDIENCE)
EC = ec_key("ec")
RSA = rsa_key("rsa")
STRANGER = ec_key("ec")  # another key under the same name
GOOD: dict[str, object] = {
    "iss": ISSUER,
    "aud": AUDIENCE,
    "sub": "user-1",
    "azp": "app",
    "scope": "patient/*.rs openid email",
    "patient": "p1",
    "tenant": "default",
    "exp": NOW + 300,
    "iat": NOW,
}


@dataclass
class Outside:
    """An issuer's documents, and what was fetched. `now`: seconds of both clocks."""

    keys: tuple[AnyKey, ...] = (EC, RSA)
    fetched: list[str] = field(default_factory=list)
    down: bool = False
    now: float = NOW
    issuer: str = ISSUER

    async def fetch(self, url: str, *, private: bool = True) -> bytes:
        self.fetched.append(url)
        if self.down:
            raise SourceFailed("down", again=True)
        if url == f"{ISSUER}/.well-known/openid-configuration":
            return json.dumps({"issuer": self.issuer, "jwks_uri": f"{ISSUER}/keys"}).encode()
        assert url == f"{ISSUER}/keys", "nothing else is ever fetched"
        return json.dumps(public(*self.keys)).encode()

    def verification(self, settings: Settings = SETTINGS) -> Verification:
        clock: Callable[[], float] = lambda: self.now  # noqa: E731 - the test moves it
        issuer = OutsideIssuer(ISSUER, settings, fetch=self.fetch, now=clock, release="4.0")
        return Verification({ISSUER: issuer}, now=clock)


async def access(token: str, outside: Outside | None = None, settings: Settings = SETTINGS) -> Access:
    verification = (outside or Outside()).verification(settings)
    return (await verification.verified({b"authorization": f"Bearer {token}".encode()})).access


async def test_a_good_token_gives_what_it_says() -> None:
    """Scopes that are not about FHIR are left out; the client is told apart by its issuer."""
    for key, alg in ((EC, "ES384"), (RSA, "RS256"), (RSA, "RS384"), (RSA, "PS256")):
        found = await access(signed(key, GOOD, alg=alg))
        assert (found.subject, found.client, found.tenant) == ("user-1", f"app@{ISSUER}", "default")
        assert (found.patient, [str(scope) for scope in found.scopes]) == ("p1", ["patient/*.rs"])


def _hmac(secret: bytes) -> str:
    """A token whose HMAC has a public key for its secret, in a form in which everybody can have it."""
    text = f"{_part({'alg': 'HS256', 'typ': 'JWT', 'kid': 'ec'})}.{_part(GOOD)}"
    return f"{text}.{base64url(hmac.digest(secret, text.encode(), 'sha256'))}"


def _part(value: object) -> str:
    return base64url(json.dumps(value).encode())


def _expiring(literal: str) -> str:
    """A token whose expiry is this literal."""
    return signed(EC, json.dumps({**GOOD, "exp": 1}).replace('"exp": 1', f'"exp": {literal}').encode())


def _unsigned(alg: str) -> str:
    header = base64url(json.dumps({"alg": alg, "typ": "JWT", "kid": "ec"}).encode())
    return f"{header}.{base64url(json.dumps(GOOD).encode())}."


def _but(**changes: object) -> str:
    return signed(EC, {name: value for name, value in {**GOOD, **changes}.items() if value is not ...})


_WHOLE = signed(EC, GOOD)
_SPARE = signed(RSA, GOOD, alg="RS256", header={"kid": "rsa"})
"""Its last character, one of A, Q, g and w, has four bits that no byte is made of."""
_TWICE = json.dumps(GOOD)[:-1].encode() + b', "patient": "p2"}'
ATTACKS: dict[str, tuple[str, str]] = {
    "alg none": (_unsigned("none"), "no signed JWT"),
    "alg None": (_unsigned("None"), "no signed JWT"),
    "alg none with a signature": (_unsigned("none") + base64url(b"x"), "algorithm"),
    "no alg": ("e30.e30.e30", "algorithm"),
    "HS256 with the public key as secret, PEM": (_hmac(EC.as_pem(private=False)), "algorithm"),
    "HS256 with the public key as secret, JWK": (_hmac(json.dumps(EC.as_dict(private=False)).encode()), "algorithm"),
    "an RSA name on an EC key": (signed(RSA, GOOD, alg="RS256", header={"kid": "ec"}), "not signed"),
    "an EC name on an RSA key": (signed(EC, GOOD, header={"kid": "rsa"}), "not signed"),
    "another key of the same kid": (signed(STRANGER, GOOD), "not signed"),
    "an unknown kid": (signed(STRANGER, GOOD, header={"kid": "other"}), "not signed"),
    "no kid": (signed(STRANGER, GOOD, header={"kid": None}), "not signed"),
    "a kid that is a path": (signed(STRANGER, GOOD, header={"kid": "../../dev/null"}), "not signed"),
    "a kid that is no text": (signed(EC, GOOD, header={"kid": 7}), "kid"),
    "ES256 by a key of P-384": (signed(EC, GOOD, alg="ES384", header={"alg": "ES256"}), "not signed"),
    "jku to another host": (signed(STRANGER, GOOD, header={"jku": "https://evil.example/keys"}), "not signed"),
    "x5u to another host": (signed(STRANGER, GOOD, header={"x5u": "https://evil.example/cert"}), "not signed"),
    "its own key": (signed(STRANGER, GOOD, header={"jwk": STRANGER.as_dict(private=False)}), "not signed"),
    "crit": (signed(EC, GOOD, header={"crit": ["exp"]}), "critical"),
    "crit, and b64 false": (signed(EC, GOOD, header={"crit": ["b64"], "b64": False}), "critical"),
    "typ of a logout token": (signed(EC, GOOD, header={"typ": "logout+jwt"}), "type"),
    "typ is no text": (signed(EC, GOOD, header={"typ": []}), "type"),
    "a foreign issuer": (_but(iss="https://evil.example"), "issuer"),
    "an issuer with a slash more": (_but(iss=f"{ISSUER}/"), "issuer"),
    "no issuer": (_but(iss=...), "issuer"),
    "the issuer is a list": (_but(iss=[ISSUER]), "issuer"),
    "the issuer of the server's own tokens": (_but(iss="urn:fhirstore"), "issuer"),
    "for another server": (_but(aud="https://other.example/fhir"), "aud"),
    "for other servers": (_but(aud=["https://other.example", f"{AUDIENCE}/"]), "aud"),
    "for nobody": (_but(aud=[]), "aud"),
    "no audience": (_but(aud=...), "aud"),
    "the audience is an object": (_but(aud={AUDIENCE: 1}), "aud"),
    "an audience that is no text": (_but(aud=[AUDIENCE, 1]), "aud"),
    "expired": (_but(exp=NOW - 31), "expired"),
    "no expiry": (_but(exp=...), "exp"),
    "a negative expiry": (_but(exp=-1), "exp"),
    "an expiry that is null": (_but(exp=None), "exp"),
    "an expiry that is a text": (_but(exp="2100000000"), "exp"),
    "an expiry that is true": (_but(exp=True), "exp"),
    "an expiry of 400 digits": (_expiring("9" * 400), "exp"),
    "an expiry of 5,000 digits": (_expiring("9" * 5_000), "JSON"),
    "an expiry of 1e999": (_expiring("1e999"), "JSON"),
    "an expiry that is NaN": (_expiring("NaN"), "JSON"),
    "not valid yet": (_but(nbf=NOW + 31), "nbf"),
    "issued in the future": (_but(iat=NOW + 31), "iat"),
    "bound to a key": (_but(cnf={"jkt": "x"}), "bound"),
    "a claim that is there twice": (signed(EC, _TWICE), "twice"),
    "no claims but a list": (signed(EC, b"[]"), "JSON object"),
    "no UTF-8": (signed(EC, b'{"iss": "\xff"}'), "JSON object"),
    "10,000 brackets": (signed(EC, b"[" * 10_000), "JSON object"),
    "a scope that cannot be enforced": (_but(scope="patient/Observation.rs?_content=x"), "enforced"),
    "a scope of an unknown type": (_but(scope="system/Everything.rs"), "enforced"),
    "a scope with letters out of order": (_but(scope="system/Patient.sr"), "enforced"),
    "a scope that is no text": (_but(scope={"patient/*.rs": True}), "scope"),
    "a patient that is a path": (_but(patient="../p2"), "patient"),
    "a patient that is a list": (_but(patient=["p1"]), "patient"),
    "a tenant that is a list": (_but(tenant=["default"]), "tenant"),
    "no subject": (_but(sub=...), "sub"),
    "cut off": (_WHOLE[:-8], "not signed"),
    "cut off in its claims": (_WHOLE.rpartition(".")[0], "no signed JWT"),
    "another claim under the same signature": (
        ".".join((_WHOLE.split(".")[0], _but(patient="p2").split(".")[1], _WHOLE.split(".")[2])),
        "not signed",
    ),
    "a padded signature": (_WHOLE + "=", "no signed JWT"),
    "bits that do not count": (_SPARE[:-1] + chr(ord(_SPARE[-1]) + 1), ""),
    "no base64": ("a.b.c", ""),
    "encrypted": ("a.b.c.d.e", "no signed JWT"),
    "oversized": (_but(padding="x" * 17_000), "16,384"),
    "an oversized header": (signed(EC, GOOD, header={"x": "x" * 5_000}), "header"),
}  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS)
async def test_a_token_of_an_attacker_is_refused(attack: str) -> None:
    """401 with a challenge that says why, and nothing of the token."""
    token, why = ATTACKS[attack]
    outside = Outside()
    with pytest.raises(Unauthorized) as refused:
        await access(token, outside)
    challenge = (refused.value.headers or {})["WWW-Authenticate"]
    assert challenge.startswith('Bearer realm="fhirstore", error="invalid_token", error_description="')
    assert why in challenge
    assert len(outside.fetched) <= 4


def test_every_attack_is_a_token_of_its_own() -> None:
    """So that none passes because it equals another one."""
    assert len({token for token, _ in ATTACKS.values()}) == len(ATTACKS)


_NO_BEARER = [b"", b"Bearer", b"Bearer ", b"Basic eA==", b"Bearer a b", b"Bearer a, Bearer b", b"Token x"]


@pytest.mark.parametrize("header", _NO_BEARER)
async def test_a_header_without_one_bearer_token_is_no_authentication(header: bytes) -> None:
    """401 without an error, as RFC 6750 has it for a request without a token."""
    with pytest.raises(Unauthorized) as refused:
        await Outside().verification().verified({b"authorization": header})
    assert (refused.value.headers or {})["WWW-Authenticate"] == 'Bearer realm="fhirstore"'


async def test_clocks_may_differ_by_half_a_minute() -> None:
    """Not more."""
    await access(_but(exp=NOW - 29, iat=NOW + 29, nbf=NOW + 29))


async def test_a_verified_token_is_looked_up_until_it_expires() -> None:
    """Then it is verified again, and refused."""
    outside = Outside()
    verification = outside.verification()
    headers = {b"authorization": f"Bearer {_WHOLE}".encode()}
    first = await verification.verified(headers)
    assert await verification.verified(headers) is first
    outside.now = NOW + 300 + 30
    with pytest.raises(Unauthorized, match="expired"):
        await verification.verified(headers)


async def test_a_bounded_number_of_tokens_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who shows many tokens does not fill the memory."""
    monkeypatch.setattr("server.access.tokens.verification.MOST_KEPT", 3)
    assert MOST_KEPT > 3
    verification = Outside().verification()
    for n in range(10):
        await verification.verified({b"authorization": f"Bearer {_but(jti=str(n))}".encode()})
    assert len(verification._kept) == 3


async def test_keys_are_rotated_without_a_restart() -> None:
    """A token with a new kid makes the server look, at most once in half a minute however many unknown kids come."""
    outside = Outside()
    verification = outside.verification()
    await verification.verified({b"authorization": f"Bearer {_WHOLE}".encode()})
    before = len(outside.fetched)
    new = ec_key("new")
    token = {b"authorization": f"Bearer {signed(new, GOOD)}".encode()}
    outside.now += ROTATION + 1
    for n in range(20):
        with pytest.raises(Unauthorized):
            await verification.verified(
                {b"authorization": f"Bearer {signed(STRANGER, GOOD, header={'kid': str(n)})}".encode()}
            )
    assert len(outside.fetched) == before + 2  # the configuration and the keys
    outside.keys = (new,)
    with pytest.raises(Unauthorized):
        await verification.verified(token)
    outside.now += ROTATION + 1
    await verification.verified(token)


async def test_an_issuer_that_is_down_is_asked_again_and_its_known_keys_count() -> None:
    """503 where no keys are known; an outage of a few hours is none for those that are."""
    outside = Outside(down=True)
    verification = outside.verification()
    headers = {b"authorization": f"Bearer {_but(exp=NOW + 90_000)}".encode()}
    for _ in range(20):
        with pytest.raises(KeysUnavailable):
            await verification.verified(headers)
    assert len(outside.fetched) == 1
    outside.down, outside.now = False, outside.now + 6
    await verification.verified(headers)
    outside.down, outside.now = True, outside.now + 7_200
    await verification.verified({b"authorization": f"Bearer {_but(exp=NOW + 90_000, jti='2')}".encode()})


async def test_a_configuration_of_another_issuer_is_not_believed() -> None:
    """Its keys could be anybody's."""
    with pytest.raises(KeysUnavailable):
        await access(_WHOLE, Outside(issuer="https://evil.example"))


@pytest.mark.filterwarnings("ignore:Key size")
async def test_a_symmetric_or_weak_key_in_a_key_set_verifies_nothing() -> None:
    """A secret that is published, and RSA of 1,024 bits."""
    secret, weak = OctKey.generate_key(256, {"kid": "s"}), rsa_key("weak", 1_024)
    outside = Outside(keys=(secret, weak))
    for token in (signed(secret, GOOD, alg="HS256"), signed(weak, GOOD, alg="RS256")):
        with pytest.raises(Unauthorized):
            await access(token, outside)


async def test_the_user_of_another_server_reaches_nothing() -> None:
    """A `fhirUser` counts where it is relative, or below our own base URL."""
    for user, known in (
        ("Patient/p1", "Patient/p1"),
        (f"{AUDIENCE}/Patient/p1", "Patient/p1"),
        (f"{AUDIENCE}/default/Patient/p1", "Patient/p1"),
        ("https://other.example/fhir/Patient/p1", None),
        ("Patient/../p1", None),
    ):
        found = await access(_but(fhirUser=user, scope="user/Patient.rs", patient=...))
        assert found.user == (known or "Person/-")
        assert found.may("r", "Patient") == (known is not None)
