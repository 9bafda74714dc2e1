"""A TCP proxy on loopback that can be cut: the network between a program and a server."""

from __future__ import annotations

import contextlib
import socket
import threading
from dataclasses import dataclass, field


@dataclass
class Proxy:
    """Forwards connections to `target` while it is not cut."""

    target: tuple[str, int]
    connections: set[socket.socket] = field(default_factory=set)
    is_cut: bool = False

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Close every connection, and every new one at once."""
        self.is_cut = True
        with self._lock:
            for each in list(self.connections):
                _close(each)

    def mend(self) -> None:
        """Forward again."""
        self.is_cut = False

    def close(self) -> None:
        """Stop for good."""
        self.cut()
        _close(self._listener)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self.is_cut:
                client.close()
                continue
            with contextlib.suppress(OSError):
                self._forward(client, socket.create_connection(self.target, timeout=5))

    def _forward(self, client: socket.socket, server: socket.socket) -> None:
        server.settimeout(None)
        with self._lock:
            self.connections |= {client, server}
        for source, sink in ((client, server), (server, client)):
            threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                sink.sendall(data)
        for each in (source, sink):
            _close(each)
        with self._lock:
            self.connections -= {source, sink}


def _close(each: socket.socket) -> None:
    with contextlib.suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)
    each.close()
