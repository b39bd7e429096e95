"""Read the lines of a stream in bounded memory; each has a number and, if it cannot be used, the reason.

An undecodable or overlong line does not affect the other lines; a damaged stream ends with a line that says so.
"""

from __future__ import annotations

import codecs
import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

from molvae.errors import InputError

MAX_LINE_LENGTH = 100_000
"""Maximum length of a line in bytes; the rest is skipped. It is below the limit of the csv module for one field."""

UNKNOWN = "\N{REPLACEMENT CHARACTER}"
"""Replaces bytes that are not valid UTF-8."""

_BROKEN = (EOFError, zlib.error, gzip.BadGzipFile, UnicodeDecodeError)
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True, slots=True)
class Line:
    """A line of text.

    Attributes
    ----------
    row : int
        Line number from 1.
    text : str
        The line without its line break.
    problem : str, optional
        Why the text cannot be used.
    length : int
        Length of the whole line in bytes.
    undecodable : bool
        Whether the problem is bytes that are not UTF-8. They are replaced by `UNKNOWN`; fields without it can be used.
    """

    row: int
    text: str
    problem: str | None = None
    length: int = 0
    undecodable: bool = False


def read_lines(stream: IO[Any], source: str) -> Iterator[Line]:
    """Yield the lines of a binary or text stream, without line breaks and byte-order mark.

    Undecodable and overlong lines have a `problem`, as has the last line of a truncated or damaged .gz.

    Raises
    ------
    InputError
        If the stream is empty or UTF-16, or if its first line contains a carriage return.
    """
    row = 0
    while True:
        row += 1
        try:
            raw, length = _read_line(stream)
        except _BROKEN as error:
            yield Line(row, "", f"the file is truncated or damaged from here on ({error})")
            return
        if row == 1:
            raw = _without_mark(raw, source)
        if not length:
            return
        yield _decode(row, raw, length)


def _read_line(stream: IO[Any]) -> tuple[bytes, int]:
    """Return a line, cut at `MAX_LINE_LENGTH`, and its length in bytes with the line break; 0 at the end."""
    raw = piece = _as_bytes(stream.readline(MAX_LINE_LENGTH))
    length = len(raw)
    # A last line without a line break is followed by another read. In a truncated .gz this raises the error, so that
    # half a row is not returned as a whole one.
    while piece and not piece.endswith(b"\n"):
        piece = _as_bytes(stream.readline(MAX_LINE_LENGTH))
        length += len(piece)
    return raw, length


def _as_bytes(piece: bytes | str) -> bytes:
    return piece.encode("utf-8", "surrogatepass") if isinstance(piece, str) else piece


def _without_mark(raw: bytes, source: str) -> bytes:
    if not raw:
        raise InputError(f"{source} is empty: at least one row is needed")
    if raw.startswith(_UTF16):
        raise InputError(f"{source} is UTF-16 text: only UTF-8 is read; save it again as UTF-8")
    if b"\r" in raw.rstrip(b"\r\n"):
        raise InputError(f"{source} has carriage returns as line breaks: save it with line feeds")
    return raw.removeprefix(codecs.BOM_UTF8)


def _decode(row: int, raw: bytes, length: int) -> Line:
    raw = raw.rstrip(b"\r\n")
    try:
        text, problem = raw.decode("utf-8"), None
    except UnicodeDecodeError as error:
        text, problem = raw.decode("utf-8", "replace"), f"byte {error.start + 1} of the line is not UTF-8"
    if length > MAX_LINE_LENGTH:
        return Line(
            row, text, f"the line has {length:,} characters, more than the maximum of {MAX_LINE_LENGTH:,}", length
        )
    return Line(row, text, problem, length, undecodable=problem is not None)
