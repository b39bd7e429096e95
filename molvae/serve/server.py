"""The process: a socket, the application, and an orderly end on SIGTERM and Ctrl+C."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Sequence
from types import FrameType

import uvicorn

from molvae.errors import InputError
from molvae.serve.access import check_access, is_loopback
from molvae.serve.app import create_app
from molvae.serve.service import Service

SECONDS_TO_FINISH = 2.0
"""Time that jobs have to finish after SIGTERM, before they are cancelled."""

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")


def open_socket(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0 chooses a free one. Raises `InputError` if the address cannot be used."""
    try:
        family = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host.strip("[]"), port), family=family, backlog=512)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"cannot listen on {host}, port {port}: {reason}; choose another --host or --port") from None


class Server(uvicorn.Server):
    """A uvicorn server that finishes or cancels the jobs of a service when it is asked to stop."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self.service = service
        self._closing: threading.Thread | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop; a second signal does not wait for anything."""
        if self._closing is None:
            self._closing = threading.Thread(target=self._close, daemon=True)
            self._closing.start()
        super().handle_exit(sig, frame)

    def _close(self) -> None:
        n_finished, n_cancelled = self.service.close(SECONDS_TO_FINISH)
        say(f"stopping: {n_finished} jobs finished, {n_cancelled} cancelled")

    def wait(self) -> None:
        """Wait for the jobs after the last response."""
        if self._closing is not None:
            self._closing.join(SECONDS_TO_FINISH + 2)


def say(text: str) -> None:
    """Print a line on stderr."""
    print(f"molvae serve: {text}", file=sys.stderr, flush=True)


def serve(
    service: Service,
    host: str = "127.0.0.1",
    port: int = 8000,
    *,
    token: str | None = None,
    cors_origins: Sequence[str] = (),
) -> None:
    """Answer requests until the process gets SIGTERM or Ctrl+C.

    Parameters
    ----------
    service
        The model and the jobs.
    host, port
        Address to listen on; port 0 chooses a free one.
    token
        Token that requests need in the header `Authorization: Bearer TOKEN`. Other hosts than the loopback address need
        one.
    cors_origins
        Origins whose pages may use the API.

    Raises
    ------
    InputError
        If the address cannot be used, or needs a token.
    """
    check_access(host, token)
    listening = open_socket(host, port)
    app = create_app(service, token=token, hosts=LOOPBACK_NAMES if is_loopback(host) else (), cors_origins=cors_origins)
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, server_header=False, lifespan="off",
        timeout_graceful_shutdown=int(SECONDS_TO_FINISH) + 2, timeout_keep_alive=30,
    )  # fmt: skip
    server = Server(config, service)
    name = f"[{host.strip('[]')}]" if ":" in host else host
    say(f"listening on http://{name}:{listening.getsockname()[1]}" + (" (token needed)" if token else ""))
    try:
        server.run(sockets=[listening])
    finally:
        server.wait()
        listening.close()
