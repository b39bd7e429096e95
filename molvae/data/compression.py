"""Compressed files: opening them by their suffix, and the errors of damaged ones."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from pathlib import Path
from typing import IO, Any, cast

from molvae.errors import InputError, import_extra

MAGIC = {".gz": b"\x1f\x8b", ".bz2": b"BZh", ".xz": b"\xfd7zXZ", ".zst": b"\x28\xb5\x2f\xfd"}
"""Suffixes of compressed files, and their first bytes."""

DAMAGED_STREAM = (EOFError, zlib.error, gzip.BadGzipFile, lzma.LZMAError, UnicodeDecodeError)
"""Errors of a truncated or damaged stream. That of bz2 is an `OSError` without a number (see `is_damage`)."""

_BLOCK = 1 << 16


def compression_suffix(name: str) -> str:
    """Return the suffix of a compressed file in lower case, or "".

    >>> compression_suffix("library.smi.GZ"), compression_suffix("library.smi")
    ('.gz', '')
    """
    suffix = Path(name).suffix.lower()
    return suffix if suffix in MAGIC else ""


def is_damage(error: Exception) -> bool:
    """Return whether an error means that a stream is truncated or damaged."""
    return isinstance(error, DAMAGED_STREAM) or (isinstance(error, OSError) and error.errno is None)


def open_binary(path: str | Path) -> IO[bytes]:
    """Open a file for reading as bytes, decompressed according to its suffix.

    Raises
    ------
    MissingExtraError
        For a .zst file without the package zstandard.
    """
    suffix = compression_suffix(str(path))
    if suffix == ".zst":
        return cast(IO[bytes], io.BufferedReader(_ZstdStream(path), _BLOCK))
    openers: dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
    return cast(IO[bytes], openers.get(suffix, open)(path, "rb"))


def check_magic(path: Path, start: bytes) -> None:
    """Raise `InputError` if a file with these first bytes is not compressed as its suffix says."""
    suffix = compression_suffix(path.name)
    if suffix and not start.startswith(MAGIC[suffix]):
        format_name = {".gz": "gzip", ".bz2": "bzip2", ".zst": "Zstandard"}.get(suffix, suffix[1:])
        raise InputError(
            f"{path} is named {suffix} but is not {format_name}: remove {suffix} from its name or compress it"
        )


class _ZstdStream(io.RawIOBase):
    """The content of a .zst file of one or more frames; a truncated file raises `EOFError`."""

    def __init__(self, path: str | Path) -> None:
        zstandard = import_extra("zstandard", "formats")
        self._error = zstandard.ZstdError
        self._new_decoder = zstandard.ZstdDecompressor().decompressobj
        self._decoder: Any = None
        self._pending = b""
        self._file = open(path, "rb")  # noqa: SIM115 - closed by `close`

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._pending:
            block = self._file.read(_BLOCK)
            if not block:
                if self._decoder is not None:
                    raise EOFError("compressed file ended before the end of its last frame")
                return 0
            self._pending = self._decompress(block)
        size = min(len(buffer), len(self._pending))
        buffer[:size], self._pending = self._pending[:size], self._pending[size:]
        return size

    def close(self) -> None:
        self._file.close()
        super().close()

    def _decompress(self, block: bytes) -> bytes:
        parts = []
        try:
            while block:
                self._decoder = self._decoder or self._new_decoder()
                parts.append(self._decoder.decompress(block))
                if not self._decoder.eof:
                    break
                block, self._decoder = self._decoder.unused_data, None
        except self._error as error:
            raise EOFError(f"not valid Zstandard data: {error}") from None
        return b"".join(parts)
