"""Lines of text files: encodings, line breaks, and lines that cannot be used.

UTF-8 is read, and UTF-16 as Excel writes it. A line that is not UTF-8 is read as Windows-1252 (which Latin-1 is a part
of): its ASCII fields can be used, and so can its names. Lines may end in LF, CR LF or CR.
"""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any, cast

from molvae.data.compression import DAMAGED_STREAM, is_damage
from molvae.errors import InputError

MAX_LINE_LENGTH = 100_000
"""Maximum length of a line in bytes; the rest is skipped. It is below the limit of the csv module for one field."""

_START = 65_536  # bytes that are inspected for encoding and line breaks
_STREAM_ERRORS = (*DAMAGED_STREAM, OSError)


@dataclass(frozen=True, slots=True)
class Line:
    """A line of text.

    Attributes
    ----------
    row : int
        Line number, from 1.
    text : str
        The line without its line break.
    problem : str, optional
        Why the text cannot be used.
    length : int
        Length of the whole line in bytes.
    undecodable : bool
        Whether the problem is bytes that are not UTF-8. They are read as Windows-1252; ASCII fields can be used.
    """

    row: int
    text: str
    problem: str | None = None
    length: int = 0
    undecodable: bool = False


def read_lines(stream: IO[Any], source: str) -> Iterator[Line]:
    """Yield the lines of a binary or text stream, without line breaks and byte-order mark.

    Undecodable and overlong lines have a `problem`, and so has the last line of a truncated or damaged stream.

    Raises
    ------
    InputError
        If the stream is empty.
    """
    row = 0
    stream = _with_line_feeds(stream)
    while True:
        row += 1
        try:
            raw, length = _read_line(stream)
        except _STREAM_ERRORS as error:
            if not is_damage(error):
                raise
            yield Line(row, "", f"the file is truncated or damaged from this line on ({error})")
            return
        if row == 1:
            if not raw:
                raise InputError(f"{source} is empty: at least one row is needed")
            raw = raw.removeprefix(codecs.BOM_UTF8)
        if not length:
            return
        yield _decode(row, raw, length)


def _with_line_feeds(stream: IO[Any]) -> IO[Any]:
    """Return the stream, or its text with line feeds if it is UTF-16 or has carriage returns as line breaks."""
    if isinstance(stream, io.TextIOBase):
        return stream
    if not hasattr(stream, "peek"):
        stream = io.BufferedReader(cast(io.RawIOBase, stream), _START)
    try:
        start = stream.peek(_START)[:_START]  # type: ignore[attr-defined]
    except _STREAM_ERRORS as error:
        if not is_damage(error):
            raise
        return stream  # the first line will have the problem
    if encoding := _utf16(start):
        return io.TextIOWrapper(stream, encoding, errors="replace", newline=None)
    if b"\r" in start.rstrip(b"\r") and b"\n" not in start:
        # surrogates stand for bytes that are not UTF-8; they become these bytes again
        return io.TextIOWrapper(stream, "utf-8", errors="surrogateescape", newline=None)
    return stream


def _utf16(start: bytes) -> str:
    """Return the UTF-16 encoding of text that begins with these bytes, or "". Without a mark, NUL bytes show it."""
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    even, odd = start[0::2], start[1::2]
    if len(start) >= 4 and not even.count(0) and odd.count(0) > 0.9 * len(odd):
        return "utf-16-le"
    if len(start) >= 4 and not odd.count(0) and even.count(0) > 0.9 * len(even):
        return "utf-16-be"
    return ""


def _read_line(stream: IO[Any]) -> tuple[bytes, int]:
    """Return a line, cut at `MAX_LINE_LENGTH`, and its length in bytes with the line break; 0 at the end."""
    raw = piece = _as_bytes(stream.readline(MAX_LINE_LENGTH))
    length = len(raw)
    # If the last line has no line break, read again: in a truncated .gz this raises an error, so that an incomplete row
    # is not returned as a complete one.
    while piece and not piece.endswith(b"\n"):
        piece = _as_bytes(stream.readline(MAX_LINE_LENGTH))
        length += len(piece)
    return raw, length


def _as_bytes(piece: bytes | str) -> bytes:
    if isinstance(piece, bytes):
        return piece
    try:
        return piece.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # other surrogates, in the text streams of users
        return piece.encode("utf-8", "surrogatepass")


def _decode(row: int, raw: bytes, length: int) -> Line:
    raw = raw.rstrip(b"\r\n")
    try:
        text, problem = raw.decode("utf-8"), None
    except UnicodeDecodeError as error:
        text, problem = raw.decode("cp1252", "replace"), f"byte {error.start + 1} of the line is not UTF-8"
    if length > MAX_LINE_LENGTH:
        problem = f"the line has {length:,} characters, more than the maximum of {MAX_LINE_LENGTH:,}"
        return Line(row, text, problem, length)
    return Line(row, text, problem, length, undecodable=problem is not None)
