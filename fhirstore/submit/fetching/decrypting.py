"""Encrypted manifests and files: each a JWE in compact serialization, under the key that `fileEncryptionKey` delivers.

`fileEncryptionKey` is a JWE for this server's key; inside is the content encryption key, as a JWK of type `oct`, as its
octets, or as these in base64url. Each file is then encrypted directly with it (`alg` = `dir`), or with a key of its own
that is wrapped by it (A128KW, A192KW, A256KW). https://www.rfc-editor.org/rfc/rfc7516#section-7.1

The tag that proves a JWE genuine is its last part. So the ciphertext goes to a temporary file first, and is decrypted
from there only when the tag has been verified: nothing that was not is ever handed on, and memory stays flat.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field
from typing import IO, Protocol

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC, GCM
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap
from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import Key

from fhirstore.errors import SourceFailed
from fhirstore.submit.fetching.decoding import inflated
from fhirstore.submit.fetching.keys import Secrets, private_keys
from fhirstore.submit.fetching.limits import FetchLimits
from fhirstore.submit.source import EncryptionKey
from fhirstore.threads import in_thread

_KEY_ALGORITHMS = ["RSA-OAEP-256", "RSA-OAEP", "ECDH-ES", "ECDH-ES+A128KW", "ECDH-ES+A192KW", "ECDH-ES+A256KW"]
_KEY_ALGORITHMS += ["A128KW", "A192KW", "A256KW", "A128GCMKW", "A192GCMKW", "A256GCMKW", "dir"]
_GCM = {"A128GCM": 16, "A192GCM": 24, "A256GCM": 32}
_CBC = {"A128CBC-HS256": ("sha256", 16), "A192CBC-HS384": ("sha384", 24), "A256CBC-HS512": ("sha512", 32)}
_WRAPPED = {"A128KW": 16, "A192KW": 24, "A256KW": 32}
_KEY_SIZES = frozenset((16, 24, 32, 48, 64))
_LONGEST_KEY = 64 * 1024
_LONGEST_PART = 16 * 1024  # characters of every part but the ciphertext
_PIECE = 256 * 1024  # bytes


@dataclass(frozen=True, slots=True)
class Decryption:
    """Decrypts the bodies of a manifest."""

    _key: bytes = field(repr=False)

    @classmethod
    def of(cls, delivered: EncryptionKey, reference: str | None, secrets: Secrets) -> Decryption:
        """Unpacks the content encryption key. `reference`: to this server's key. Raises SourceFailed."""
        if delivered.code != "jwe" or len(delivered.value) > _LONGEST_KEY:
            raise SourceFailed("fileEncryptionKey is no JWE of bounded size", code="not-supported")
        for key in private_keys(reference, secrets):
            content = _unpacked(delivered.value, key)
            if content is not None:
                return cls(_key_in(content))
        raise SourceFailed("fileEncryptionKey is not encrypted for this server's key", code="security")

    async def decrypted(self, chunks: AsyncIterator[bytes], limits: FetchLimits) -> AsyncGenerator[bytes]:
        """Yields the plain bytes of one JWE, once its tag is verified. Raises SourceFailed."""
        with tempfile.TemporaryFile(dir=limits.folder, prefix="fhirstore-") as file:
            opening = _Opening(self._key, file)
            size = 0
            async for chunk in chunks:
                size += len(chunk)
                if size > limits.encrypted:
                    told = f"The encrypted file has more than {limits.encrypted:,} bytes; give it in several"
                    raise SourceFailed(told, code="too-costly")
                for at in range(0, len(chunk), _PIECE):
                    await in_thread(opening.take, chunk[at : at + _PIECE])
            await in_thread(opening.verify)
            plain = _pieces(opening)
            async for piece in inflated(plain, "raw", limits) if opening.compressed else plain:
                yield piece


class _Cipher(Protocol):
    """Verifies a ciphertext piece by piece, then decrypts it anew."""

    def check(self, piece: bytes) -> None: ...
    def is_genuine(self, tag: bytes) -> bool: ...
    def start(self) -> None: ...
    def decrypt(self, piece: bytes, *, last: bool) -> bytes: ...


