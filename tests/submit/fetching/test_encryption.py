"""Encrypted manifests and files: JWE under a key that is itself delivered as a JWE."""

from __future__ import annotations

import base64
import gzip
import json
import os
import zlib
from dataclasses import replace
from pathlib import Path

import pytest
from joserfc import jwe
from joserfc.jwk import ECKey, Key, OctKey, RSAKey

from fhirstore.submit.fetching.limits import FetchLimits
from fhirstore.submit.fetching.sources import NetworkSources
from fhirstore.submit.source import Access, EncryptionKey, Wanted
from tests.submit.fetching.serving import QUICK, Provider, body, fetched, refusal, said, serving, submitter

SYSTEM = "http://hl7.org/fhir/uv/bulkdata/ValueSet/file-encryption-type"
OURS = RSAKey.generate_key(2048)
CONTENT = b"".join(b'{"resourceType":"Patient","id":"%d"}\n' % n for n in range(30_000))
WRAPPING = ["RSA-OAEP-256", "A256GCM"]
ENC = {"A128GCM": 16, "A192GCM": 24, "A256GCM": 32, "A128CBC-HS256": 32, "A192CBC-HS384": 48, "A256CBC-HS512": 64}


def delivered(key: bytes, *, form: str = "jwk", ours: Key = OURS) -> EncryptionKey:
    """`fileEncryptionKey` for this key."""
    encoded = base64.urlsafe_b64encode(key).rstrip(b"=")
    content = {"jwk": json.dumps({"kty": "oct", "k": encoded.decode()}).encode(), "octets": key, "text": encoded}[form]
    algorithm = "RSA-OAEP-256" if isinstance(ours, RSAKey) else "ECDH-ES"
    value = jwe.encrypt_compact({"alg": algorithm, "enc": "A256GCM"}, content, ours, algorithms=[algorithm, "A256GCM"])
    return EncryptionKey(SYSTEM, "jwe", value)


def encrypted(content: bytes, key: bytes, **header: str) -> bytes:
    """A JWE of the content, by another implementation than ours."""
    protected = {"alg": "dir", "enc": "A256GCM", **header}
    algorithms = [protected["alg"], protected["enc"], "DEF"]
    return jwe.encrypt_compact(protected, content, OctKey.import_key(key), algorithms=algorithms).encode()


def sources_with(ours: Key = OURS, *, limits: FetchLimits = QUICK) -> NetworkSources:
    return NetworkSources(limits=limits, secrets={"DECRYPTION_KEY": json.dumps(ours.as_dict(private=True))}.get)


def access(provider: Provider, key: EncryptionKey) -> Access:
    return Access(submitter(provider, keys=True), encryption=key)


@pytest.mark.parametrize("enc", ENC)
@pytest.mark.parametrize("size", [0, 1, 16, 262_144, len(CONTENT)])
async def test_a_file_is_decrypted(enc: str, size: int) -> None:
    """Of any size, by all algorithms of RFC 7518 section 5."""
    key = os.urandom(ENC[enc])
    async with serving(body(encrypted(CONTENT[:size], key, enc=enc), ETag='"v1"')) as provider:
        found, etag = await fetched(access(provider, delivered(key)), provider.url(), sources=sources_with())
        assert found == CONTENT[:size] and etag == 'coded "v1"'


@pytest.mark.parametrize("form", ["jwk", "octets", "text"])
@pytest.mark.parametrize("ours", [OURS, ECKey.generate_key("P-256")], ids=["RSA", "EC"])
async def test_the_key_is_delivered_in_any_form(form: str, ours: Key) -> None:
    """As a JWK, as octets, as text; for an RSA and for an EC key of ours."""
    key = os.urandom(32)
    async with serving(body(encrypted(CONTENT, key))) as provider:
        given = delivered(key, form=form, ours=ours)
        assert (await fetched(access(provider, given), provider.url(), sources=sources_with(ours)))[0] == CONTENT


async def test_a_file_may_have_a_key_of_its_own() -> None:
    """Wrapped by the delivered one."""
    key = os.urandom(32)
    async with serving(body(encrypted(CONTENT, key, alg="A256KW"))) as provider:
        assert (await fetched(access(provider, delivered(key)), provider.url(), sources=sources_with()))[0] == CONTENT


@pytest.mark.parametrize("how", ["zip", "inside", "outside"])
async def test_an_encrypted_file_may_be_compressed(how: str) -> None:
    """By JWE itself, before it, and by the answer's coding; and it is continued from its beginning."""
    key = os.urandom(32)
    content = encrypted(CONTENT, key, zip="DEF") if how == "zip" else encrypted(CONTENT, key)
    content = encrypted(gzip.compress(CONTENT), key) if how == "inside" else content
    headers = {"Content_Encoding": "gzip"} if how == "outside" else {}
    content = gzip.compress(content) if how == "outside" else content
    async with serving(body(content, ETag='"v1"', **headers)) as provider:
        given = access(provider, delivered(key))
        assert (await fetched(given, provider.url(), sources=sources_with()))[0] == CONTENT
        wanted = Wanted(provider.url(), 777_777, 'coded "v1"')
        assert (await fetched(given, wanted, sources=sources_with()))[0] == CONTENT[777_777:]


