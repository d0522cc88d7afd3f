"""One token of the parameter `identifier`.

| written | matches identifiers with |
|---|---|
| `value` | this value, in any system or none |
| `system|value` | both |
| `|value` | this value and no system |
| `system|` | this system, whatever the value |

https://hl7.org/fhir/R4/search.html#token
"""

from __future__ import annotations

from dataclasses import dataclass, field

from fhirstore.index.names import Identifier, system_hash, system_name, value_hash


@dataclass(frozen=True, slots=True)
class Token:
    """`value` None: any value of that system. `system` None: without a system, unless `any_system`."""

    value: str | None = field(repr=False)
    system: str | None = None
    any_system: bool = False

    def matches(self, identifier: Identifier) -> bool:
        """Returns whether the identifier matches. The comparison is case-sensitive (see `fhirstore.index.names`)."""
        if self.value is not None and self.value != identifier.value:
            return False
        return self.any_system or self.system == identifier.system

    @property
    def value_hash(self) -> str | None:
        """The hash of the value; None where any value matches."""
        return None if self.value is None else value_hash(self.value)

    @property
    def name(self) -> str:
        """The name of all matching entries in the identity index."""
        if self.value is None:
            return system_name(self.system or "")
        hashed = value_hash(self.value)
        return hashed if self.any_system else f"{hashed}/{system_hash(self.system)}"


def token(text: str) -> Token:
    """Returns the token that `text` is; `\\|` and `\\\\` are escapes. Raises ValueError."""
    parts = split(text, "|")
    if len(parts) > 2 or not any(parts):
        raise ValueError("a token is value, system|value, |value or system|")
    if len(parts) == 1:
        return Token(unescaped(parts[0]), any_system=True)
    system, value = (unescaped(part) or None for part in parts)
    return Token(value, system)


def split(text: str, separator: str) -> list[str]:
    """Split at each separator without a backslash before it. The parts are still escaped."""
    if "\\" not in text:
        return text.split(separator)
    parts, begin, at = [], 0, 0
    while at < len(text):
        if text[at] == "\\":
            at += 2
            continue
        if text[at] == separator:
            parts.append(text[begin:at])
            begin = at + 1
        at += 1
    return [*parts, text[begin:]]


def escaped(text: str) -> str:
    """Returns a text in which no character is special: `unescaped` returns it again."""
    return "".join(f"\\{char}" if char in "\\|,$" else char for char in text)


def parts_of(text: str, number: int) -> list[str]:
    """Returns the values of a composite's components, still escaped. Raises ValueError."""
    parts = split(text, "$")
    if len(parts) != number or not all(parts):
        raise ValueError(f"it has {number} values, with $ between them")
    return parts


def unescaped(text: str) -> str:
    """https://hl7.org/fhir/R4/search.html#escaping: a backslash before `\\ | , $` escapes it."""
    if "\\" not in text:
        return text
    parts, at = [], 0
    while at < len(text):
        if text[at] == "\\" and text[at + 1 : at + 2] in ("\\", "|", ",", "$"):
            at += 1
        parts.append(text[at])
        at += 1
    return "".join(parts)