class _Opening:
    """A compact JWE that comes in pieces: five parts with dots between them."""

    def __init__(self, key: bytes, file: IO[bytes]) -> None:
        self._key = key
        self.file = file
        self._parts: list[bytes] = []
        self._begun = b""  # of the part that is not complete; of the ciphertext: less than four characters
        self.compressed = False
        self.cipher: _Cipher

    def take(self, data: bytes) -> None:
        """Adds characters. Raises SourceFailed."""
        while data:
            part, dot, rest = data.partition(b".")
            if len(self._parts) == 3:
                self._add_ciphertext(part, complete=bool(dot))
            else:
                self._begun += part
                if len(self._begun) > _LONGEST_PART:
                    raise _no_jwe()
            if not dot:
                return
            self._parts.append(self._begun)
            self._begun, data = b"", rest
            if len(self._parts) == 3:
                self._prepare()
            elif len(self._parts) > 4:
                raise _no_jwe()

    def verify(self) -> None:
        """Ends the last part, the tag. Raises SourceFailed unless the ciphertext is genuine."""
        if len(self._parts) != 4:
            raise _no_jwe()
        if not self.cipher.is_genuine(_decoded(self._begun.strip())):
            raise _not_genuine()
        self.file.seek(0)
        self.cipher.start()

    def _add_ciphertext(self, part: bytes, *, complete: bool) -> None:
        text = self._begun + part
        whole = len(text) if complete else len(text) // 4 * 4
        self._begun = b"" if complete else text[whole:]
        piece = _decoded(text[:whole])
        self.cipher.check(piece)
        self.file.write(piece)

    def _prepare(self) -> None:
        """Reads the header and the keys, once everything before the ciphertext is there."""
        protected, wrapped, iv = self._parts
        try:
            header = msgspec.json.decode(_decoded(protected.lstrip()))
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise _no_jwe() from None
        if not isinstance(header, dict) or "crit" in header or header.get("zip") not in (None, "DEF"):
            raise SourceFailed("The encrypted file has a header that is not supported", code="not-supported")
        self.compressed = header.get("zip") is not None
        key = _content_key(self._key, header.get("alg"), _decoded(wrapped))
        self.cipher = _cipher(header.get("enc"), key, _decoded(iv), protected.lstrip())


class _Gcm:
    """AES-GCM. https://www.rfc-editor.org/rfc/rfc7518#section-5.3"""

    def __init__(self, key: bytes, iv: bytes, additional: bytes) -> None:
        self._cipher = Cipher(AES(key), GCM(iv, None))
        self._additional = additional
        self.start()

    def start(self) -> None:
        self._decryptor = self._cipher.decryptor()
        self._decryptor.authenticate_additional_data(self._additional)

    def check(self, piece: bytes) -> None:
        self._decryptor.update(piece)

    def is_genuine(self, tag: bytes) -> bool:
        if len(tag) != 16:
            return False
        try:
            self._decryptor.finalize_with_tag(tag)
        except InvalidTag:
            return False
        return True

    def decrypt(self, piece: bytes, *, last: bool) -> bytes:
        return self._decryptor.update(piece)


class _CbcHmac:
    """AES-CBC with HMAC-SHA2; the first half of the key is the HMAC's. https://www.rfc-editor.org/rfc/rfc7518#section-5.2"""

    def __init__(self, key: bytes, iv: bytes, additional: bytes, digest: str) -> None:
        half = len(key) // 2
        self._half = half
        self._hmac = hmac.new(key[:half], additional + iv, digest)
        self._length = (len(additional) * 8).to_bytes(8)
        self._cipher = Cipher(AES(key[half:]), CBC(iv))
        self._size = 0
        self._held = b""

    def check(self, piece: bytes) -> None:
        self._size += len(piece)
        self._hmac.update(piece)

    def is_genuine(self, tag: bytes) -> bool:
        self._hmac.update(self._length)
        whole = self._size > 0 and self._size % 16 == 0
        return hmac.compare_digest(self._hmac.digest()[: self._half], tag) and whole

    def start(self) -> None:
        self._decryptor = self._cipher.decryptor()

    def decrypt(self, piece: bytes, *, last: bool) -> bytes:
        plain = self._held + self._decryptor.update(piece)
        if last:
            padding = plain[-1] if plain else 0
            if not 0 < padding <= 16 or plain[-padding:] != bytes([padding]) * padding:
                raise _not_genuine()
            return plain[:-padding]
        plain, self._held = plain[:-16], plain[-16:]  # the last block may be padding
        return plain


