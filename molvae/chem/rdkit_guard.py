"""Call RDKit on molecules of users: its log is silenced, and everything it raises becomes a `MoleculeError`.

RDKit raises many types for molecules that it cannot handle: RuntimeError from its C++ checks, the exceptions of
sanitization, OverflowError from descriptors, UnicodeEncodeError for text that is not Unicode. A row of a file must not
end a run with one of them, so calls of RDKit on molecules of users are inside `rdkit_guard`, or in loops inside `try`
with `RDKIT_ERRORS` and `molecule_error`, which costs nothing while no error occurs.
"""

from __future__ import annotations

import os
import threading
from contextlib import ContextDecorator
from types import TracebackType
from typing import Any

from rdkit import Chem, rdBase

from molvae.errors import MoleculeError, MolvaeError, one_line


def _argument_error() -> type[Exception]:
    """Boost's ArgumentError, which no module exports: a TypeError for arguments that C++ code does not accept."""
    try:
        Chem.MolToSmiles(None)  # type: ignore[arg-type]
    except TypeError as error:
        return type(error)
    return RuntimeError


RDKIT_ERRORS = (RuntimeError, ValueError, ArithmeticError, LookupError, _argument_error())
"""What RDKit raises for molecules that it cannot handle.

ValueError includes the exceptions of sanitization and of Unicode, LookupError IndexError and KeyError. TypeError and
AttributeError are not included, because they are errors of the calling code.
"""


class _Silenced(threading.local):
    """The number of open `silence_rdkit` blocks of the current thread."""

    blocks = 0


class _Log:
    """RDKit's log is global, so it is enabled again when the last block of all threads ends."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.threads = 0
        self.block: rdBase.BlockLogs | None = None


_silenced = _Silenced()
_log = _Log()


def _after_fork() -> None:
    """In a forked child only the forking thread exists; a lock that another thread held would never be released."""
    _log.lock = threading.Lock()
    _log.threads = 1 if _silenced.blocks else 0
    if not _log.threads:
        _log.block = None


os.register_at_fork(after_in_child=_after_fork)


class silence_rdkit(ContextDecorator):
    """Silence RDKit's log inside the block, in all threads, and restore its state afterwards.

    Opening a block takes microseconds; inside another block of the same thread, a tenth of one.

    Examples
    --------
    >>> from rdkit import Chem
    >>> with silence_rdkit():
    ...     Chem.MolFromSmiles("C1CC")
    """

    def __enter__(self) -> None:
        if not _silenced.blocks:
            with _log.lock:
                _log.threads += 1
                if _log.block is None:
                    _log.block = rdBase.BlockLogs()
        _silenced.blocks += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        _silenced.blocks -= 1
        if not _silenced.blocks:
            with _log.lock:
                _log.threads -= 1
                if not _log.threads:
                    _log.block = None


class rdkit_guard(silence_rdkit):
    """Silence RDKit inside the block, and raise `MoleculeError` for what it raises.

    Also a decorator of functions. Errors of molvae pass unchanged.

    Parameters
    ----------
    action : str
        Beginning of the message, such as "cannot draw the molecule".

    Raises
    ------
    MoleculeError
        One line: the action and RDKit's reason, without control characters and shortened.

    Examples
    --------
    >>> from rdkit import Chem
    >>> try:
    ...     with rdkit_guard("cannot sanitize the molecule"):
    ...         Chem.SanitizeMol(Chem.MolFromSmiles("CF(C)C", sanitize=False))
    ... except MoleculeError as error:
    ...     print(error)
    cannot sanitize the molecule: Explicit valence for atom # 1 F, 3, is greater than permitted
    """

    def __init__(self, action: str) -> None:
        self.action = action

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, traceback)
        if isinstance(error, RDKIT_ERRORS) and not isinstance(error, MolvaeError):
            raise molecule_error(error, self.action) from error


def molecule_error(error: BaseException, action: str) -> MoleculeError:
    """The `MoleculeError` for an exception of RDKit.

    Parameters
    ----------
    error : exception
        One of `RDKIT_ERRORS`.
    action : str
        Beginning of the message, such as "cannot draw the molecule".
    """
    return error if isinstance(error, MoleculeError) else MoleculeError(f"{action}: {rdkit_reason(error)}")


def rdkit_reason(error: BaseException) -> str:
    """RDKit's reason in one short line, without the place in its source code.

    >>> rdkit_reason(RuntimeError("Pre-condition Violation\\n\\tno rings\\n\\tViolation occurred on line 7"))
    'Pre-condition Violation: no rings'
    """
    message: Any = error.Message() if hasattr(error, "Message") else error
    text = str(message).partition("Violation occurred on line")[0]
    if isinstance(error, UnicodeError):
        text = "text that is not Unicode"
    elif text.startswith("Python argument types in"):
        text = "RDKit does not accept this argument"
    parts = [line.strip() for line in text.splitlines() if line.strip()]
    return one_line(": ".join(parts) or type(error).__name__)
