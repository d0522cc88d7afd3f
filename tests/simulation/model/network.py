"""What happens between a client and the store: delay, loss, duplicates, refusals, and answers that tell nothing.

The fate of a request is drawn when it is sent; the store decides it when it is applied. A write window is enforced by
the store's clock at the moment of arrival, whatever copy of the request arrives.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

from fhirstore.commit.limits import Limits
from fhirstore.commit.messages import NOT_SENT, Delete, Expired, NotApplied, Put, Replies, Reply, Request, Unknown
from fhirstore.objects.base import Written
from tests.simulation.model.bucket import Bucket
from tests.simulation.model.trace import show
from tests.simulation.model.world import World


class Full(NotApplied, frozen=True):
    """The store takes no more: raised into the protocol, as `drive` does."""


UNKNOWN = Unknown()
FULL = Full()
EXPIRED = Expired()
_NOT_APPLIED = NotApplied()


@dataclass(frozen=True, slots=True)
class Rates:
    """How likely each fault is, per request."""

    lost_request: float = 0.0  # it never arrives; the client gives up
    lost_answer: float = 0.0  # it is applied; the client gives up
    reset: float = 0.0  # the connection breaks at once; the request goes on its way
    late: float = 0.0  # it arrives up to three windows later, or on the brink of its own window's end
    duplicate: float = 0.0  # it arrives twice, the second time as late as that
    echo: float = 0.0  # something on the way sends it twice and passes on the second answer
    busy: float = 0.0  # 503
    conflict: float = 0.0  # 409, for conditional PUTs
    failed_before: float = 0.0  # 500, not applied
    failed_after: float = 0.0  # 500, applied
    slow: float = 0.0  # the store takes up to `limits.apply` to apply it

    def times(self, factor: float) -> Rates:
        """All of them, more or less often."""
        return Rates(**{field.name: getattr(self, field.name) * factor for field in fields(self)})


@dataclass(frozen=True, slots=True)
class Weather:
    """`latency`: ms one way, usually; `patience`: ms until a client gives up on an answer."""

    rates: Rates
    latency: float = 10.0
    patience: float = 2_000.0


class Network:
    """Between all processes and one bucket."""

    def __init__(
        self, world: World, bucket: Bucket, limits: Limits, weather: Weather, *, decides_together: bool = False
    ) -> None:
        self.decides_together = decides_together
        self._world = world
        self._bucket = bucket
        self._limits = limits
        self._fates: list[tuple[float, str]] = []
        self._latency = weather.latency
        self._patience = weather.patience
        self._fair = 0.0
        self._tail = 4_000.0
        for field in fields(weather.rates):
            rate = getattr(weather.rates, field.name)
            if rate:
                self._fair += rate
                self._fates.append((self._fair, field.name))

    @property
    def changes(self) -> int:
        """How often an object of the bucket was written or deleted."""
        return self._bucket.changes

    def clear(self) -> None:
        """No more faults, and no long ways, for what is sent from now on; what is under way stays under way."""
        self._fates, self._fair, self._tail = [], 0.0, 0.0

    def send(
        self,
        who: str,
        batch: tuple[Request, ...],
        receive: Callable[[Replies], None] | None,
        *,
        stuck: bool = False,
    ) -> None:
        """Send all requests now; `receive` all replies when the last one is known. None: nobody listens any more.

        `stuck`: their machine stops, and what is in its buffers may leave late.
        """
        self._world.requests += len(batch)
        replies: list[Reply] = [UNKNOWN] * len(batch)
        if len(batch) > 1 and isinstance(batch[-1], Put) and batch[-1].follows:
            known = self._dispatch_together(who, batch, replies, stuck)
            if receive is not None:
                self._world.at(known, _received, receive, replies)
            return
        known = self._world.time
        for index, request in enumerate(batch):
            known = max(known, self._dispatch(who, request, replies, index, stuck))
        if receive is not None:
            self._world.at(known, _received, receive, replies)

    def _dispatch(self, who: str, request: Request, replies: list[Reply], index: int, stuck: bool) -> float:
        """Draw the request's fate. Returns when the client knows the answer, or gives up."""
        world = self._world
        fate = self._fate(request, stuck)
        if world.trace is not None:
            world.note(who, f"sends {show(request)}" + (f"   [{fate}]" if fate else ""))
        arrives = world.time + self._way()
        applied = arrives + 0.2 * self._way()
        answered = applied + self._way()
        gives_up = world.time + self._patience
        if fate is None:
            in_time = answered < gives_up
            self._deliver(who, request, replies if in_time else None, index, arrives, applied)
            return answered if in_time else gives_up
        world.faults[fate] += 1
        return self._misfortune(who, request, replies, index, fate, arrives, applied, answered, gives_up)

    def _dispatch_together(self, who: str, batch: tuple[Request, ...], replies: list[Reply], stuck: bool) -> float:
        """One fate for all: they are decided in one go, or none of them is, and one answer tells."""
        world, last = self._world, batch[-1]
        fate = self._fate(last, stuck)
        if fate is not None:
            world.faults[fate] += 1
        if world.trace is not None:
            for request in batch:
                world.note(who, f"sends {show(request)}, at once" + (f"   [{fate}]" if fate else ""))
        arrives = world.time + self._way()
        applied, gives_up = arrives + 0.2 * self._way(), world.time + self._patience
        if fate in ("busy", "conflict", "full"):
            replies[:] = [FULL if fate == "full" else _NOT_APPLIED] * (len(batch) - 1) + [NOT_SENT]
            return applied + self._way()
        if fate in ("lost_request", "failed_before"):
            return gives_up
        if fate == "slow":
            applied = arrives + world.random.random() * self._limits.apply
        elif fate == "late":
            arrives, applied = self._late(last, arrives)
        answered = applied + self._way()
        heard = answered < gives_up and fate not in ("lost_answer", "reset", "failed_after")
        world.at(applied, self._apply_together, who, batch, replies if heard else None, arrives)
        return answered if heard else min(answered, gives_up)

    def _apply_together(
        self, who: str, batch: tuple[Request, ...], replies: list[Reply] | None, arrived: float
    ) -> None:
        told: list[Reply] = [UNKNOWN] * len(batch)
        for index, request in enumerate(batch[:-1]):
            self._deliver_now(who, request, told, index, arrived)
        if all(isinstance(reply, Written) for reply in told[:-1]):
            self._deliver_now(who, batch[-1], told, len(batch) - 1, arrived)
        else:
            told[-1] = NOT_SENT
        if replies is not None:
            replies[:] = told

    def _deliver_now(self, who: str, request: Request, replies: list[Reply], index: int, arrived: float) -> None:
        if isinstance(request, Put) and request.expires is not None and arrived > request.expires:
            self._world.faults["expired"] += 1
            replies[index] = EXPIRED
        else:
            self._apply(who, request, replies, index)

    def _misfortune(
        self,
        who: str,
        request: Request,
        replies: list[Reply],
        index: int,
        fate: str,
        arrives: float,
        applied: float,
        answered: float,
        gives_up: float,
    ) -> float:
        chance = self._world.random
        if fate in ("busy", "conflict", "full"):
            replies[index] = FULL if fate == "full" else _NOT_APPLIED
            return answered
        if fate == "failed_before":
            return answered
        if fate == "lost_request":
            return gives_up
        if fate == "echo":
            self._deliver(who, request, None, index, arrives, applied)
            again = applied + self._way()
            self._deliver(who, request, replies, index, again, again)
            return again + self._way()
        if fate == "slow":
            applied = arrives + chance.random() * self._limits.apply
            answered = applied + self._way()
        elif fate == "late":
            arrives, applied = self._late(request, arrives)
            answered = applied + self._way()
        elif fate == "duplicate":
            once_more = self._late(request, arrives)
            self._deliver(who, request, None, index, *once_more)
        if fate in ("lost_answer", "reset", "failed_after") or answered > gives_up:
            self._deliver(who, request, None, index, arrives, applied)
            if fate == "reset":
                return self._world.time + chance.random() * self._latency
            return answered if fate == "failed_after" else gives_up
        self._deliver(who, request, replies, index, arrives, applied)
        return answered

    def _late(self, request: Request, arrives: float) -> tuple[float, float]:
        """When a late request arrives and is applied."""
        chance, limits = self._world.random.random, self._limits
        expires = request.expires if isinstance(request, Put | Delete) else None
        if expires is not None and chance() < 0.5:
            arrives = max(arrives, expires - 0.2 * limits.apply * chance())
            return arrives, arrives + limits.apply * (0.5 + 0.5 * chance())
        arrives += chance() * 3 * limits.window
        return arrives, arrives + (chance() * limits.apply if chance() < 0.3 else 0.0)

    def _fate(self, request: Request, stuck: bool) -> str | None:
        roll = self._world.random.random()
        if stuck and roll < 0.3:
            return "late"
        if roll >= self._fair:
            return None
        fate = next(name for bound, name in self._fates if roll < bound)
        if fate == "conflict" and not (isinstance(request, Put) and request.condition is not None):
            return "busy"
        if fate == "busy" and isinstance(request, Put) and self._world.requests % 4 == 0:
            return "full"
        return fate

    def _way(self) -> float:
        """One way, in ms: mostly near the usual, sometimes much longer."""
        roll = self._world.random.random()
        if roll < 0.9:
            return self._latency * (0.2 + roll)
        return self._latency * (1.0 + self._tail * (roll - 0.9) ** 2)

    def _deliver(
        self, who: str, request: Request, replies: list[Reply] | None, index: int, arrives: float, applied: float
    ) -> None:
        expires = request.expires if isinstance(request, Put | Delete) else None
        if expires is not None and arrives > expires:
            self._world.faults["expired"] += 1
            if replies is not None:
                replies[index] = EXPIRED
            if self._world.trace is not None:
                self._world.at(arrives, self._world.note, "store", f"{who}: {show(request)} = Expired")
        else:
            self._world.at(applied, self._apply, who, request, replies, index)

    def _apply(self, who: str, request: Request, replies: list[Reply] | None, index: int) -> None:
        reply = self._bucket.apply(request)
        if replies is not None:
            replies[index] = reply
        if self._world.trace is not None:
            heard = "" if replies is not None else "   (nobody hears)"
            self._world.note("store", f"{who}: {show(request)} = {show(reply)}{heard}")


def _received(receive: Callable[[Replies], None], replies: list[Reply]) -> None:
    receive(tuple(replies))
