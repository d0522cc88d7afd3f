"""One request and its answer: uvicorn's, which also says what it waits for and may be cancelled."""

from __future__ import annotations

import asyncio

from uvicorn._types import ASGI3Application, ASGIReceiveEvent
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle


class Exchange(RequestResponseCycle):
    """Runs the app on a request. `awaits_body`: the app waits for the client to send more of the body."""

    awaits_body = False

    async def run_asgi(self, app: ASGI3Application) -> None:
        try:
            await app(self.scope, self.receive, self.send)
            if not (self.response_complete or self.disconnected):
                self.logger.error("The app returned without a complete answer")
                self.transport.close()
        except asyncio.CancelledError:  # the client went away, or the server ends
            self.transport.close()
        except Exception as error:
            if self.disconnected:
                return
            self.logger.error("Exception in ASGI application", exc_info=error)
            if self.response_started:
                self.transport.close()
            else:
                await self.send_500_response()
        finally:
            self.on_response = _nothing

    async def receive(self) -> ASGIReceiveEvent:
        if self.body or not self.more_body:
            return await super().receive()
        self.awaits_body = True
        try:
            return await super().receive()
        finally:
            self.awaits_body = False


def _nothing() -> None:
    return None
