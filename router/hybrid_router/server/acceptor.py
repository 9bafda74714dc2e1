"""Accepting clients: all who wait, in one turn of the loop.

A server of uvloop's accepts one connection a turn, and a turn serves every connection there is: the
last of 64 clients that come together waits for 64 turns, each longer than the one before.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_log = logging.getLogger(__name__)

BACKLOG = 4096
"""Connections that the kernel holds until they are accepted."""
TURN = 128
"""Connections accepted in one turn: the others' requests are not to wait for more."""
PAUSE_SECONDS = 1.0
"""Without a descriptor to be had, nothing is accepted for that long."""
_EXHAUSTED = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))


class Acceptor:
    """Listens at one address, and gives every client a protocol of its own.

    Args:
        make: makes the protocol of a new connection.
        host: a name or an address; the first address of a name is taken.
        port: 0 for one that is free.

    Attributes:
        port: where it listens.

    Raises:
        OSError: nobody can listen there.
    """

    def __init__(self, make: Callable[[], asyncio.Protocol], host: str, port: int) -> None:
        self._make = make
        self._loop = asyncio.get_running_loop()
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
        self._socket = socket.create_server(address, family=family, backlog=BACKLOG)
        self._socket.settimeout(0)
        self.port = int(self._socket.getsockname()[1])
        self._opening: set[asyncio.Task[object]] = set()
        self._loop.add_reader(self._socket, self._accept)

    def close(self) -> None:
        """Listen no more."""
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket)
            self._socket.close()

    def _accept(self) -> None:
        for _ in range(TURN):
            try:
                client, _ = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in _EXHAUSTED:
                    raise
                _log.error("no client can be accepted for a second: %s", error.strerror)
                self._loop.remove_reader(self._socket)
                self._loop.call_later(PAUSE_SECONDS, self._go_on)
                return
            client.settimeout(0)
            task = self._loop.create_task(self._open(client))
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    async def _open(self, client: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._make, client)
        except OSError:
            client.detach()  # it left before it was let in; the transport closes what it took

    def _go_on(self) -> None:
        if self._socket.fileno() >= 0:
            self._loop.add_reader(self._socket, self._accept)
