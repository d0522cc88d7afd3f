"""Makes values of the texts of environment variables. Each function raises ValueError that says what the text must be.

A message quotes the value, on one line, only where it cannot hold a password.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar
from urllib.parse import SplitResult, urlsplit

from fhirstore import REGISTERED, is_tenant_id

_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?")
_REGION = re.compile(r"[A-Za-z0-9-]{1,63}")
_TENANT_FORM = "a tenant id has 1 to 63 of a-z, 0-9 and '-', without '-' at either end"
_KMS_KEY = re.compile(r"[A-Za-z0-9:/_.-]{1,2048}")
_Choice = TypeVar("_Choice", bound=str)
_SHOWN = 80  # characters of a value that a message repeats


def text(value: str) -> str:
    """Any text."""
    return value


def choice(*choices: _Choice) -> Callable[[str], _Choice]:
    """One of the `choices`."""
    known: dict[str, _Choice] = {one: one for one in choices}

    def read(value: str) -> _Choice:
        if value not in known:
            raise ValueError(f"must be one of {', '.join(choices)}, not {_quoted(value)}")
        return known[value]

    return read


def number(*choices: int) -> Callable[[str], int]:
    """One of the numbers `choices`."""
    read = choice(*map(str, choices))
    return lambda value: int(read(value))


def flag(value: str) -> bool:
    """`true` or `1`, `false` or `0`, in either case."""
    known = {"true": True, "1": True, "false": False, "0": False}.get(value.lower())
    if known is None:
        raise ValueError(f"must be true or false, not {_quoted(value)}")
    return known


def positive(value: str) -> int:
    """A whole number above zero."""
    if not value.isascii() or not value.isdigit() or len(value) > 18 or int(value) == 0:
        raise ValueError(f"must be a positive whole number, not {_quoted(value)}")
    return int(value)


def up_to(most: int) -> Callable[[str], int]:
    """A whole number from 1 to `most`."""

    def read(value: str) -> int:
        if not value.isascii() or not value.isdigit() or len(value) > 18 or not 1 <= int(value) <= most:
            raise ValueError(f"must be a whole number from 1 to {most:,}, not {_quoted(value)}")
        return int(value)

    return read


def some_of(*names: str) -> Callable[[str], frozenset[str]]:
    """Some of the `names`, separated by commas; `none` is none of them."""

    def read(value: str) -> frozenset[str]:
        found = frozenset(_items(value))
        wrong = sorted(found.difference(names))
        if value == "none":
            return frozenset()
        if wrong or not found:
            told = ", ".join(map(_quoted, wrong)) or _quoted(value)
            raise ValueError(f"must be some of {', '.join(names)}, separated by commas, or none; not {told}")
        return found

    return read


def count(value: str) -> int:
    """A whole number, which may be zero."""
    if not value.isascii() or not value.isdigit() or len(value) > 18:
        raise ValueError(f"must be a whole number, 0 or more, not {_quoted(value)}")
    return int(value)


def seconds(value: str) -> float:
    """A number of seconds above zero, like 30 or 0.5."""
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,6})?", value) or float(value) == 0:
        raise ValueError(f"must be a positive number of seconds, not {_quoted(value)}")
    return float(value)


def seconds_or_none(value: str) -> float:
    """A number of seconds, which may be zero."""
    return 0.0 if re.fullmatch(r"0(\.0{1,6})?", value) else seconds(value)


def rate(value: str) -> float:
    """A number above zero, like 200 or 0.5."""
    if not re.fullmatch(r"[0-9]{1,15}(\.[0-9]{1,6})?", value) or float(value) == 0:
        raise ValueError(f"must be a positive number, not {_quoted(value)}")
    return float(value)


def port(value: str) -> int:
    """A TCP port, or 0 for any that is free."""
    if not value.isascii() or not value.isdigit() or len(value) > 5 or int(value) > 65_535:
        raise ValueError(f"must be a port, 0 to 65535, not {_quoted(value)}")
    return int(value)


def listening(value: str) -> tuple[str, int] | None:
    """`off`, a port of 127.0.0.1, or a host and a port: `0.0.0.0:9464`, `[::1]:9464`."""
    if value == "off":
        return None
    name, colon, number_ = value.rpartition(":")
    if name.startswith("[") and name.endswith("]"):
        name = name[1:-1]
    if colon and not is_host(name):
        raise ValueError(f"must be off, a port or HOST:PORT, not {_quoted(value)}")
    return (name if colon else "127.0.0.1"), port(number_)


def secret(value: str) -> str:
    """A secret text of 16 to 256 characters; messages do not repeat it."""
    if not 16 <= len(value) <= 256:
        raise ValueError("must have 16 to 256 characters")
    return value


def host(value: str) -> str:
    """A host name, or an IP address without brackets."""
    if not is_host(value):
        raise ValueError(f"must be a host name or an IP address alone, not {_quoted(value)}")
    return value


def is_host(value: str) -> bool:
    """Whether `value` is a host name or an IP address, without brackets or port."""
    return is_address(value) or (_NAME.fullmatch(value) is not None and len(value) <= 253)


def is_address(value: str) -> bool:
    """Whether `value` is an IP address."""
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return False
    return True


def region(value: str) -> str:
    """A region's name, which becomes part of host names."""
    if not _REGION.fullmatch(value):
        raise ValueError(f"must be the name of a region, like eu-central-1, not {_quoted(value)}")
    return value


