"""A proxy that closes connections in the middle of a streamed reply, in front of a real server."""

from __future__ import annotations

import http.client
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class CuttingProxy(ThreadingHTTPServer):
    """Passes requests on.

    Args:
        port: Of the real server.

    Attributes:
        cuts: For each of the next streams the number of events after which it is cut.
        streams: How many streams have been asked for.
    """

    daemon_threads = True

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = port
        self.cuts: deque[int] = deque()
        self.streams = 0

    @property
    def url(self) -> str:
        """Its base URL."""
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


@contextmanager
def cutting(port: int) -> Iterator[CuttingProxy]:
    """A proxy that serves while the block lasts."""
    with CuttingProxy(port) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield proxy
        finally:
            proxy.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    server: CuttingProxy
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._pass_on(b"")

    def do_POST(self) -> None:
        self._pass_on(self.rfile.read(int(self.headers["Content-Length"])))

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _pass_on(self, body: bytes) -> None:
        upstream = http.client.HTTPConnection("127.0.0.1", self.server.upstream)
        try:
            kind = {"Content-Type": "application/json"}
            upstream.request(self.command, self.path, body or None, kind)
            reply = upstream.getresponse()
            if reply.headers.get_content_type() == "text/event-stream":
                self._stream(reply)
            else:
                self._whole(reply)
        finally:
            upstream.close()

    def _whole(self, reply: http.client.HTTPResponse) -> None:
        data = reply.read()
        self.send_response(reply.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _stream(self, reply: http.client.HTTPResponse) -> None:
        self.server.streams += 1
        left = self.server.cuts.popleft() if self.server.cuts else -1
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while left != 0 and (line := reply.readline()):
            self.wfile.write(f"{len(line):x}\r\n".encode() + line + b"\r\n")
            left -= line == b"\n"  # an event ends
        self.close_connection = True
        if left:
            self.wfile.write(b"0\r\n\r\n")