async def _pieces(opening: _Opening) -> AsyncGenerator[bytes]:
    def following() -> tuple[bytes, bool]:
        piece = opening.file.read(_PIECE)
        return opening.cipher.decrypt(piece, last=not piece), not piece

    last = False
    while not last:
        piece, last = await in_thread(following)
        if piece:
            yield piece


def _cipher(name: object, key: bytes, iv: bytes, additional: bytes) -> _Cipher:
    size = len(key)
    if name in _GCM and size == _GCM[str(name)] and len(iv) == 12:
        return _Gcm(key, iv, additional)
    if name in _CBC and size == 2 * _CBC[str(name)][1] and len(iv) == 16:
        return _CbcHmac(key, iv, additional, _CBC[str(name)][0])
    raise SourceFailed("The encrypted file's enc is not supported, or the key does not fit it", code="not-supported")


def _content_key(key: bytes, algorithm: object, wrapped: bytes) -> bytes:
    if algorithm == "dir" and not wrapped:
        return key
    if algorithm in _WRAPPED and len(key) == _WRAPPED[str(algorithm)]:
        try:
            return aes_key_unwrap(key, wrapped)
        except (InvalidUnwrap, ValueError):
            raise _not_genuine() from None
    raise SourceFailed("The encrypted file's alg is not dir or AES key wrap with this key", code="not-supported")


def _unpacked(value: str, key: Key) -> bytes | None:
    """Returns the content of a JWE, compact or as JSON, for this key; None if it is not for this key."""
    try:
        if value.lstrip().startswith("{"):
            return jwe.decrypt_json(msgspec.json.decode(value), key, algorithms=_algorithms()).plaintext
        return jwe.decrypt_compact(value.strip(), key, algorithms=_algorithms()).plaintext
    except (JoseError, ValueError, TypeError, KeyError, InvalidTag, InvalidUnwrap, msgspec.MsgspecError):
        return None


def _algorithms() -> list[str]:
    return [*_KEY_ALGORITHMS, *_GCM, *_CBC]


def _key_in(content: bytes) -> bytes:
    """Returns the key that a JWE delivers."""
    try:
        decoded = msgspec.json.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        decoded = None
    try:
        if isinstance(decoded, dict):
            text = decoded.get("k") if decoded.get("kty") == "oct" else None
            content = _decoded(text.encode()) if isinstance(text, str) else b""
        elif len(content) not in _KEY_SIZES:
            content = _decoded(content.strip())
    except SourceFailed:
        content = b""
    if len(content) not in _KEY_SIZES:
        raise SourceFailed("fileEncryptionKey holds no symmetric key", code="value")
    return content


def _decoded(text: bytes) -> bytes:
    try:
        if b"+" in text or b"/" in text:
            raise binascii.Error
        padded = text.rstrip(b"=").translate(_URL_SAFE)
        return base64.b64decode(padded + b"=" * (-len(padded) % 4), validate=True)
    except binascii.Error:
        raise _no_jwe() from None


_URL_SAFE = bytes.maketrans(b"-_", b"+/")


def _no_jwe() -> SourceFailed:
    return SourceFailed("The file is no JWE in compact serialization", code="invalid")


def _not_genuine() -> SourceFailed:
    return SourceFailed("The encrypted file is damaged, or encrypted with another key", code="security")
