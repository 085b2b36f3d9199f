"""Where a federation's server hands out certificates: one question over TLS, answered to who has a token."""

import json
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import BoundedSemaphore, Thread, Timer
from typing import Any

from tasks.federate.invitations import Refused, certify, join_port

PATH = "/certificate"
MOST = 16 * 1024  # bytes of a question
SILENCE, DEADLINE = 5.0, 20.0  # seconds between two bytes, and for all
AT_ONCE = 16  # connections
LOOPBACK = ("localhost", "127.0.0.1")


class Desk(ThreadingHTTPServer):
    """The HTTPS server of one federation."""

    daemon_threads = True

    def __init__(self, folder: Path, address: tuple[str, int], context: ssl.SSLContext, say: Callable[[str], None]):
        super().__init__(address, _Handler)
        self.folder, self.context, self.say, self.free = folder, context, say, BoundedSemaphore(AT_ONCE)

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Whether there is room for one more connection."""
        return self.free.acquire(blocking=False)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer within the deadline, in a thread of its own."""
        try:
            secure = self.context.wrap_socket(request, server_side=True, do_handshake_on_connect=False)
        except OSError:
            self.free.release()
            return self.shutdown_request(request)
        end = Timer(DEADLINE, _close, [secure])
        end.daemon = True
        end.start()
        try:
            secure.settimeout(SILENCE)
            secure.do_handshake()
            super().process_request_thread(secure, client_address)
        except (OSError, ValueError):
            self.shutdown_request(secure)
        finally:
            end.cancel()
            self.free.release()
        return None

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of connections that break."""


class _Handler(BaseHTTPRequestHandler):
    server: Desk
    server_version, sys_version = "acclimate", ""

    def do_POST(self) -> None:
        """Answer who asks for a certificate."""
        try:
            length = int(self.headers.get("Content-Length", ""))
            if self.path != PATH or not 0 < length <= MOST:
                raise ValueError(self.path)
            asked = json.loads(self.rfile.read(length))
            site, secret, request = (str(asked[name]) for name in ("site", "secret", "request"))
            answer, status = certify(self.server.folder, site, secret, request), 200
            self.server.say(f"{site} has a certificate")
        except Refused as error:
            answer, status = {"error": str(error)}, 403
            self.server.say(f"a request from {self.client_address[0]} for a certificate was refused: {error}")
        except (ValueError, KeyError, TypeError, RecursionError):
            answer, status = {"error": "this is no request of acclimate federate join"}, 400
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Keep no log of its own."""


@contextmanager
def desk(folder: Path, kit: Path, address: tuple[str, int], say: Callable[[str], None]) -> Iterator[None]:
    """Hand out certificates of a federation for the length of the block.

    Listens on this machine alone where the federation's host is ``localhost``.

    Args:
        kit: the server's, whose certificate it shows; say: hears in one line who got or was refused a certificate.
    """
    host, port = address
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(kit / "startup" / "server.crt", kit / "startup" / "server.key")
    with Desk(folder, ("127.0.0.1" if host in LOOPBACK else "", join_port(port)), context, say) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield
        finally:
            server.shutdown()


def _close(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
