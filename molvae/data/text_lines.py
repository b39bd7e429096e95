"""Text lines out of any stream, in bounded memory, each with its number and, where it has one, its problem.

Below the formats: nothing here knows about molecules. A broken line costs that line, a broken stream its
rest.
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
"""Bytes kept of one line; more is counted and dropped. Below the csv module's own limit for one field."""

UNKNOWN = "\N{REPLACEMENT CHARACTER}"
"""What stands for bytes that are no text."""

_BROKEN = (EOFError, zlib.error, gzip.BadGzipFile, UnicodeDecodeError)
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True, slots=True)
class Line:
    """Line `row` (1-based) without its end; `problem` says why the text is not to be used.

    In one that is `foreign` the problem is bytes that are not UTF-8, for which `UNKNOWN` stands: where they are in a
    name, the rest of the line may be used.
    """

    row: int
    text: str
    problem: str | None = None
    length: int = 0
    foreign: bool = False


def read_lines(stream: IO[Any], source: str) -> Iterator[Line]:
    """The lines of a binary or text stream, ends of line removed, a byte-order mark skipped.

    An undecodable or over-long line has a problem and the next one follows; of a truncated or damaged .gz
    the last line has a problem. Raises `InputError` when there is nothing at all to read, UTF-16, or a first line
    with a carriage return in it.
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
    """One line, cut at `MAX_LINE_LENGTH`, and its whole length in bytes with its end; 0 when all is read."""
    raw = piece = _as_bytes(stream.readline(MAX_LINE_LENGTH))
    length = len(raw)
    # A last line without its end makes this ask once more: in a truncated .gz that finds the break, so half
    # a row is not delivered as if it were a whole one.
    while piece and not piece.endswith(b"\n"):
        piece = _as_bytes(stream.readline(MAX_LINE_LENGTH))
        length += len(piece)
    return raw, length


def _as_bytes(piece: bytes | str) -> bytes:
    return piece.encode("utf-8", "surrogatepass") if isinstance(piece, str) else piece


def _without_mark(raw: bytes, source: str) -> bytes:
    if not raw:
        raise InputError(f"{source} is empty: it must hold at least one row; check how it was written")
    if raw.startswith(_UTF16):
        raise InputError(f"{source} is UTF-16 text: only UTF-8 is read; save it again as UTF-8")
    if b"\r" in raw.rstrip(b"\r\n"):
        raise InputError(f"{source} ends lines with carriage returns alone, as old Macs did: save it with line feeds")
    return raw.removeprefix(codecs.BOM_UTF8)


def _decode(row: int, raw: bytes, length: int) -> Line:
    raw = raw.rstrip(b"\r\n")
    try:
        text, problem = raw.decode("utf-8"), None
    except UnicodeDecodeError as error:
        text, problem = raw.decode("utf-8", "replace"), f"byte {error.start + 1} of the line is not UTF-8"
    if length > MAX_LINE_LENGTH:
        return Line(row, text, f"a line of {length:,} characters, more than {MAX_LINE_LENGTH:,}", length)
    return Line(row, text, problem, length, foreign=problem is not None)
