"""The HTTP server: it ends without losing a request."""

from __future__ import annotations

import asyncio
import socket

import uvicorn

LINGER = 0.25
"""Seconds for which connections that seem idle are kept when the server ends: a client may be
sending over one of them."""


class GracefulServer(uvicorn.Server):
    """uvicorn, which closes idle connections a moment after it takes no more of them.

    Answers are then the last of their connection (``Connection: close``, see
    `featx.serving.security`). uvicorn alone closes at once what is idle, under clients that send.
    """

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no more connections, answer what comes over those that there are, and end."""
        for server in self.servers:
            server.close()
        clock = asyncio.get_running_loop().time
        ends = clock() + LINGER
        while self.server_state.connections and clock() < ends and not self.force_exit:
            await asyncio.sleep(0.02)
        await super().shutdown(sockets)
