"""The HTTP protocol of the server, with a bound on what stands before and around bodies. Used by `python -m api`.

The parser keeps every header it is sent, so that a stranger could fill the memory without any token. Bodies are
bounded where they are read (routes/bodies.py, routes/executor.py).
"""

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

#: Bytes in a row that complete no head and are no body: request line, headers, trailers.
MAX_HEAD_BYTES = 64 * 1024


class BoundedHttpProtocol(HttpToolsProtocol):
    """Ends a connection that goes on sending a head."""

    _pending_bytes = 0
    _came_out = False  # something of what was fed: a whole head, a piece of a body

    def data_received(self, data: bytes) -> None:
        """Feed the parser; refuse once too many bytes went in and nothing came out."""
        self._came_out = False
        super().data_received(data)
        self._pending_bytes = 0 if self._came_out else self._pending_bytes + len(data)
        if self._pending_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self._refuse()

    def on_headers_complete(self) -> None:
        """A whole head."""
        self._came_out = True
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A piece of a body."""
        self._came_out = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The end of a request."""
        self._came_out = True
        super().on_message_complete()

    def _refuse(self) -> None:
        if getattr(self.cycle, "response_complete", True):  # there is no cycle before the first whole head
            self.send_400_response(f"The head of the request has more than {MAX_HEAD_BYTES} bytes.")
        else:
            self.transport.close()  # in the middle of an answer there is no place for another one
