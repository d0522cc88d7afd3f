"""Which addresses may be connected to: public ones, and private ones where the submitter's configuration allows it.

Never: addresses that are no host's, and those at which clouds tell a machine its own credentials. An IPv6 address that
stands for an IPv4 address is judged by the latter. https://www.iana.org/assignments/iana-ipv6-special-registry/
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address

_NEVER = tuple(
    ip_network(network)
    for network in (
        "0.0.0.0/8",
        "100.100.100.200/32",  # instance metadata of Alibaba Cloud
        "168.63.129.16/32",  # Azure's host, reachable from every machine there
        "169.254.0.0/16",  # link-local: instance metadata of most clouds
        "192.0.0.192/32",  # instance metadata of Oracle Cloud
        "224.0.0.0/4",
        "240.0.0.0/4",
        "::/128",
        "fd00:ec2::/32",  # instance metadata of AWS
        "fd20:ce::254/128",  # instance metadata of Google Cloud
        "fe80::/10",
        "fec0::/10",
        "ff00::/8",
    )
)
_TUNNELS = (IPv6Network("2001::/32"), IPv6Network("2002::/16"))  # Teredo, 6to4
_TRANSLATED = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"))  # NAT64
_UNICAST = IPv6Network("2000::/3")
_LOCAL = IPv6Network("fc00::/7")
_COMPATIBLE = IPv6Network("::/96")
_ISATAP = (0x0000_5EFE, 0x0200_5EFE)


def is_allowed(address: Address, *, private: bool) -> bool:
    """Returns whether an address may be connected to. `private`: also where it is not public."""
    if isinstance(address, IPv6Address):
        if address.scope_id is not None or any(address in tunnel for tunnel in _TUNNELS):
            return False
        if address != IPv6Address("::1") and (inner := _inner(address)) is not None:
            return is_allowed(inner, private=private)
    if any(address in network for network in _NEVER if network.version == address.version):
        return False
    public = address.is_global and not address.is_private
    if isinstance(address, IPv6Address):
        public = public and address in _UNICAST
        return public or (private and (address.is_loopback or address in _LOCAL))
    return public or private


def parse(text: str) -> Address | None:
    """Returns the address that a text is, without brackets; None if it is none."""
    try:
        return ip_address(text)
    except ValueError:
        return None


def _inner(address: IPv6Address) -> IPv4Address | None:
    """Returns the IPv4 address that an IPv6 address stands for."""
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    low = int(address) & 0xFFFF_FFFF
    isatap = (int(address) >> 32) & 0xFFFF_FFFF in _ISATAP
    if isatap or address in _COMPATIBLE or any(address in network for network in _TRANSLATED):
        return IPv4Address(low)
    return None
