"""What the job of a submission does next: a pure function of the document and of what is done already."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass

from fhirstore.submit.request import COMPLETED, STOPPED
from fhirstore.submit.state import Manifest, Submission


@dataclass(frozen=True, slots=True)
class Undo:
    """Undo a manifest."""

    manifest: Manifest


@dataclass(frozen=True, slots=True)
class Read:
    """Take a manifest over."""

    manifest: Manifest


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing can be done before `until` (epoch ms), or, if that is None, before the next request."""

    until: int | None


@dataclass(frozen=True, slots=True)
class Finish:
    """Everything is done, and no further request may come."""


Step = Undo | Read | Wait | Finish


def next_step(
    submission: Submission, *, processed: Set[str], undone: Set[str], waiting: Mapping[str, int], now: int
) -> Step:
    """Returns the next step. `processed`, `undone`: ids of manifests with a summary of that kind.

    `waiting`: manifests that cannot be read before a time, epoch ms. What is to be undone is undone before anything
    more is read, the newest first: the manifest that replaces another one finds what was there before both.
    """
    withdrawn = [one for one in submission.manifests if one.withdrawn and one.id not in undone]
    if withdrawn:
        return Undo(withdrawn[-1])
    unread = [one for one in submission.manifests if not one.withdrawn and one.id not in processed]
    ready = [one for one in unread if waiting.get(one.id, 0) <= now]
    if ready:
        return Read(ready[0])
    if unread:
        return Wait(min(waiting[one.id] for one in unread))
    return Finish() if submission.state in (COMPLETED, STOPPED) else Wait(None)
