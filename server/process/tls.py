"""TLS for an installation without a proxy: certificate and key from files, which may be replaced while it runs.

TLS 1.2 and 1.3 with forward secrecy alone (https://www.rfc-editor.org/rfc/rfc9325). New files count for handshakes from
then on; connections that are open keep what they have. Files that do not fit each other are reported, and the old ones
stay in use.
"""

from __future__ import annotations

import asyncio
import ssl
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

LOOK_EVERY = 2.0
"""Seconds between two looks of a process at its files."""

# Of TLS 1.2; those of 1.3 are all good.
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"


class BadCertificate(Exception):
    """The files cannot be used; the message is one line that says why, without any of their content."""


@dataclass(frozen=True, slots=True)
class Files:
    """The chain of certificates and the key, in PEM. `password`: of the key; None: it has none."""

    certificate: str
    key: str
    password: str | None = None

    def __repr__(self) -> str:
        return f"Files({self.certificate!r}, {self.key!r})"  # the password must not be logged

    def stamps(self) -> tuple[tuple[int, int, int], ...]:
        """Returns what changes when a file is written or replaced, also by a link. Raises OSError."""
        found = [Path(path).stat() for path in (self.certificate, self.key)]
        return tuple((one.st_mtime_ns, one.st_ino, one.st_size) for one in found)

    def context(self) -> ssl.SSLContext:
        """Returns a context with what is in the files now. Raises BadCertificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(_CIPHERS)
        context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
        context.set_alpn_protocols(["http/1.1"])
        try:
            context.load_cert_chain(self.certificate, self.key, password=self._password)
        except OSError as error:  # SSLError is one
            raise BadCertificate(self._why(error)) from error
        return context

    def _password(self) -> str:
        return self.password or ""  # without this, OpenSSL would ask on the terminal

    def _why(self, error: OSError) -> str:
        reason = getattr(error, "reason", None) or ""
        for path, name in ((self.certificate, "FHIRSTORE_TLS_CERT"), (self.key, "FHIRSTORE_TLS_KEY")):
            if not Path(path).is_file():
                return f"{name}: {path} is no file"
            try:
                with Path(path).open("rb") as file:
                    locked = b"ENCRYPTED" in file.read(4096)  # of the key, which is read last
            except OSError as unreadable:
                return f"{name}: {path} cannot be read ({unreadable.strerror})"
        if reason == "KEY_VALUES_MISMATCH":
            return "FHIRSTORE_TLS_KEY is not the key of the first certificate in FHIRSTORE_TLS_CERT"
        if locked:
            return "the key is encrypted: FHIRSTORE_TLS_KEY_PASSWORD is missing or wrong"
        return f"FHIRSTORE_TLS_CERT and FHIRSTORE_TLS_KEY hold no certificate and key in PEM ({reason or 'unreadable'})"


class Tls:
    """The context of handshakes, renewed when the files change. Raises BadCertificate."""

    def __init__(self, files: Files, *, say: Callable[[str], None] | None = None) -> None:
        self._files = files
        self._say = say or _say
        self._stamps = _stamps(files)
        self._current = self.context = files.context()
        # The context of the listener stays; each handshake is given the newest one. Called without a name (SNI), too.
        self.context.sni_callback = self._give_newest

    def _give_newest(self, of_handshake: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        of_handshake.context = self._current

    def look(self) -> None:
        """Loads the files again where they have changed since they were last looked at."""
        stamps = _stamps(self._files)
        if stamps != self._stamps:
            self._stamps = stamps
            self.reload()

    def reload(self) -> None:
        """Loads the files. Where they cannot be used, says so, and goes on with what there is."""
        try:
            self._current = self._files.context()
        except BadCertificate as error:
            self._say(f"the certificate in use stays: {error}")
        else:
            self._say("the certificate was loaded again")

    async def watch(self) -> None:
        """Looks at the files now and then, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            self.look()


def _stamps(files: Files) -> tuple[tuple[int, int, int], ...] | None:
    """Returns None where a file is missing, which is so for a moment while it is replaced."""
    try:
        return files.stamps()
    except OSError:
        return None


def _say(line: str) -> None:
    sys.stderr.write(f"fhirstore: {line}\n")
