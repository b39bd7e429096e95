"""Who may use a server: its address and its token. Imports nothing that takes time."""

from __future__ import annotations

from ipaddress import ip_address

from molvae.errors import InputError

MIN_TOKEN_LENGTH = 16
"""Characters of a token, at least."""


def is_loopback(host: str) -> bool:
    """Whether only this machine can connect to an address.

    >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def check_access(host: str, token: str | None) -> None:
    """Raise `InputError` if other machines could use the server without a token, or with one that can be guessed."""
    advice = "such as the output of: openssl rand -hex 32"
    if token is None and not is_loopback(host):
        raise InputError(
            f"--host {host} lets other machines use this server: set a token with --token or MOLVAE_TOKEN, {advice}"
        )
    if token is not None and (len(token) < MIN_TOKEN_LENGTH or not token.isascii() or not token.isprintable()):
        raise InputError(f"the token must have at least {MIN_TOKEN_LENGTH} printable ASCII characters, {advice}")
    if token is not None and " " in token:
        raise InputError(f"the token must not contain spaces; take one {advice}")
