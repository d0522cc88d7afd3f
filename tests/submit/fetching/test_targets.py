"""URLs are refused by their text alone."""

from __future__ import annotations

import pytest

from fhirstore.errors import SourceFailed
from fhirstore.submit.fetching.sources import NetworkSources
from fhirstore.submit.fetching.targets import BucketObject, Target
from fhirstore.submit.source import Access, EncryptionKey
from fhirstore.submit.submitters import Submitter

ACME = Submitter(
    identifier="https://example.org|acme",
    tenant="default",
    hosts=("files.example.org", "*.cdn.example.org", "other.example.org:8443", "[2606:4700::1]", "93.184.216.34"),
)

TRICKS = (
    "http://files.example.org@evil.example/",
    "https://files.example.org@evil.example/",
    "https://files.example.org:443@evil.example/",
    "https://user:secret@files.example.org/",
    "https://@files.example.org/",
    "https://evil.example\\@files.example.org/",
    "https://files.example.org\\@evil.example/",
    "https://files.example.org\\.evil.example/",
    "https://evil.example#@files.example.org/",
    "https://evil.example/#files.example.org",
    "https://files.example.org#@evil.example/",
    "https://files.example.org/file#fragment",
    "https://files.example.org/\\evil.example/file",
    "https://evil.example?@files.example.org/",
    "https://files.example.org%2eevil.example/",
    "https://files%2eexample.org/",
    "https://files\u3002example.org/",
    "https://files\uff0eexample.org/",
    "https://\uff46iles.example.org/",
    "https://files.example.org.evil.example/",
    "https://files.example.org./",
    "https://.files.example.org/",
    "https://files..example.org/",
    "https://xfiles.example.org/",
    "https://cdn.example.org/",
    "https://evilcdn.example.org/",
    "https://files.example.org:8443/",
    "https://files.example.org:0/",
    "https://files.example.org:65536/",
    "https://files.example.org:99999999/",
    "https://files.example.org:443:80/",
    "https://files.example.org:/",
    "https://files.example.org:+443/",
    "https://files.example.org:\uff1443/",
    "https://other.example.org/",
    "https:///files.example.org/",
    "https:/files.example.org/",
    "https:files.example.org",
    "//files.example.org/",
    "files.example.org",
    " https://files.example.org/",
    "https://files.example.org/ ",
    "https://files.example.org/\n",
    "https://files.example.org/\r\nHost: evil.example",
    "https://files.exam\tple.org/",
    "https://files.example.org/\0",
    "https://files.example.org/é",
    "https://1572395042/",
    "https://0x5db8d822/",
    "https://93.184.55330/",
    "https://0135.0270.0330.042/",
    "https://093.184.216.34/",
    "https://0x5d.0xb8.0xd8.0x22/",
    "https://93.184.216.34./",
    "https://[2606:4700::1/",
    "https://[2606:4700::1%25eth0]/",
    "https://[::ffff:93.184.216.34]/",
    "https://[::1]/",
    "https://127.0.0.1/",
    "https://localhost/",
    "https://0/",
    "https://evil.example/",
    "http://files.example.org/",
    "ftp://files.example.org/",
    "gopher://files.example.org/",
    "data:application/json,{}",
    "javascript:alert(1)",
    "dict://files.example.org/",
    "HTTPS+unix://files.example.org/",
    "file:///etc/passwd",
    "file://files.example.org/etc/passwd",
    "FILE:///etc/passwd",
    "s3://bucket/key",
    "S3://bucket/key",
    "",
)


@pytest.mark.parametrize("url", TRICKS)
def test_a_url_with_a_second_reading_is_refused_without_a_request(url: str) -> None:
    """So is any URL that is off the submitter's list, or of another scheme."""
    with pytest.raises(SourceFailed) as caught:
        NetworkSources().check(url, Access(ACME))
    assert not caught.value.again
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("https://files.example.org/a?b=c", "files.example.org", 443),
        ("https://files.example.org", "files.example.org", 443),
        ("https://files.example.org?x", "files.example.org", 443),
        ("HTTPS://FILES.EXAMPLE.ORG:443/A", "files.example.org", 443),
        ("https://a.b.cdn.example.org/", "a.b.cdn.example.org", 443),
        ("https://other.example.org:8443/", "other.example.org", 8443),
        ("https://[2606:4700:0::1]/", "2606:4700::1", 443),
        ("https://93.184.216.34/", "93.184.216.34", 443),
    ],
)
def test_a_url_on_the_list_is_accepted(url: str, host: str, port: int) -> None:
    """By its name and its port, in any case of letters."""
    NetworkSources().check(url, Access(ACME))
    target = Target.of(url, ACME)
    assert (target.scheme, target.host, target.port) == ("https", host, port)


def test_the_list_never_makes_a_private_address_public() -> None:
    """An address on the list still needs `private_addresses`."""
    listed = Submitter(identifier="a|b", tenant="default", hosts=("127.0.0.1", "169.254.169.254"))
    for url in ("https://127.0.0.1/", "https://169.254.169.254/"):
        with pytest.raises(SourceFailed):
            Target.of(url, listed)


@pytest.mark.parametrize("host", ["1572395042", "0x5db8d822", "93.184.55330", "0135.0270.0330.042", "093.184.216.34"])
def test_a_number_that_is_no_plain_address_is_no_name_either(host: str) -> None:
    """Even if it is on the list: what it connects to would depend on who reads it."""
    listed = Submitter(identifier="a|b", tenant="default", hosts=(host,), private_addresses=True)
    with pytest.raises(SourceFailed):
        Target.of(f"https://{host}/", listed)


def test_a_target_shows_no_secret() -> None:
    """What a URL holds beside its origin may be one."""
    target = Target.of("https://files.example.org/secret-path?token=secret", ACME)
    assert "secret" not in repr(target)


@pytest.mark.parametrize(
    "url",
    [
        "s3://other/in/file",
        "s3://bucket/out/file",
        "s3://bucket/incoming",
        "s3://bucket/in/../out",
        "s3://bucket/in/./file",
        "s3://bucket/in//file",
        "s3://bucket/",
        "s3://bucket",
        "s3://key@bucket/in/file",
        "s3://bucket/in/\n",
    ],
)
def test_an_object_off_the_list_of_buckets_is_refused(url: str) -> None:
    """By bucket and by whole segments of the prefix."""
    listed = Submitter(identifier="a|b", tenant="default", buckets=("s3://bucket/in/",))
    with pytest.raises(SourceFailed):
        NetworkSources().check(url, Access(listed))
    assert BucketObject.of("s3://bucket/in/file name", listed).key == "in/file name"


def test_a_request_is_refused_for_headers_and_keys_that_cannot_work() -> None:
    """Before anything is fetched, and without repeating them."""
    url = "https://files.example.org/"
    for name in ("Host", "transfer-encoding", "Content-Length", "Range", "Proxy-Authorization", "accept-encoding"):
        with pytest.raises(SourceFailed) as caught:
            NetworkSources().check(url, Access(ACME, headers=((name, "secret"),)))
        assert "secret" not in str(caught.value)
    for value in ("a\r\nHost: evil", "a\0", "é"):
        with pytest.raises(SourceFailed):
            NetworkSources().check(url, Access(ACME, headers=(("X-Key", value),)))
    with pytest.raises(SourceFailed):
        NetworkSources().check(url, Access(ACME, oauth=("https://evil.example/",)))
    with pytest.raises(SourceFailed, match="operator"):
        NetworkSources().check(url, Access(ACME, encryption=EncryptionKey("s", "jwe", "secret")))
