"""Which scopes are granted: those asked for, as far as the client is registered for them. Pure.

A scope is granted in part where the client is registered for a part of it: of `system/*.rs` a client that may read
Patients alone is granted `system/Patient.rs`. What is granted is told in the answer.
https://www.rfc-editor.org/rfc/rfc6749#section-3.3
"""

from __future__ import annotations

from collections.abc import Sequence

from fhirstore import Scope, parse_scopes

MOST_GRANTED = 200


class ScopeRefused(Exception):
    """No scope is granted. The text says why."""


def granted(asked: str, registered: Sequence[str], *, release: str) -> str:
    """Returns the scopes that are granted, space-separated. Raises ScopeRefused.

    An unknown scope is refused and not ignored, so that a client never works with less than it believes. `asked`: "" is
    all that the client is registered for.
    """
    may, may_others, _ = parse_scopes(" ".join(registered), release=release)
    if not asked.strip():
        return " ".join(dict.fromkeys(registered))
    found: dict[str, None] = {}
    for word in asked.split():
        scopes, others, refused = parse_scopes(word, release=release)
        if refused:
            raise ScopeRefused(f"Unknown, or it cannot be enforced here: {refused[0][:200]}")
        if any(scope.context != "system" for scope in scopes):
            raise ScopeRefused("Without a user only system/ scopes are granted")
        found |= dict.fromkeys(sorted(others & may_others))
        for scope in scopes:
            parts = [part for one in may if (part := _common(scope, one)) is not None]
            whole = any(part == scope for part in parts)
            found |= dict.fromkeys([word] if whole else map(str, parts))
    if not found:
        raise ScopeRefused("The client is registered for none of these scopes")
    if len(found) > MOST_GRANTED:
        raise ScopeRefused("Too many scopes; ask for fewer, or for broader ones")
    return " ".join(found)


def _common(asked: Scope, registered: Scope) -> Scope | None:
    """Returns what two scopes have in common; None: nothing."""
    if asked.context != registered.context:
        return None
    if "*" not in (asked.type, registered.type) and asked.type != registered.type:
        return None
    rights = asked.rights & registered.rights
    if not rights:
        return None
    both = [one for one in dict.fromkeys((asked.criteria, registered.criteria)) if one is not None]
    type_ = registered.type if asked.type == "*" else asked.type
    return Scope(asked.context, type_, rights, "&".join(both) if both else None)
