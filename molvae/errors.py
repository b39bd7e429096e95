"""Every error that molvae raises on purpose. Imports nothing of molvae, so that everything may import it."""

from __future__ import annotations

import importlib
import sys
import traceback
import warnings
from typing import Any


class MolvaeError(Exception):
    """The root: catch this to catch whatever molvae has to say about a user's input or files."""


class InputError(MolvaeError, ValueError):
    """A value, option or file that cannot be used; the message names it, the rule, and the way out."""


class MoleculeError(InputError):
    """One molecule cannot be read or represented. Batches catch it and go on with the next row."""


class CheckpointError(MolvaeError):
    """A model directory that is missing, incomplete, damaged, or written by another version."""


class MissingExtraError(MolvaeError, ImportError):
    """An optional dependency is absent; the message names the extra that brings it."""


class MolvaeWarning(UserWarning):
    """Some rows could not be used, or fewer molecules were found than asked for; the rest was delivered."""


def warn(message: str, kind: type[Warning] = MolvaeWarning) -> None:
    """Warns at the line that called into molvae, however deep the call has gone, be it through another library."""
    stack = enumerate(traceback.walk_stack(sys._getframe()), start=1)
    ours = [level for level, (frame, _) in stack if frame.f_globals.get("__name__", "").partition(".")[0] == "molvae"]
    warnings.warn(message, kind, stacklevel=ours[-1] + 1)


def import_extra(name: str, extra: str = "explore") -> Any:
    """The module `name`, such as sklearn.cluster. Raises `MissingExtraError` naming the extra that brings it."""
    try:
        return importlib.import_module(name)
    except ImportError:
        needed = name.split(".")[0]
        raise MissingExtraError(f"this needs {needed}: pip install 'molvae[{extra}]'") from None
