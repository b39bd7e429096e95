"""A server on a socket of its own, in a thread of the tests."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager

import uvicorn

from molvae.serve.app import create_app
from molvae.serve.server import open_socket


@contextmanager
def running(service, **options):
    """The address of a server for this service."""
    listening = open_socket("127.0.0.1", 0)
    config = uvicorn.Config(create_app(service, **options), log_level="warning", lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    end = time.monotonic() + 20
    while not server.started and time.monotonic() < end:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        service.close(0)
        server.should_exit = True
        thread.join(20)
        listening.close()
