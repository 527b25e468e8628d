"""A TCP relay that can be cut: the network between executors and the API, in a test's hands."""

import contextlib
import socket
import threading
from typing import Self


class Relay:
    """Listens on a port of its own and passes bytes to a target until it is cut; mended, it goes on."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.target_port = 0
        self._open: set[socket.socket] = set()
        self._cut = False
        self._ended = False
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def cut(self) -> None:
        """Break every connection; new ones are broken at once."""
        self._cut = True
        for connection in tuple(self._open):
            _close(connection)

    def mend(self) -> None:
        """Pass bytes again."""
        self._cut = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._ended = True
        self.cut()
        # accept() only wakes for a connection
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        self._thread.join(5)
        self._listening.close()

    def _accept(self) -> None:
        while not self._ended:
            near, _ = self._listening.accept()
            if self._cut:
                near.close()
                continue
            try:
                far = socket.create_connection(("127.0.0.1", self.target_port), 5)
            except OSError:
                near.close()
                continue
            self._open |= {near, far}
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._pass_on, args=(source, sink), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        for connection in (source, sink):
            _close(connection)
            self._open.discard(connection)


def _close(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
