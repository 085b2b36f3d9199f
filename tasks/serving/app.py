"""The HTTP application: MLflow's own of the version in service, with bounded requests, one-line errors and measures."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

from tasks.serving.loading import LoadedVersion
from tasks.serving.measures import FORMAT, Measures

LARGEST = 16 << 20  # bytes of a request
PATIENCE = 60.0  # seconds that a request may take to come in
SHOWN = 500  # characters of an error

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class RefusedError(Exception):
    """A request that is not handed on, with the status that it is answered."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Application:
    """An ASGI application that hands requests to the application of the version in service.

    ``current`` may be replaced at any time: a request is answered by the version that was current when it had come in
    whole, and those on their way are not disturbed.
    """

    def __init__(self, current: LoadedVersion, measures: Measures) -> None:
        self.current, self.measures = current, measures
        measures.serves(current.name, current.version)

    def replace(self, version: LoadedVersion) -> None:
        """Answer by another version from now on."""
        self.current = version
        self.measures.serves(version.name, version.version)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request: /metrics, and what MLflow's server answers (/invocations, /health, /ping, /version)."""
        if scope["type"] != "http":
            return
        if scope["path"] == "/metrics":
            await answer(send, 200, self.measures.text(), FORMAT)
        elif scope["path"] == "/invocations":
            started = time.perf_counter()
            status = await self.predict(scope, receive, send)
            self.measures.requests.labels(str(status)).inc()
            self.measures.seconds.observe(time.perf_counter() - started)
        elif scope["path"] in ("/health", "/ping", "/version"):
            await self.current.app(scope, receive, with_version(send, self.current))
        else:
            await answer_error(send, 404, "no such path: POST /invocations, GET /health, /ping, /version or /metrics")

    async def predict(self, scope: Scope, receive: Receive, send: Send) -> int:
        """Answer a request for predictions and return the status."""
        try:
            check_kind(scope)
            body = await asyncio.wait_for(read_body(scope, receive), PATIENCE)
            version = self.current
            status, kind, found = await ask(version, scope, body)
        except RefusedError as error:
            status, kind, found = error.status, b"", str(error).encode()
        except TimeoutError:
            status, kind, found = 408, b"", b"the request did not come in whole within a minute; send it again"
        except ConnectionError:  # the client is gone
            return 499
        if status < 400:
            await answer(with_version(send, version), status, found, kind.decode("latin-1"))
        else:
            await answer_error(send, status, one_line(found))
        return status


def check_kind(scope: Scope) -> None:
    """Raise RefusedError unless a request is a POST of a content type."""
    if scope["method"] != "POST":
        raise RefusedError(405, "send examples by POST")
    if not header(scope, b"content-type"):
        raise RefusedError(415, "no Content-Type; say application/json or text/csv")


async def read_body(scope: Scope, receive: Receive) -> bytes:
    """Return the body of a request.

    Raises:
        RefusedError: it is larger than LARGEST; ConnectionError: the client is gone.
    """
    too_large = RefusedError(413, f"the request is larger than {LARGEST >> 20} MiB; send fewer examples at a time")
    length = header(scope, b"content-length")
    if length.isdigit() and int(length) > LARGEST:
        raise too_large
    parts, size, more = [], 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionError
        parts.append(message.get("body", b""))
        size, more = size + len(parts[-1]), message.get("more_body", False)
        if size > LARGEST:
            raise too_large
    return b"".join(parts)


def header(scope: Scope, name: bytes) -> bytes:
    """Return a header of a request, empty where there is none."""
    return next((value for key, value in scope["headers"] if key.lower() == name), b"")


async def ask(version: LoadedVersion, scope: Scope, body: bytes) -> tuple[int, bytes, bytes]:
    """Return the status, content type and body by which MLflow's application answers a request.

    Raises:
        RefusedError: the request cannot be read: what a model itself raises MLflow answers by a status.
    """
    status, kind, parts = 500, b"", list[bytes]()
    given = False

    async def receive() -> dict[str, Any]:
        nonlocal given
        if given:
            await asyncio.Event().wait()  # a disconnection, which nobody has to know of
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        nonlocal status, kind
        if message["type"] == "http.response.start":
            status, kind = message["status"], header(message, b"content-type")
        else:
            parts.append(message.get("body", b""))

    try:
        await version.app(scope, receive, send)
    except Exception as error:
        raise RefusedError(
            400,
            f"the request cannot be read ({type(error).__name__}: {error}); send JSON as in "
            '{"dataframe_records": [{"text": "..."}]}',
        ) from error
    return status, kind, b"".join(parts)


def one_line(body: bytes) -> str:
    """Return what an answer of MLflow's says is wrong, in one line, without the examples that it repeats."""
    text = body.decode("utf-8", "replace")
    try:
        found = json.loads(text)
        text = str(found["message"])
    except (ValueError, TypeError, KeyError):
        pass
    line = " ".join(text.rpartition("\nError: ")[2].split())
    return line if len(line) <= SHOWN else line[: SHOWN - 1] + "…"


def with_version(send: Send, version: LoadedVersion) -> Send:
    """Return a send that also says in a header which version answers."""

    async def send_with_version(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            named = (b"model-version", f"{version.name}/{version.version}".encode())
            message = message | {"headers": [*message.get("headers", ()), named]}
        await send(message)

    return send_with_version


async def answer(send: Send, status: int, body: bytes, kind: str) -> None:
    """Send an answer."""
    headers = [(b"content-type", kind.encode("latin-1")), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def answer_error(send: Send, status: int, message: str) -> None:
    """Send what is wrong as JSON in one line."""
    body = json.dumps({"status": status, "message": message}, ensure_ascii=False).encode()
    await answer(send, status, body, "application/json")
