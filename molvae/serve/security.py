"""What stands between the network and the endpoints: token, host names, size of bodies, headers of responses."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Sequence

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; "
    "connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Scripts, styles and requests of the page itself only; nothing inline."""

HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}

PUBLIC_PREFIXES = ("/v1/health/", "/static/")
PUBLIC_PATHS = ("/", "/docs", "/openapi.json")
"""Paths that need no token: health, and the page and its files, which contain nothing of the user."""


MAX_DISCARDED_BYTES = 100_000_000
"""Bytes of a body that is too large, up to which it is read before the answer."""


class Gate:
    """ASGI middleware: refuses requests without the token, for another host, or with too large a body.

    Parameters
    ----------
    app
        The application.
    token
        Token that requests need in the header `Authorization: Bearer TOKEN`; None for none. Only its digest is kept.
    hosts
        Host names that requests may be for, without ports; empty for all. This stops web pages that let a name of their
        own resolve to the loopback address.
    max_body_bytes
        Largest body.
    count
        Called with the path of the route and the status of each response.
    """

    def __init__(
        self,
        app: ASGIApp,
        token: str | None,
        hosts: Sequence[str],
        max_body_bytes: int,
        count: Callable[[str, int], None],
    ) -> None:
        self.app, self.hosts, self.max_body_bytes, self.count = app, frozenset(hosts), max_body_bytes, count
        self._digest = None if token is None else _digest(token)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                response = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    response.setdefault(name, value)
                response.setdefault("Cache-Control", "no-store")
                self.count(getattr(scope.get("route"), "path", "other"), message["status"])
            await send(message)

        async def refuse(status: int, detail: str, **more: str) -> None:
            response = JSONResponse({"detail": detail, "errors": []}, status, headers=more)
            await response(scope, receive, send_with_headers)

        length = headers.get("content-length", "0")
        if self.hosts and _host_name(headers.get("host", "")) not in self.hosts:
            await refuse(400, "this server does not answer for this host name")
        elif not self._may_pass(scope, headers):
            text = "a token is needed: send the header Authorization: Bearer TOKEN"
            await refuse(401, text, **{"WWW-Authenticate": "Bearer"})
        elif not length.isdecimal() or int(length) > self.max_body_bytes:
            await _discard_body(receive)
            await refuse(413, self._too_large, Connection="close")
        else:
            await self.app(scope, self._limited(receive), send_with_headers)

    def _limited(self, receive: Receive) -> Receive:
        """Count the bytes of a body as it arrives: it may have no length, or another one than it says."""
        n_bytes = 0

        async def receive_limited() -> Message:
            nonlocal n_bytes
            message = await receive()
            n_bytes += len(message.get("body", b""))
            if n_bytes > self.max_body_bytes:
                if message.get("more_body"):
                    await _discard_body(receive)
                raise HTTPException(413, self._too_large, {"Connection": "close"})
            return message

        return receive_limited

    @property
    def _too_large(self) -> str:
        return f"the body is larger than the limit of this server, {self.max_body_bytes:,} bytes"

    def _may_pass(self, scope: Scope, headers: Headers) -> bool:
        path = scope["path"]
        if self._digest is None or path.startswith(PUBLIC_PREFIXES) or path in PUBLIC_PATHS:
            return True
        scheme, _, given = headers.get("authorization", "").partition(" ")
        return hmac.compare_digest(_digest(given.strip()), self._digest) and scheme.lower() == "bearer"


async def _discard_body(receive: Receive) -> None:
    """Read the rest of a body: a client that is still sending when the connection is closed may not see the answer."""
    n_bytes, more = 0, True
    while more and n_bytes < MAX_DISCARDED_BYTES:
        message = await receive()
        n_bytes, more = n_bytes + len(message.get("body", b"")), bool(message.get("more_body"))


def _digest(token: str) -> bytes:
    """Digests have one length, so that a comparison tells nothing about that of the token."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


def _host_name(host: str) -> str:
    """The name in a Host header, without the port."""
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0].lower()
