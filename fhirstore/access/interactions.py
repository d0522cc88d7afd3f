"""The rights that each interaction needs: one table.

A conditional interaction also searches, and a patch also reads: its tests tell what is there, and its answer is the
whole resource. An update may create ("some servers allow for an update operation to create a new instance, and this is
allowed by the update scope").

https://hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html#scopes-for-requesting-fhir-resources
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

Interaction: TypeAlias = Literal[
    "read",
    "vread",
    "history-instance",
    "history-type",
    "history-system",
    "search",
    "create",
    "update",
    "patch",
    "delete",
    "conditional-create",
    "conditional-update",
    "conditional-patch",
    "conditional-delete",
    "export",
]

NEEDS: Final[dict[Interaction, str]] = {
    "read": "r",
    "vread": "r",
    "history-instance": "r",
    "history-type": "rs",
    "history-system": "rs",
    "search": "s",
    "create": "c",
    "update": "u",
    "patch": "ru",
    "delete": "d",
    "conditional-create": "cs",
    "conditional-update": "us",
    "conditional-patch": "rus",
    "conditional-delete": "ds",
    "export": "rs",
}
"""Interaction -> the rights on the type, all of which it needs."""