def kms_key(value: str) -> str:
    """The id, ARN or alias of a KMS key."""
    if not _KMS_KEY.fullmatch(value):
        raise ValueError(f"must be the id, ARN or alias of a KMS key, not {_quoted(value)}")
    return value


def base_url(value: str) -> str:
    """An http or https URL that paths can be added to; a slash at its end is dropped."""
    parts = _url(value, "like https://fhir.example.org/fhir")
    if re.search(r"//|/\.{1,2}(?:/|$)", parts.path.rstrip("/")):
        raise ValueError("must have no empty or dot segments in its path")
    return value.rstrip("/")


def issuers(value: str) -> tuple[str, ...]:
    """URLs of issuers, exactly as their tokens name them, separated by commas."""
    found = tuple(_items(value))
    for one in found:
        _url(one, "like https://login.example.org/realms/clinic")
    _check_repeated(found)
    return found


def words(value: str) -> tuple[str, ...]:
    """Any words, separated by commas."""
    found = tuple(_items(value))
    if any(not one.isprintable() or len(one) > 1_000 for one in found):
        raise ValueError("must be words of printable characters, separated by commas")
    _check_repeated(found)
    return found


def claim(value: str) -> str:
    """The name of a claim of a token."""
    if not re.fullmatch(r"[!-~]{1,200}", value):
        raise ValueError(f"must be the name of a claim, not {_quoted(value)}")
    return value


def endpoint_url(value: str) -> str:
    """The URL of an S3 server."""
    _url(value, "of the form https://host or https://host:port")
    return value


def tenants(value: str) -> frozenset[str] | None:
    """Tenant ids, separated by commas; `*` is None: every well-formed id; `@store`: those that the store registers."""
    if value == "*":
        return None
    if value == "@store":
        return REGISTERED
    names = _items(value)
    if not names:
        raise ValueError("is empty; name tenants, separated by commas, or * for any")
    _check_tenants(names)
    return frozenset(names)


def tenant_buckets(value: str) -> Mapping[str, str]:
    """`tenant=bucket` pairs, separated by commas."""
    pairs = [pair.partition("=") for pair in _items(value)]
    wrong = [_quoted("".join(pair)) for pair in pairs if not all(pair)]
    if wrong:
        raise ValueError(f"must be tenant=bucket, separated by commas, not {', '.join(wrong)}")
    _check_tenants([tenant for tenant, _, _ in pairs])
    shared = _repeated(bucket for _, _, bucket in pairs)
    if shared:
        raise ValueError(f"must give each tenant a bucket of its own; two tenants share {', '.join(shared)}")
    return {tenant: bucket for tenant, _, bucket in pairs}


