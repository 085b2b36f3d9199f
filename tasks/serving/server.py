"""``acclimate serve``: the champion of a domain behind HTTP, and the next champion once it is in service."""

import asyncio
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import uvicorn

from domains.errors import UserError
from tasks.base.settings import Settings
from tasks.models import registry
from tasks.models.lookup import model_in_service
from tasks.service.listening import is_loopback
from tasks.serving.app import Application
from tasks.serving.loading import LoadedVersion, load_version
from tasks.serving.measures import Measures

POLL = 2.0  # seconds between two looks at which version is in service
AGAIN = 60.0  # seconds until a version that failed is tried again
AT_ONCE = 256  # connections
GRACE = 30  # seconds that requests on their way have at the end

Say = Callable[[str], None]


def serve(settings: Settings, name: str, host: str, port: int, say: Say) -> None:
    """Serve the champion of a domain until Ctrl-C or SIGTERM.

    Raises:
        UserError: there is no champion, it fails its smoke test, or the address cannot be had.
    """
    measures = Measures()
    with listening(host, port) as listener:
        current = load_version(model_in_service(settings, name), measures.count_answers)
        app = Application(current, measures)
        where = f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"
        say(f"serving {name} version {current.version} at {where}: POST /invocations, GET /health, /metrics")
        if not is_loopback(host):
            say(f"other machines reach {host}, and nobody asks for a password: put a proxy before it that does")
        with suppress(KeyboardInterrupt):  # the usual end
            asyncio.run(run(settings, app, listener, say))
        say("stopped")


async def run(settings: Settings, app: Application, listener: socket.socket, say: Say) -> None:
    """Answer requests, and follow the champion meanwhile."""
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="off",
        ws="none",
        server_header=False,
        limit_concurrency=AT_ONCE,
        timeout_graceful_shutdown=GRACE,
    )
    follower = asyncio.create_task(follow(Follower(settings, app, say)))
    try:
        await uvicorn.Server(config).serve(sockets=[listener])
    finally:
        follower.cancel()


async def follow(follower: "Follower") -> None:
    """Look again and again which version is in service; loading one takes seconds, in a thread of its own."""
    while True:
        await asyncio.sleep(POLL)
        await asyncio.to_thread(follower.look)


class Follower:
    """Has an application answer by the version in service, once that has passed its smoke test."""

    def __init__(self, settings: Settings, app: Application, say: Say) -> None:
        self.settings, self.app, self.say = settings, app, say
        self.failed, self.failed_at = "", 0.0
        self.said = ""

    def look(self) -> None:
        """Load the version in service if another one answers; whatever goes wrong, that one goes on."""
        app, now = self.app, self.app.current
        try:
            champion = registry.champion(self.settings, now.name)
        except Exception as error:
            return self.tell(f"cannot see which version is in service ({' '.join(str(error).split())})")
        if champion is None:
            return self.tell("no version is in service any more")
        if champion.version == now.version:
            self.failed = self.said = ""
            return None
        if champion.version == self.failed and time.monotonic() - self.failed_at < AGAIN:
            return None
        try:
            loaded: LoadedVersion = load_version(champion, app.measures.count_answers)
        except UserError as error:
            self.failed, self.failed_at = champion.version, time.monotonic()
            app.measures.reloads.labels("failed").inc()
            return self.tell(str(error))
        app.replace(loaded)
        app.measures.reloads.labels("loaded").inc()
        self.failed = self.said = ""
        self.say(f"serving {now.name} version {loaded.version} in place of {now.version}")
        return None

    def tell(self, what: str) -> None:
        """Say once what keeps the version that answers in its place."""
        if what != self.said:
            self.said = what
            self.say(f"{what}; version {self.app.current.version} goes on serving")


@contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """Hold an address; a port of 0 is any free one.

    Raises:
        UserError: it cannot be had.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server((host, port), family=family)
    except OSError as error:
        raise UserError(
            f"cannot listen at {host}, port {port} ({error.strerror or error}); choose another by --port"
        ) from error
    with listener:
        yield listener