@pytest.mark.parametrize("enc", ["A256GCM", "A128CBC-HS256"])
@pytest.mark.parametrize("part", [0, 2, 3, 4])
async def test_nothing_of_a_damaged_file_is_handed_on(enc: str, part: int) -> None:
    """Wherever the damage is: the tag is verified before the first byte."""
    key = os.urandom(32)
    parts = encrypted(CONTENT, key, enc=enc).split(b".")
    if part == 0:
        header = json.loads(base64.urlsafe_b64decode(parts[0] + b"=="))
        parts[0] = base64.urlsafe_b64encode(json.dumps({**header, "kid": "x"}).encode()).rstrip(b"=")
    else:
        at = len(parts[part]) // 2
        parts[part] = parts[part][:at] + (b"A" if parts[part][at : at + 1] != b"A" else b"B") + parts[part][at + 1 :]
    async with serving(body(b".".join(parts))) as provider:
        got = b""
        with pytest.raises(Exception, match="damaged"):
            async with (
                sources_with().opening(access(provider, delivered(key))) as source,
                source.open(Wanted(provider.url())) as opened,
            ):
                async for chunk in opened:
                    got += chunk
        assert got == b""


async def test_what_is_no_jwe_under_the_key_is_refused() -> None:
    """A plain file among them: the manifest said that its files are encrypted."""
    key = os.urandom(32)
    good = encrypted(CONTENT, key)
    head, *rest = good.split(b".")
    for content in (
        CONTENT,
        b"",
        b"....",
        b"." * 10,
        good[: len(good) // 2],
        good + b".more",
        b"x" * 100_000,
        head + b"." + b".".join(rest).replace(b"-", b"+").replace(b"_", b"/"),
        encrypted(CONTENT, os.urandom(32)),
        encrypted(CONTENT, os.urandom(16), alg="A128KW"),
        encrypted(CONTENT, os.urandom(16), enc="A128GCM"),
        jwe.encrypt_compact({"alg": "RSA-OAEP-256", "enc": "A256GCM"}, CONTENT, OURS, algorithms=WRAPPING).encode(),
        b".".join([base64.urlsafe_b64encode(b'{"alg":"dir","enc":"A256GCM","crit":["x"]}').rstrip(b"="), *rest]),
    ):
        async with serving(body(content)) as provider:
            error = await refusal(access(provider, delivered(key)), provider.url(), sources=sources_with())
            assert error.issues[0].code in ("invalid", "security", "not-supported")


async def test_a_key_for_somebody_else_is_refused() -> None:
    """With whatever is no key at all; the request itself is refused, and the value not repeated."""
    other = RSAKey.generate_key(2048)
    short = jwe.encrypt_compact({"alg": "RSA-OAEP-256", "enc": "A256GCM"}, b"short", OURS, algorithms=WRAPPING)
    for given in (
        delivered(os.urandom(32), ours=other),
        EncryptionKey(SYSTEM, "jwe", "secret"),
        EncryptionKey(SYSTEM, "jwe", '{"secret": 1}'),
        EncryptionKey(SYSTEM, "jwe", "secret" * 100_000),
        EncryptionKey(SYSTEM, "pgp", "secret"),
        EncryptionKey(SYSTEM, "jwe", short),
    ):
        with pytest.raises(Exception, match="fileEncryptionKey") as caught:
            listed = submitter("files.example.org", keys=True)
            sources_with().check("https://files.example.org/", Access(listed, encryption=given))
        assert "secret" not in str(caught.value) and "secret" not in repr(given)


async def test_an_encrypted_file_is_bounded(tmp_path: Path) -> None:
    """It is kept until its tag is verified, in a file without a name; compressed ones by their ratio."""
    key = os.urandom(32)
    limits = replace(QUICK, encrypted=100_000, folder=tmp_path)
    async with serving(body(encrypted(CONTENT, key))) as provider:
        given = access(provider, delivered(key))
        error = await refusal(given, provider.url(), sources=sources_with(limits=limits))
        assert error.issues[0].code == "too-costly" and "100,000" in said(error)
        assert list(tmp_path.iterdir()) == []
    deflating = zlib.compressobj(9, wbits=-15)
    bomb = deflating.compress(bytes(64 << 20)) + deflating.flush()
    async with serving(body(sealed(bomb, key))) as provider:
        error = await refusal(access(provider, delivered(key)), provider.url(), sources=sources_with())
        assert error.issues[0].code == "too-costly"


def sealed(deflated: bytes, key: bytes) -> bytes:
    """A JWE whose header says that its content is compressed, of content that was compressed already."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    def part(data: bytes) -> bytes:
        return base64.urlsafe_b64encode(data).rstrip(b"=")

    head, iv = part(b'{"alg":"dir","enc":"A256GCM","zip":"DEF"}'), os.urandom(12)
    both = AESGCM(key).encrypt(iv, deflated, head)
    return b".".join([head, b"", part(iv), part(both[:-16]), part(both[-16:])])
