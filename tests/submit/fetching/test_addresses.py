"""Which addresses may be connected to."""

from __future__ import annotations

import pytest

from fhirstore.submit.fetching.addresses import is_allowed, parse

PUBLIC = ("8.8.8.8", "93.184.216.34", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808")
PRIVATE = (
    "10.0.0.1",
    "100.64.0.1",
    "127.0.0.1",
    "127.255.255.254",
    "172.16.0.1",
    "192.168.1.1",
    "::1",
    "fc00::1",
    "fd12:3456::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::127.0.0.1",
    "64:ff9b::10.0.0.1",
    "64:ff9b:1::7f00:1",
)
NEVER = (
    "0.0.0.0",  # noqa: S104
    "0.1.2.3",
    "100.100.100.200",
    "168.63.129.16",
    "169.254.169.254",
    "192.0.0.192",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::ffff:0.0.0.0",
    "::ffff:169.254.169.254",
    "::169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "2001:0:a9fe:a9fe::1",
    "2002:a9fe:a9fe::1",
    "2002:808:808::1",
    "2001:db8::5efe:169.254.169.254",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%lo",
    "fec0::1",
    "ff02::1",
)


def allowed(text: str, *, private: bool) -> bool:
    address = parse(text)
    assert address is not None
    return is_allowed(address, private=private)


@pytest.mark.parametrize("text", PUBLIC)
def test_a_public_address_is_allowed(text: str) -> None:
    """Whether private ones are allowed makes no difference."""
    assert allowed(text, private=False)
    assert allowed(text, private=True)


@pytest.mark.parametrize("text", PRIVATE)
def test_a_private_address_is_allowed_by_configuration_only(text: str) -> None:
    """So is an IPv6 address that stands for a private IPv4 address."""
    assert not allowed(text, private=False)
    assert allowed(text, private=True)


@pytest.mark.parametrize("text", NEVER)
def test_the_metadata_address_and_what_is_no_host_are_never_allowed(text: str) -> None:
    """Not even where private addresses are allowed."""
    assert not allowed(text, private=False)
    assert not allowed(text, private=True)