def origins(value: str) -> tuple[str, ...]:
    """Web origins, separated by commas, or `*`."""
    found = tuple(item.rstrip("/") for item in _items(value))
    wrong = [_quoted(origin) for origin in found if origin != "*" and not _is_origin(origin)]
    if wrong:
        raise ValueError(f"must be * or origins like https://app.example.org, not {', '.join(wrong)}")
    if "*" in found and len(found) > 1:
        raise ValueError("must be * alone or a list of origins; * admits all of them already")
    _check_repeated(found)
    return found


def networks(value: str) -> tuple[str, ...]:
    """Addresses and networks, separated by commas, or `*`."""
    found = tuple(_items(value))
    wrong = [_quoted(one) for one in found if one != "*" and not _is_network(one)]
    if wrong:
        raise ValueError(f"must be * or addresses and networks like 10.0.0.0/8, not {', '.join(wrong)}")
    _check_repeated(found)
    return found


def allowed_hosts(value: str) -> tuple[str, ...]:
    """Names that a Host header may hold, in lower case, separated by commas; `*.example.org`: all below it."""
    found = tuple(item.lower().rstrip(".") for item in _items(value))
    wrong = [_quoted(name) for name in found if name != "*" and not is_host(name.removeprefix("*.").strip("[]"))]
    if wrong:
        raise ValueError(
            f"must be * or host names without scheme and port, like fhir.example.org or *.example.org, "
            f"not {', '.join(wrong)}"
        )
    if "*" in found and len(found) > 1:
        raise ValueError("must be * alone or a list of names; * admits all of them already")
    _check_repeated(found)
    return tuple(name.strip("[]") for name in found)


def _url(value: str, form: str) -> SplitResult:
    try:
        parts = urlsplit(value)
        good = parts.scheme in ("http", "https") and is_host(parts.hostname or "") and parts.port != 0
    except ValueError:  # of brackets or of the port
        good = False
    if not good or not value.isprintable() or " " in value or "\\" in value:
        raise ValueError(f"must be an http or https URL {form}")
    if parts.username is not None or parts.query or parts.fragment or value.endswith(("?", "#")):
        raise ValueError(f"must be a URL without user name, query and fragment, {form}")
    return parts


def _is_network(text_: str) -> bool:
    try:
        ipaddress.ip_network(text_, strict=False)
    except ValueError:
        return False
    return True


def _is_origin(text_: str) -> bool:
    try:
        parts = _url(text_, "")
    except ValueError:
        return False
    return parts.path == ""


def _items(value: str) -> list[str]:
    return [item for item in (part.strip() for part in value.split(",")) if item]


def _check_tenants(names: list[str]) -> None:
    """Raises ValueError with every malformed id, then with every repeated one."""
    wrong = [_quoted(name) for name in names if not is_tenant_id(name)]
    if wrong:
        are = "is no tenant id" if len(wrong) == 1 else "are no tenant ids"
        raise ValueError(f"{', '.join(wrong)} {are}; {_TENANT_FORM}")
    _check_repeated(names)


def _check_repeated(names: Iterable[str]) -> None:
    repeated = _repeated(names)
    if repeated:
        raise ValueError(f"must name each once; repeated: {', '.join(repeated)}")


def _repeated(names: Iterable[str]) -> list[str]:
    seen: set[str] = set()
    again: dict[str, None] = {}
    for name in names:
        if name in seen:
            again[_quoted(name)] = None
        seen.add(name)
    return list(again)


def _quoted(value: str) -> str:
    return repr(value if len(value) <= _SHOWN else value[:_SHOWN] + "…")
