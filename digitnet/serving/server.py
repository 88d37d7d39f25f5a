"""`digitnet serve`: the process that listens, and its start and end."""

import contextlib
import ctypes
import errno
import functools
import ipaddress
import logging
import signal
import socket
import sys
import webbrowser
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import quote

import numpy as np
import segno
import uvicorn

from digitnet.errors import BusyError, UsageError
from digitnet.reader import Reader
from digitnet.reading.encoding import png
from digitnet.serving.application import application
from digitnet.serving.connection import Connection
from digitnet.serving.corrections import Corrections
from digitnet.serving.guard import LOOPBACK, Limits, host_name

ANYWHERE = ("0.0.0.0", "::", "")  # noqa: S104
M_MMAP_THRESHOLD, M_ARENA_MAX = -3, -8  # of glibc's mallopt
MAX_CONNECTIONS = 4096
OTHER_FILES = 64  # files that the process may have open besides its connections
FEWEST_OTHER_FILES = 24  # with fewer, it cannot read pictures
SHUTDOWN_SECONDS = 10  # for requests in flight to end


@dataclass(frozen=True)
class Address:
    """Where the server listens, and the names that it answers to."""

    host: str = "127.0.0.1"
    port: int = 8000
    names: Collection[str] = ()

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:  # another name, which can mean any address
            return False

    @property
    def hosts(self) -> list[str]:
        """What may stand in the Host header of a request."""
        return [*LOOPBACK, *(host_name(name) for name in (self.host, *self.names))]


def run(
    reader: Reader,
    address: Address,
    *,
    limits: Limits,
    corrections: Corrections | None = None,
    learn: bool = False,
    token: str | None = None,
    browse: bool = False,
) -> None:
    """Serves until it is interrupted or terminated; prints the server's address when it is ready.

    Args:
        learn: whether the reader learns from the corrections.
        browse: opens the web page in a browser.

    Raises:
        BusyError: the port is in use.
        UsageError: there is no such host, or the process may not use it.
        ModelError: the reader cannot learn, because its model was exported by an earlier version.
    """
    with _listening(address) as listener:
        _return_memory_at_once()
        logging.getLogger("python_multipart").setLevel(logging.CRITICAL)  # the sender of a damaged form is told
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        signal.signal(signal.SIGINT, signal.default_int_handler)  # shells start background jobs without a handler
        _warm_up(reader, learn)
        app = application(
            reader,
            limits=limits,
            corrections=corrections,
            learn=learn,
            token=token,
            hosts=address.hosts,
            any_address=not address.is_loopback,
        )
        config = uvicorn.Config(
            cast(Any, app),
            http=cast(Any, functools.partial(Connection, seconds=limits.seconds, most=_max_connections())),
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="error",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        )
        url = _url(address, listener, token)
        print(url, flush=True)  # clients that connect before uvicorn runs wait in the listener's queue
        if not address.is_loopback and sys.stderr.isatty():
            segno.make(url, error="L").terminal(sys.stderr, compact=True)  # for a phone's camera
        if browse:
            webbrowser.open(url)
        uvicorn.Server(config).run(sockets=[listener])


def _listening(address: Address) -> socket.socket:
    where = f"port {address.port} of {address.host}"
    try:
        address.host.encode("idna")
        family, kind, protocol, _, place = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        try:
            if sys.platform != "win32":  # Windows would let two servers share the port
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(place)
            listener.listen()  # at once, so that the second of two servers that start together fails
        except OSError:
            listener.close()
            raise
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise BusyError(f"{where} is in use; stop what uses it, or choose another with --port") from error
        raise UsageError(f"{where} cannot be used ({error.strerror}); choose another with --host, --port") from error
    except UnicodeError as error:
        raise UsageError(f"{where} cannot be used: this is not a host name; choose another with --host") from error
    return listener


def _url(address: Address, listener: socket.socket, token: str | None) -> str:
    host = _own_address() if address.host in ANYWHERE else address.host
    host = f"[{host}]" if ":" in host else host
    fragment = f"#token={quote(token, safe='')}" if token else ""
    return f"http://{host}:{listener.getsockname()[1]}/{fragment}"


def _own_address() -> str:
    """The address by which other machines of the network reach this one; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unsent:
        try:
            unsent.connect(("192.0.2.1", 9))  # an address for documentation (RFC 5737), which no machine has
        except OSError:
            return "127.0.0.1"
        return str(unsent.getsockname()[0])


def _max_connections() -> int:
    """How many connections may be open at once: `MAX_CONNECTIONS`, or fewer if the system allows fewer open files.

    Raises UsageError if the system allows too few for any connection.
    """
    if sys.platform == "win32":
        return MAX_CONNECTIONS
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = MAX_CONNECTIONS + OTHER_FILES
    if hard != resource.RLIM_INFINITY:
        allowed = min(allowed, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    others = max(FEWEST_OTHER_FILES, min(OTHER_FILES, allowed // 2))
    if allowed <= others:
        raise UsageError(f"the system allows {allowed} open files, which is too few; allow more: ulimit -n 1024")
    return allowed - others


def _return_memory_at_once() -> None:
    """Makes glibc give the memory of a large picture back to the system, instead of keeping it for the next one."""
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError, OSError):  # another C library
            library = ctypes.CDLL(None)
            library.mallopt(M_MMAP_THRESHOLD, 2**18)
            library.mallopt(M_ARENA_MAX, 1)


def _warm_up(reader: Reader, learn: bool) -> None:
    """Loads everything that the first request would have to wait for."""
    stroke = np.ones((64, 64), np.float32)
    stroke[12:52, 28:36] = 0
    reader.predict(png(stroke))
    reader.examine_page(stroke)
    if learn:
        reader.teach([stroke], [1], at_once=True)
