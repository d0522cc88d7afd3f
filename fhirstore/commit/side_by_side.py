"""Runs several protocols as one: in each step, the requests of all of them form one batch."""

from __future__ import annotations

from collections.abc import Sequence

from fhirstore.commit.messages import Batch, Pause, Protocol, Replies, Request, Result


def side_by_side(protocols: Sequence[Protocol[Result]]) -> Protocol[list[Result]]:
    """Runs all protocols to their ends. Returns their results, in order. Raises the first error of any of them.

    The caller must bound the number of protocols: the requests of all of them are in flight at once. A protocol that
    pauses waits until no other one has requests.
    """
    results: dict[int, Result] = {}
    waiting: dict[int, Batch] = {}

    def advance(n: int, replies: Replies | None) -> None:
        try:
            waiting[n] = next(protocols[n]) if replies is None else protocols[n].send(replies)
        except StopIteration as end:
            waiting.pop(n, None)
            results[n] = end.value

    for n in range(len(protocols)):
        advance(n, None)
    while waiting:
        asking = [(n, batch) for n, batch in waiting.items() if not isinstance(batch, Pause)]
        if asking:
            requests: list[Request] = [request for _, batch in asking for request in batch]
            replies = yield tuple(requests)
            at = 0
            for n, batch in asking:
                advance(n, replies[at : at + len(batch)])
                at += len(batch)
        else:
            pauses = [batch for batch in waiting.values() if isinstance(batch, Pause)]
            yield Pause(max(pause.seconds for pause in pauses), all(pause.settling for pause in pauses))
            for n in list(waiting):
                advance(n, ())
    return [results[n] for n in range(len(protocols))]
